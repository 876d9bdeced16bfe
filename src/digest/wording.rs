//! Flaws in words: Chinese for the digest, English for messages.

use crate::record::Relevance;
use crate::summary::{Field, Flaw, FlawKind, Notice, PARAGRAPH_PERCENT, TLDR_CHARS};

/// `flaw` in Chinese.
pub fn chinese(flaw: &Flaw) -> String {
    let field = match flaw.field {
        Some(Field::Title) => "标题",
        Some(Field::Tldr) => "一句话摘要",
        Some(Field::Paragraph) => "段落",
        None => "",
    };
    let kind = match flaw.kind {
        FlawKind::Missing => "缺失".into(),
        FlawKind::NotChinese => "不是中文".into(),
        FlawKind::LineBreak => "不止一行".into(),
        FlawKind::Length => match flaw.field {
            Some(Field::Paragraph) => format!(
                "应为原文长度的 {}% 至 {}%，实际百分比",
                PARAGRAPH_PERCENT.start(),
                PARAGRAPH_PERCENT.end()
            ),
            _ => format!("应有 {} 至 {} 字，实际字数", TLDR_CHARS.start(), TLDR_CHARS.end()),
        },
        FlawKind::Loop => "有重复的文字".into(),
        FlawKind::Boilerplate => "混入了样板文字".into(),
        FlawKind::Copied => "照抄了提示中的文字".into(),
        FlawKind::English => "夹有英文单词".into(),
        FlawKind::InventedNumbers => "有原文没有的数字".into(),
        FlawKind::Unsourced => "有原文中没有依据的词".into(),
        FlawKind::LostNumbers => "遗漏了原文的数字".into(),
        FlawKind::Unfinished => "没有写完".into(),
        FlawKind::Other => String::new(),
    };
    joined(&[field, &kind].concat(), "：", &flaw.detail)
}

/// `notice` in Chinese.
pub fn notice(notice: Notice) -> &'static str {
    match notice {
        // By its authors or by arXiv, which the abstract says.
        Notice::Withdrawn => "本文已被撤回。",
        Notice::NoContent => "原文没有可供总结的摘要。",
    }
}

/// Why the reader gets a paper, in Chinese; `None` where nothing is known of it.
pub fn relevance(relevance: &Relevance) -> Option<String> {
    let terms: Vec<String> = relevance.terms.iter().map(|term| format!("“{term}”")).collect();
    let terms = (!terms.is_empty()).then(|| format!("符合{}", terms.join("、")));
    let place = relevance.place.map(|place| match &relevance.nearest {
        Some(nearest) => format!("与文献库的相近程度排第 {place}，与之最相近的一篇是《{nearest}》"),
        None => format!("与文献库的相近程度排第 {place}"),
    });
    let reasons: Vec<String> = terms.into_iter().chain(place).collect();
    (!reasons.is_empty()).then(|| format!("入选原因：{}", reasons.join("；")))
}

/// `flaw` in English.
pub fn english(flaw: &Flaw) -> String {
    let field = match flaw.field {
        Some(Field::Title) => "title ",
        Some(Field::Tldr) => "one-line summary ",
        Some(Field::Paragraph) => "paragraph ",
        None => "",
    };
    let kind = match flaw.kind {
        FlawKind::Missing => "is missing".into(),
        FlawKind::NotChinese => "is not Chinese".into(),
        FlawKind::LineBreak => "has more than one line".into(),
        FlawKind::Length => match flaw.field {
            Some(Field::Paragraph) => format!(
                "has not {} to {} per cent of the abstract's length but",
                PARAGRAPH_PERCENT.start(),
                PARAGRAPH_PERCENT.end()
            ),
            _ => format!("has not {} to {} characters but", TLDR_CHARS.start(), TLDR_CHARS.end()),
        },
        FlawKind::Loop => "repeats itself".into(),
        FlawKind::Boilerplate => "contains boilerplate".into(),
        FlawKind::Copied => "repeats the prompt".into(),
        FlawKind::English => "has English words".into(),
        FlawKind::InventedNumbers => "has numbers that the source lacks".into(),
        FlawKind::Unsourced => "has words that nothing in the source stands for".into(),
        FlawKind::LostNumbers => "lacks numbers of the abstract".into(),
        FlawKind::Unfinished => "is unfinished".into(),
        FlawKind::Other => String::new(),
    };
    joined(&[field, &kind].concat(), ": ", &flaw.detail)
}

