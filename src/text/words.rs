//! Words of a text, and how two of them are compared.

use std::borrow::Cow;

/// A word: letters and digits without a break.
#[derive(Debug, Clone)]
pub(crate) struct Word<'a> {
    /// As it stands.
    pub(crate) text: &'a str,
    /// What it is compared by.
    pub(crate) stem: String,
    /// Where it begins and ends, in bytes.
    start: usize,
    end: usize,
}

impl Word<'_> {
    /// Whether capitals are what tells it from another word.
    pub(crate) fn is_acronym(&self) -> bool {
        self.text.chars().filter(|c| c.is_uppercase()).count() > 1
    }
}

/// The words of `text`.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_alphanumeric()) {
            (None, true) => start = Some(at),
            (Some(begin), false) => {
                let word = &text[begin..at];
                let stem = stem(&singular_of_acronym(word).to_lowercase()).into_owned();
                words.push(Word { text: word, stem, start: begin, end: at });
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Singulars that end in an s, and lose nothing; the longer ones at the end of a word as well, as in
/// metalens and coronavirus. Sciences are among them that are something else without their s: dynamics is
/// not dynamic, but two test statistics are each a test statistic.
#[rustfmt::skip]
const ENDING_IN_S: [&str; 34] = [
    "alias", "atlas", "bias", "bonus", "bus", "campus", "canvas", "census", "gas", "lens", "news",
    "status", "virus",
    "acoustics", "combinatorics", "dynamics", "electronics", "ethics", "genetics", "informatics",
    "kinematics", "kinetics", "linguistics", "logistics", "mathematics", "mechanics", "omics", "optics",
    "photonics", "physics", "pragmatics", "robotics", "semantics", "tectonics",
];

/// Plurals that end as a science does.
const NO_SCIENCES: [&str; 2] = ["comics", "atomics"];

/// Plurals that have no s, or another stem; those of more than four letters at the end of a word as well, as in
/// supernovae. Minima are not among them: what is minimum is mostly none.
#[rustfmt::skip]
const IRREGULAR: [(&str, &str); 28] = [
    ("matrices", "matrix"), ("vertices", "vertex"), ("indices", "index"), ("vortices", "vortex"),
    ("nuclei", "nucleus"), ("spectra", "spectrum"), ("criteria", "criterion"), ("phenomena", "phenomenon"),
    ("hypotheses", "hypothesis"), ("analyses", "analysis"), ("automata", "automaton"),
    ("equilibria", "equilibrium"), ("stimuli", "stimulus"), ("loci", "locus"), ("foci", "focus"),
    ("tori", "torus"), ("radii", "radius"), ("vacua", "vacuum"), ("momenta", "momentum"),
    ("bacteria", "bacterium"), ("novae", "nova"), ("simplices", "simplex"), ("syntheses", "synthesis"),
    ("crises", "crisis"), ("genera", "genus"), ("mice", "mouse"), ("children", "child"),
    ("corpora", "corpus"),
];

/// `word` without the s of a plural where capitals are before it, as in GPUs and KGs.
fn singular_of_acronym(word: &str) -> &str {
    let is_acronym = |head: &&str| head.chars().count() > 1 && head.chars().all(char::is_uppercase);
    word.strip_suffix('s').filter(is_acronym).unwrap_or(word)
}

/// What singular and plural of `word` have in common: something to compare by, not always a word.
///
/// The s of a plural goes, and its e behind s, sh, ch, x and z; `ie` becomes `y`.
pub(crate) fn stem(word: &str) -> Cow<'_, str> {
    let word = singular_of_acronym(word);
    let last = word.as_bytes().last();
    for (many, one) in IRREGULAR.iter().filter(|(many, _)| many.as_bytes().last() == last) {
        match word.strip_suffix(many) {
            Some("") => return Cow::Borrowed(one),
            Some(start) if many.len() > 4 => return Cow::Owned(format!("{start}{one}")),
            _ => {}
        }
    }
    let without_es = word.strip_suffix("es").unwrap_or(word);
    for one in [word, without_es].into_iter().filter(|one| one.ends_with('s')) {
        let is_long = |end: &str| end.len() > 3 && !NO_SCIENCES.contains(&one);
        let is_end = |end: &str| one == end || is_long(end) && one.ends_with(end);
        if ENDING_IN_S.into_iter().any(is_end) {
            return Cow::Borrowed(one);
        }
    }
    let end = |word: &str, count: usize| word.chars().rev().nth(count - 1);
    let is_plural = word.ends_with('s')
        && word.chars().count() > 3
        && !matches!(end(word, 2), Some('s' | 'i' | 'u'));
    let word = if is_plural { &word[..word.len() - 1] } else { word };
    let length = word.chars().count();
    match word.strip_suffix("ie") {
        Some(start) if length > 4 => return Cow::Owned(format!("{start}y")),
        _ => {}
    }
    let hissing = ["sse", "she", "che", "xe", "zze"];
    let is_hissing = length > 3 && hissing.iter().any(|ending| word.ends_with(ending));
    Cow::Borrowed(if is_hissing { &word[..word.len() - 1] } else { word })
}

