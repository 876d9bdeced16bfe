//! What a check found, in words: English for records and logs, Chinese for the digest.
//!
//! A record keeps its flags as English sentences, so that a record file can be read by people
//! and written by other programs. The digest translates them back with [`flag_in_chinese`]:
//! every sentence is `FIELD WORDING[: DETAIL]` with a wording of one table, and a flag that is
//! not of this form is shown as it stands.

use std::fmt;

/// One of the three texts of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The Chinese title.
    Title,
    /// The one-line summary.
    Tldr,
    /// The paragraph.
    Paragraph,
}

/// One thing that is wrong with a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The field is empty.
    Missing(Field),
    /// The title has no Chinese character, or less than half of another field's letters are.
    NotChinese(Field),
    /// The field has more than one line.
    LineBreak(Field),
    /// The one-line summary is too short or too long.
    TldrLength {
        /// Its length in characters.
        chars: usize,
    },
    /// The paragraph is too short or too long for its abstract.
    ParagraphLength {
        /// Its length in per cent of the abstract's.
        percent: usize,
    },
    /// A stretch of text comes again and again.
    Loop {
        /// Where.
        field: Field,
        /// What is repeated.
        unit: String,
    },
    /// Labels of the prompt or boilerplate of the feed.
    Boilerplate {
        /// Where.
        field: Field,
        /// The label.
        label: String,
    },
    /// Text of the prompt itself, such as its worked example.
    Copied {
        /// Where.
        field: Field,
        /// The text.
        text: String,
    },
    /// English words in the midst of Chinese.
    English {
        /// Where.
        field: Field,
        /// The words.
        words: Vec<String>,
    },
    /// Numbers that the source does not have.
    InventedNumbers {
        /// Where.
        field: Field,
        /// The numbers as they stand there.
        numbers: Vec<String>,
    },
    /// The paragraph lacks two numbers of the abstract or more, and a quarter of them or more.
    LostNumbers {
        /// The numbers as they stand in the abstract.
        numbers: Vec<String>,
    },
    /// The model ran into its bound in the middle of a sentence.
    Unfinished(Field),
}

/// How bad a flaw is. Any calls for another try, and is told to the reader if it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing that is written is wrong, but there should be more of it.
    Lean,
    /// What is written cannot be left like this.
    Wrong,
}

/// English and Chinese wording of each kind of flaw.
const WORDINGS: [(&str, &str); 12] = [
    ("is missing", "缺失"),
    ("is not Chinese", "不是中文"),
    ("has more than one line", "不止一行"),
    ("has not 10 to 160 characters but", "应有 10 至 160 字，实际字数"),
    (
        "has not 12 to 70 per cent of the abstract's length but",
        "应为原文长度的 12% 至 70%，实际百分比",
    ),
    ("repeats itself", "有重复的文字"),
    ("contains boilerplate", "混入了样板文字"),
    ("has numbers that the source lacks", "有原文没有的数字"),
    ("lacks numbers of the abstract", "遗漏了原文的数字"),
    ("is unfinished", "没有写完"),
    ("repeats the prompt", "照抄了提示中的文字"),
    ("has English words", "夹有英文单词"),
];

impl Field {
    /// All fields, in the order in which they are written.
    pub const ALL: [Field; 3] = [Field::Title, Field::Tldr, Field::Paragraph];

    fn english(self) -> &'static str {
        match self {
            Field::Title => "title",
            Field::Tldr => "one-line summary",
            Field::Paragraph => "paragraph",
        }
    }

    fn chinese(self) -> &'static str {
        match self {
            Field::Title => "标题",
            Field::Tldr => "一句话摘要",
            Field::Paragraph => "段落",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.english())
    }
}

impl Flaw {
    /// How bad the flaw is.
    pub fn severity(&self) -> Severity {
        match self {
            Flaw::LostNumbers { .. } => Severity::Lean,
            _ => Severity::Wrong,
        }
    }

    /// Where the flaw is.
    pub fn field(&self) -> Field {
        match self {
            Flaw::Missing(field)
            | Flaw::NotChinese(field)
            | Flaw::LineBreak(field)
            | Flaw::Unfinished(field)
            | Flaw::Loop { field, .. }
            | Flaw::Boilerplate { field, .. }
            | Flaw::Copied { field, .. }
            | Flaw::English { field, .. }
            | Flaw::InventedNumbers { field, .. } => *field,
            Flaw::TldrLength { .. } => Field::Tldr,
            Flaw::ParagraphLength { .. } | Flaw::LostNumbers { .. } => Field::Paragraph,
        }
    }

    /// The flaw in Chinese, as the digest tells it.
    pub fn chinese(&self) -> String {
        flag_in_chinese(&self.to_string())
    }

