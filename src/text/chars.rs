//! Characters: which are Chinese, which cannot be seen, and text made fit for print.

/// Makes what the model wrote fit for print: invisible characters go, white space becomes single
/// spaces, and none where Chinese and Latin text meet, as in nearly all that it writes; half-width
/// punctuation between Chinese characters becomes full-width.
///
/// Nothing else is touched: a normaliser that knows better than the model hides its flaws.
pub fn tidy(text: &str) -> String {
    let visible: String = text
        .chars()
        .filter(|c| c.is_whitespace() || !(c.is_control() || is_invisible(*c)))
        .collect();
    widen_punctuation(&joined(visible.split_whitespace()))
}

/// `words` with spaces between them, but for those of which one ends in Chinese and the other begins
/// with a Latin letter or a digit, or the other way round: "扩展了", "Rotate3D".
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let is_chinese =
        |c: char| is_han(c) || matches!(c, '，' | '。' | '；' | '：' | '、' | '（' | '）');
    let meet = |one: char, other: char| is_chinese(one) && other.is_ascii_alphanumeric();
    words.fold(String::new(), |mut text, word| {
        let (end, start) = (text.chars().next_back(), word.chars().next());
        if end.zip(start).is_some_and(|(end, start)| !meet(end, start) && !meet(start, end)) {
            text.push(' ');
        }
        text + word
    })
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

/// `text` as a message may quote it: at most `max_chars` characters, and those that a terminal would
/// obey or a reader cannot see told by their code points, as in `\u{1b}[31m`.
pub(crate) fn printable(text: &str, max_chars: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == max_chars {
            shown.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether `c` is a Chinese character.
pub(crate) fn is_han(c: char) -> bool {
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
    fn nothing_is_between_chinese_and_latin_text() {
        let check = |input: &str, expected: &str| assert_eq!(tidy(input), expected);
        check(
            "交换组合。 Rotate3D扩展了 TransE ，在 3 个数据集上",
            "交换组合。Rotate3D扩展了TransE，在3个数据集上",
        );
        check("用GPT-4 Turbo和$ x $", "用GPT-4 Turbo和$ x $");
        check("提升 $x$ 与 (b)", "提升 $x$ 与 (b)");
    }

    #[test]
    fn quotes_are_short_and_harmless() {
        let check = |input: &str, expected: &str| assert_eq!(printable(input, 8), expected);
        check("摘要: a b", "摘要: a b");
        check("a\u{1b}[2J", "a\\u{1b}[2J");
        check("\u{9b}m\n\u{202e}", "\\u{9b}m\\u{a}\\u{202e}");
        check("123456789", "12345678…");
    }

    #[test]
    fn widens_punctuation_only_between_chinese() {
        let check = |input: &str, expected: &str| assert_eq!(tidy(input), expected);
        check("方法,实验;结果:好.", "方法，实验；结果：好。");
        check("提升3,500次, 即3.5倍", "提升3,500次, 即3.5倍");
        check("我们提出...", "我们提出...");
        check("用GPT-4,我们", "用GPT-4,我们");
    }
}
