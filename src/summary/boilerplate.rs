//! Whether a text is Chinese, and labels and boilerplate that no summary should hold.

use super::Field;
use crate::text::{english::small_words, is_han};

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
/// Labels of the prompt, each with the words of a paper that it may translate; boilerplate only at
/// the start of a line and before a colon, since the words themselves are good Chinese.
const LABELS: [(&str, &[&str]); 13] = [
    ("标题", &["title"]),
    ("中文标题", &["title"]),
    ("摘要", &["abstract", "summary"]),
    ("中文摘要", &["abstract", "summary"]),
    ("一句话", &["tldr"]),
    ("一句话总结", &["tldr"]),
    ("一句话摘要", &["tldr"]),
    ("总结", &["summary", "tldr"]),
    ("翻译", &["translation"]),
    ("title", &["title"]),
    ("abstract", &["abstract"]),
    ("summary", &["summary"]),
    ("tldr", &["tldr"]),
];

/// A title must have some Chinese (it may be one long name otherwise). The other fields must have as
/// many Chinese characters as letters of other languages, of English those of words in small letters:
/// names and formulas are the same in any language.
pub(super) fn is_chinese(text: &str, field: Field) -> bool {
    let han = text.chars().filter(|c| is_han(*c)).count();
    let english: usize = small_words(text).map(str::len).sum();
    let others = text.chars().filter(|c| c.is_alphabetic() && !c.is_ascii() && !is_han(*c)).count();
    match field {
        Field::Title => han > 0,
        Field::Tldr | Field::Paragraph => han > 0 && han >= english + others,
    }
}

/// The first label or piece of boilerplate in `text` that is not the paper's own: papers write of
/// `<think>`, and name others by `arXiv:…`. `sources` are the texts of the paper.
pub(super) fn find_boilerplate(text: &str, sources: &[&str]) -> Option<String> {
    let sources: Vec<String> = sources.iter().map(|source| source.to_lowercase()).collect();
    let in_source = |words: &str| sources.iter().any(|source| source.contains(words));
    let lower = text.to_lowercase();
    let is_foreign = |label: &&str| lower.contains(label) && !in_source(label);
    if let Some(found) = BOILERPLATE.into_iter().find(is_foreign) {
        return Some(found.to_owned());
    }
    lower.lines().find_map(|line| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || "*#>-【[".contains(c));
        let (label, _) = LABELS.into_iter().find(|(label, words)| {
            let rest = line.strip_prefix(label).unwrap_or_default();
            rest.trim_start_matches(['*', '】', ']', ' ']).starts_with(['：', ':'])
                && !words.iter().any(|word| in_source(&format!("{word}:")))
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
            assert_eq!(find_boilerplate(text, &[]).as_deref(), expected, "{text}");
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
    fn what_the_paper_says_itself_is_no_boilerplate() {
        let check = |text: &str, source: &str, expected: Option<&str>| {
            assert_eq!(find_boilerplate(text, &[source]).as_deref(), expected, "{text}");
        };
        check("前一篇是arXiv:2699.00050。", "It continues arXiv:2699.00050.", None);
        check("前一篇是arXiv:2699.00050。", "It continues an earlier one.", Some("arxiv:"));
        check("标记<think>与</think>之间", "between <think> and </think>", None);
        check("标记<think>与</think>之间", "between <think> tags", Some("</think>"));
        check("TLDR：以总结为监督", "TLDR: Summaries as Supervision", None);
        check("总结：以总结为监督", "TLDR: Summaries as Supervision", None);
        check("TLDR：以总结为监督", "The TLDR of posts", Some("tldr"));
    }

    #[test]
    fn asks_for_as_much_chinese_as_there_is_of_others() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_chinese(text, Field::Paragraph), expected, "{text}");
        };
        check("模型abc，实验", true);
        check("模型 based on", false);
        check("モデルのテストですабв模型", false);
        check("SkillOpt、Agent Workflow Memory和Reasoning的审计", true);
        check(r"界为\[ \frac{6\pi}{11} \;\le\; K_G \]，$\log(1+\sqrt2)$", true);
        check("12345", false);
        assert!(is_chinese("DeepSeekMath-V2-Reasoner 模型", Field::Title));
        assert!(!is_chinese("Attention Is All You Need", Field::Title));
    }
}
