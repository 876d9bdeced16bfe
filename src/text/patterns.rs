//! What counts as a number and as a name, for those who look for them in an abstract: prompts tell
//! them, and measures count how many were kept.

/// Digits with separators in them, behind neither a letter nor a digit nor a full stop: `1,024`
/// and `3.5`, but not the 4 of `GPT4` or `.4`. The number is group 1.
pub(crate) const NUMBER: &str = r"(?:^|[^\p{L}\p{N}_.])(\p{Nd}+(?:[.,]\p{Nd}+)*)";

/// A number, group 1, with a word for a power of a thousand, group 2, that Chinese has no word for.
pub(crate) const SCALED: &str =
    r"\b([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)[\s-]+((?i:thousand|million|billion|trillion))\b";

/// Acronyms (`LLMs`, `BLEU-4`) and words with a capital in their midst (`DeepSeek`).
pub(crate) const NAME: &str = r"\b(?:[A-Z]{2,}[A-Za-z0-9-]*|[A-Z][a-z]+[A-Z][A-Za-z0-9]*)\b";
