//! The letters of a summary: tidying, Chinese or not, boilerplate.

use super::Field;

/// Text that no summary has of itself, wherever it stands: the feed's boilerplate, the public
/// digest's field names, and the turns and thoughts of chat templates. In lower case.
const BOILERPLATE: [&str; 9] = [
    "arxiv:",
    "announce type",
    "公告类型",
    "translated_",
    "tldr:",
    "<|im_",
    "<think>",
    "</think>",
    "<|endoftext|>",
];
/// Labels of the prompt; boilerplate only at the start of a line and before a colon, since the
/// words themselves are good Chinese.
const LABELS: [&str; 13] = [
    "标题",
    "中文标题",
    "摘要",
    "中文摘要",
    "一句话",
    "一句话总结",
    "一句话摘要",
    "总结",
    "翻译",
    "title",
    "abstract",
    "summary",
    "tldr",
];

/// Makes what the model wrote fit for print: invisible characters go, white space becomes single
/// spaces, and half-width punctuation between Chinese characters becomes full-width.
///
/// Nothing else is touched: a normaliser that knows better than the model hides its flaws.
pub fn tidy(text: &str) -> String {
    let visible: String = text
        .chars()
        .filter(|c| c.is_whitespace() || !(c.is_control() || is_invisible(*c)))
        .collect();
    let folded = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    widen_punctuation(&folded)
}

/// Half-width punctuation is widened only where a Chinese character stands before it and another
/// or nothing after it: "方法,实验" but neither "3,5" nor "GPT-4, 模型" nor "提出...".
fn widen_punctuation(text: &str) -> String {
    let mut wide = String::with_capacity(text.len());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let between = before.is_some_and(is_han) && chars.peek().is_none_or(|next| is_han(*next));
        wide.push(match c {
            ',' if between => '，',
            '.' if between => '。',
            ';' if between => '；',
            ':' if between => '：',
            '?' if between => '？',
            '!' if between => '！',
            other => other,
        });
        before = Some(c);
    }
    wide
}

/// Whether `c` has no shape of its own and can mislead a reader or a parser: zero-width and
/// directional characters, soft hyphens, variation and language tags, and the byte order mark.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A title must have some Chinese (it may be one long name otherwise); of the letters of the
/// other fields at least half must be Chinese.
pub(super) fn is_chinese(text: &str, field: Field) -> bool {
    let han = text.chars().filter(|c| is_han(*c)).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    match field {
        Field::Title => han > 0,
        Field::Tldr | Field::Paragraph => han > 0 && 2 * han >= letters,
    }
}

/// The first label or piece of boilerplate in `text`.
pub(super) fn find_boilerplate(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    if let Some(found) = BOILERPLATE.into_iter().find(|label| lower.contains(label)) {
        return Some(found.to_owned());
    }
    lower.lines().find_map(|line| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || "*#>-【[".contains(c));
        let label = LABELS.into_iter().find(|label| {
            let rest = line.strip_prefix(label).unwrap_or_default();
            rest.trim_start_matches(['*', '】', ']', ' ']).starts_with(['：', ':'])
        })?;
        Some(label.to_owned())
    })
}

pub(super) fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidies_white_space_and_invisible_characters() {
        let check = |input: &str, expected: &str| assert_eq!(tidy(input), expected);
        check("  我们\n提出\t方法 ", "我们 提出 方法");
        check("\u{feff}方\u{200b}法\u{202e}。\u{0}", "方法。");
        check("a\u{a0}b\u{2028}c", "a b c");
    }

    #[test]
    fn widens_punctuation_only_between_chinese() {
        let check = |input: &str, expected: &str| assert_eq!(tidy(input), expected);
        check("方法,实验;结果:好.", "方法，实验；结果：好。");
        check("提升3,500次, 即3.5倍", "提升3,500次, 即3.5倍");
        check("我们提出...", "我们提出...");
        check("用GPT-4,我们", "用GPT-4,我们");
    }

    #[test]
    fn finds_labels_at_line_starts_and_boilerplate_anywhere() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find_boilerplate(text).as_deref(), expected, "{text}");
        };
        check("标题：新的方法", Some("标题"));
        check("**一句话总结**：新的方法", Some("一句话总结"));
        check("新的方法。\nAbstract: we", Some("abstract"));
        check("参见 arXiv:2403.02839", Some("arxiv:"));
        check("Announce Type: new", Some("announce type"));
        check("<think>好</think>", Some("<think>"));
        check("本文的标题：一种方法", None);
        check("摘要生成是一项任务：很难", None);
    }

    #[test]
    fn asks_for_half_of_the_letters() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_chinese(text, Field::Paragraph), expected, "{text}");
        };
        check("模型abc，实验", true);
        check("模型 GPT-based", false);
        check("12345", false);
        assert!(is_chinese("DeepSeekMath-V2-Reasoner 模型", Field::Title));
        assert!(!is_chinese("Attention Is All You Need", Field::Title));
    }
}