/// What is wrong, and what it is about, as far as either is known.
fn joined(what: &str, colon: &str, detail: &[String]) -> String {
    let about = detail.join(", ");
    match (what, about.as_str()) {
        (what, "") => what.to_owned(),
        ("", about) => about.to_owned(),
        (what, about) => format!("{what}{colon}{about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_every_kind_in_both_languages_and_reads_the_sentences_of_the_first_version() {
        let check = |flaw: Flaw, in_english: &str, in_chinese: &str| {
            assert_eq!(english(&flaw), in_english);
            assert_eq!(chinese(&flaw), in_chinese);
            let sentence = serde_json::Value::from(in_english);
            assert_eq!(serde_json::from_value::<Flaw>(sentence).unwrap(), flaw, "{in_english}");
        };
        let plain = |kind, field| Flaw::plain(kind, field);
        check(plain(FlawKind::Missing, Field::Title), "title is missing", "标题缺失");
        check(
            plain(FlawKind::NotChinese, Field::Paragraph),
            "paragraph is not Chinese",
            "段落不是中文",
        );
        check(
            plain(FlawKind::LineBreak, Field::Tldr),
            "one-line summary has more than one line",
            "一句话摘要不止一行",
        );
        check(
            Flaw::new(FlawKind::Length, Field::Tldr, ["7"]),
            "one-line summary has not 10 to 160 characters but: 7",
            "一句话摘要应有 10 至 160 字，实际字数：7",
        );
        check(
            Flaw::new(FlawKind::Length, Field::Paragraph, ["85"]),
            "paragraph has not 12 to 70 per cent of the abstract's length but: 85",
            "段落应为原文长度的 12% 至 70%，实际百分比：85",
        );
        check(
            Flaw::new(FlawKind::Loop, Field::Tldr, ["a: b"]),
            "one-line summary repeats itself: a: b",
            "一句话摘要有重复的文字：a: b",
        );
        check(
            Flaw::new(FlawKind::Boilerplate, Field::Title, ["arXiv:"]),
            "title contains boilerplate: arXiv:",
            "标题混入了样板文字：arXiv:",
        );
        check(
            Flaw::new(FlawKind::InventedNumbers, Field::Paragraph, ["42", "9.5"]),
            "paragraph has numbers that the source lacks: 42, 9.5",
            "段落有原文没有的数字：42, 9.5",
        );
        check(
            Flaw::new(FlawKind::LostNumbers, Field::Paragraph, ["42", "9.5"]),
            "paragraph lacks numbers of the abstract: 42, 9.5",
            "段落遗漏了原文的数字：42, 9.5",
        );
        check(
            plain(FlawKind::Unfinished, Field::Paragraph),
            "paragraph is unfinished",
            "段落没有写完",
        );
        check(
            Flaw::new(FlawKind::Copied, Field::Tldr, ["数鸟"]),
            "one-line summary repeats the prompt: 数鸟",
            "一句话摘要照抄了提示中的文字：数鸟",
        );
        check(
            Flaw::new(FlawKind::English, Field::Paragraph, ["regret", "bound"]),
            "paragraph has English words: regret, bound",
            "段落夹有英文单词：regret, bound",
        );
        let foreign =
            Flaw { kind: FlawKind::Other, field: None, detail: vec!["title smells".into()] };
        check(foreign, "title smells", "title smells");
    }

    #[test]
    fn a_kind_of_a_later_version_keeps_its_detail() {
        let later = r#"{"kind":"off-topic","field":"paragraph","detail":["sheep"]}"#;
        let flaw: Flaw = serde_json::from_str(later).unwrap();
        assert_eq!(flaw.kind, FlawKind::Other);
        assert_eq!(chinese(&flaw), "段落：sheep");
    }
}