/// How many of the first `most` words follow each other with a space, a hyphen, also TeX's `--` of names and
/// that behind a formula (`$k$-means`), or an apostrophe between.
pub(crate) fn joined(text: &str, words: &[Word<'_>], most: usize) -> usize {
    let is_joint = |joint: &str| matches!(joint, " " | "'" | "’") || is_hyphen(joint);
    let joints = joints(text, words).take(most.saturating_sub(1));
    words.len().min(joints.take_while(|joint| is_joint(joint)).count() + 1)
}

/// Letters that are spelled out as commands of TeX's, and say what they say: `$\gamma$-ray`.
#[rustfmt::skip]
const LETTERS: [&str; 31] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi", "varpi", "rho", "varrho", "sigma", "varsigma", "tau", "upsilon",
    "phi", "varphi", "chi", "psi", "omega", "ell",
];

/// Whether `word` of `text` is the name of a command of TeX's, and of no letter: the bar of `\bar{x}` is no bar.
pub(crate) fn is_command(text: &str, word: &Word<'_>) -> bool {
    text[..word.start].ends_with('\\') && !LETTERS.contains(&&*word.text.to_lowercase())
}

/// Whether `next` follows `word` in `text`.
pub(crate) fn is_before(text: &str, word: &Word<'_>, next: &str) -> bool {
    text[word.end..].starts_with(next)
}

/// Whether what stands between two words is a hyphen, however it is set.
pub(crate) fn is_hyphen(joint: &str) -> bool {
    matches!(joint, "-" | "--" | "–" | "$-")
}

/// What stands between the words of `text`.
pub(crate) fn joints<'a>(text: &'a str, words: &[Word<'_>]) -> impl Iterator<Item = &'a str> {
    words.windows(2).map(|pair| &text[pair[0].end..pair[1].start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plural_loses_its_s() {
        let check = |word: &str, expected: &str| assert_eq!(stem(word), expected);
        check("models", "model");
        check("LLMs", "LLM");
        check("gas", "gas");
        check("loss", "loss");
        check("analysis", "analysis");
        check("corpus", "corpus");
        check("s", "s");
        check("As", "As");
        check("Δs", "Δs");
    }

    #[test]
    fn singular_and_plural_have_one_stem() {
        for (one, many) in [
            ("policy", "policies"),
            ("ability", "abilities"),
            ("movie", "movies"),
            ("key", "keys"),
            ("loss", "losses"),
            ("patch", "patches"),
            ("mesh", "meshes"),
            ("box", "boxes"),
            ("cache", "caches"),
            ("case", "cases"),
            ("phase", "phases"),
            ("tie", "ties"),
            ("size", "sizes"),
            ("trie", "tries"),
            ("axe", "axes"),
            ("LLM", "LLMs"),
            ("KG", "KGs"),
            ("species", "species"),
            ("bias", "biases"),
            ("lens", "lenses"),
            ("virus", "viruses"),
            ("metalens", "metalenses"),
            ("coronavirus", "coronaviruses"),
            ("matrix", "matrices"),
            ("supernova", "supernovae"),
            ("analysis", "analyses"),
            ("mouse", "mice"),
        ] {
            assert_eq!(stem(one), stem(many));
            assert_eq!(words(one)[0].stem, words(many)[0].stem);
        }
        for (one, many) in [("GPU", "GPUs"), ("api", "APIs"), ("KG", "KGs"), ("VM", "VMs")] {
            assert_eq!(words(one)[0].stem, words(many)[0].stem);
        }
        for (one, other) in
            [("trie", "try"), ("new", "news"), ("dynamic", "dynamics"), ("semantic", "semantics")]
        {
            assert_ne!(stem(one), stem(other));
        }
        assert_eq!(stem("statistic"), stem("statistics"));
        assert_eq!(stem("topic"), stem("topics"));
        assert_eq!(stem("pumice"), "pumice");
        assert_eq!(stem("comics"), stem("comic"));
        assert_ne!(stem("genomics"), stem("genomic"));
    }

    #[test]
    fn words_are_joined_by_one_space_hyphen_or_apostrophe() {
        let text = "graph-based  models, Schrödinger bridge";
        let words = words(text);
        let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
        assert_eq!(texts, ["graph", "based", "models", "Schrödinger", "bridge"]);
        assert_eq!(joined(text, &words, 4), 2, "two spaces");
        assert_eq!(joined(text, &words[3..], 4), 2);
        assert_eq!(joined(text, &words[3..], 1), 1);
        assert_eq!(joined(text, &[], 4), 0);
        for text in ["Parkinson's disease", "Parkinson’s-disease", "$k$-means--Lloyd", "a--b–c"]
        {
            assert_eq!(joined(text, &super::words(text), 4), 3, "{text}");
        }
    }
}
