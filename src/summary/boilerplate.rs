//! Whether a text is Chinese, and labels and boilerplate that no summary should hold.

use super::Field;
use crate::text::is_han;

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

#[cfg(test)]
mod tests {
    use super::*;

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