    fn wording(&self) -> &'static str {
        let index = match self {
            Flaw::Missing(_) => 0,
            Flaw::NotChinese(_) => 1,
            Flaw::LineBreak(_) => 2,
            Flaw::TldrLength { .. } => 3,
            Flaw::ParagraphLength { .. } => 4,
            Flaw::Loop { .. } => 5,
            Flaw::Boilerplate { .. } => 6,
            Flaw::InventedNumbers { .. } => 7,
            Flaw::LostNumbers { .. } => 8,
            Flaw::Unfinished(_) => 9,
            Flaw::Copied { .. } => 10,
            Flaw::English { .. } => 11,
        };
        WORDINGS[index].0
    }

    fn detail(&self) -> Option<String> {
        match self {
            Flaw::TldrLength { chars } => Some(chars.to_string()),
            Flaw::ParagraphLength { percent } => Some(percent.to_string()),
            Flaw::Loop { unit, .. } => Some(unit.clone()),
            Flaw::Boilerplate { label, .. } => Some(label.clone()),
            Flaw::Copied { text, .. } => Some(text.clone()),
            Flaw::English { words, .. } => Some(words.join(", ")),
            Flaw::InventedNumbers { numbers, .. } | Flaw::LostNumbers { numbers } => {
                Some(numbers.join(", "))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field(), self.wording())?;
        match self.detail() {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// The Chinese for a flag of a record; a flag that no [`Flaw`] has written stays as it is.
pub fn flag_in_chinese(flag: &str) -> String {
    let translate = || {
        let field = Field::ALL.into_iter().find(|field| flag.starts_with(field.english()))?;
        let rest = flag.strip_prefix(field.english())?.strip_prefix(' ')?;
        let (wording, detail) = match rest.split_once(": ") {
            Some((wording, detail)) => (wording, Some(detail)),
            None => (rest, None),
        };
        let (_, chinese) = WORDINGS.into_iter().find(|(english, _)| *english == wording)?;
        let detail = detail.map(|detail| format!("：{detail}")).unwrap_or_default();
        Some(format!("{}{chinese}{detail}", field.chinese()))
    };
    translate().unwrap_or_else(|| flag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_every_flaw_in_both_languages() {
        let check = |flaw: Flaw, english: &str, chinese: &str| {
            assert_eq!(flaw.to_string(), english);
            assert_eq!(flaw.chinese(), chinese);
        };
        check(Flaw::Missing(Field::Title), "title is missing", "标题缺失");
        check(Flaw::NotChinese(Field::Paragraph), "paragraph is not Chinese", "段落不是中文");
        check(
            Flaw::LineBreak(Field::Tldr),
            "one-line summary has more than one line",
            "一句话摘要不止一行",
        );
        check(
            Flaw::TldrLength { chars: 7 },
            "one-line summary has not 10 to 160 characters but: 7",
            "一句话摘要应有 10 至 160 字，实际字数：7",
        );
        check(
            Flaw::ParagraphLength { percent: 85 },
            "paragraph has not 12 to 70 per cent of the abstract's length but: 85",
            "段落应为原文长度的 12% 至 70%，实际百分比：85",
        );
        check(
            Flaw::Loop { field: Field::Tldr, unit: "a: b".into() },
            "one-line summary repeats itself: a: b",
            "一句话摘要有重复的文字：a: b",
        );
        check(
            Flaw::Boilerplate { field: Field::Title, label: "arXiv:".into() },
            "title contains boilerplate: arXiv:",
            "标题混入了样板文字：arXiv:",
        );
        check(
            Flaw::InventedNumbers {
                field: Field::Paragraph,
                numbers: vec!["42".into(), "9.5".into()],
            },
            "paragraph has numbers that the source lacks: 42, 9.5",
            "段落有原文没有的数字：42, 9.5",
        );
        check(
            Flaw::LostNumbers { numbers: vec!["42".into(), "9.5".into()] },
            "paragraph lacks numbers of the abstract: 42, 9.5",
            "段落遗漏了原文的数字：42, 9.5",
        );
        check(Flaw::Unfinished(Field::Paragraph), "paragraph is unfinished", "段落没有写完");
        check(
            Flaw::Copied { field: Field::Tldr, text: "数鸟".into() },
            "one-line summary repeats the prompt: 数鸟",
            "一句话摘要照抄了提示中的文字：数鸟",
        );
        check(
            Flaw::English { field: Field::Paragraph, words: vec!["regret".into(), "bound".into()] },
            "paragraph has English words: regret, bound",
            "段落夹有英文单词：regret, bound",
        );
    }

    #[test]
    fn wordings_state_the_limits_that_are_checked() {
        let tldr = super::super::TLDR_CHARS;
        let percent = super::super::PARAGRAPH_PERCENT;
        let check = |flaw: Flaw, low: &usize, high: &usize| {
            assert!(flaw.to_string().contains(&format!("{low} to {high}")), "{flaw}");
        };
        check(Flaw::TldrLength { chars: 1 }, tldr.start(), tldr.end());
        check(Flaw::ParagraphLength { percent: 1 }, percent.start(), percent.end());
    }

    #[test]
    fn leaves_foreign_flags_alone() {
        assert_eq!(flag_in_chinese("title smells"), "title smells");
        assert_eq!(flag_in_chinese("别的问题"), "别的问题");
    }
}
