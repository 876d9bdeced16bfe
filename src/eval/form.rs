//! The form of a summary: what can be told without a reference.
//!
//! Six questions, each answered for itself; a summary that is not there fails them all. Their
//! limits are those of the references: a summary outside of them is unlike what is asked for, and
//! need not be bad. Lengths are in characters, and texts are taken as they are, blanks and all.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::patterns::Patterns;
use crate::summary::Summary;
use crate::text::english;

/// Characters of a one-liner.
const TLDR_CHARS: RangeInclusive<usize> = 10..=160;
/// Length of the paragraph as a share of the abstract's.
const PARAGRAPH_SHARE: RangeInclusive<f64> = 0.18..=0.55;
/// A run of so many characters that comes three times is a loop. Runs are taken at every fourth
/// character, which finds every loop of a few characters more.
const RUN_CHARS: usize = 12;
const RUN_STEP: usize = 4;
const RUN_REPEATS: usize = 3;

/// What holds of one summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// All three fields are there.
    pub complete: bool,
    /// At least half of the letters of one-liner and paragraph are Chinese.
    pub chinese: bool,
    /// The one-liner has 10 to 160 characters and no line break.
    pub one_line: bool,
    /// There is a paragraph, nothing is looped, and no label or boilerplate has leaked in.
    pub clean: bool,
    /// The paragraph has 18 to 55 per cent of the abstract's length.
    pub length: bool,
    /// There is a paragraph, and no English word is left in it that Chinese has a word for.
    pub no_english: bool,
}

impl Form {
    pub(super) fn of(source: &str, ours: &Summary, patterns: &Patterns) -> Self {
        let Summary { zh_title, zh_tldr, zh_abstract } = ours;
        let is_chinese = |text: &str| 2 * han(text) >= patterns.letters(text);
        let both = !zh_tldr.is_empty() && !zh_abstract.is_empty();
        let tldr_chars = zh_tldr.chars().count();
        let share = zh_abstract.chars().count() as f64 / source.chars().count().max(1) as f64;
        let all = format!("{zh_abstract}\n{zh_tldr}\n{zh_title}");
        Form {
            complete: both && !zh_title.is_empty(),
            chinese: both && is_chinese(zh_abstract) && is_chinese(zh_tldr),
            one_line: !zh_tldr.contains('\n') && TLDR_CHARS.contains(&tldr_chars),
            clean: !zh_abstract.is_empty()
                && !is_looped(zh_abstract)
                && !is_looped(zh_tldr)
                && !patterns.has_label(&all),
            length: PARAGRAPH_SHARE.contains(&share),
            no_english: !zh_abstract.is_empty() && english::left_in(zh_abstract, "").is_empty(),
        }
    }
}

fn han(text: &str) -> usize {
    text.chars().filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).count()
}

/// Whether a run comes three times without overlap. The last run that would fit is not looked at,
/// nor is a text that is no longer than one run.
fn is_looped(text: &str) -> bool {
    let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
    let end = |at: usize| starts.get(at + RUN_CHARS).copied().unwrap_or(text.len());
    let run = |at: usize| &text[starts[at]..end(at)];
    // How often each run comes, and where the one that was counted last ends.
    let mut runs: HashMap<&str, (usize, usize)> = HashMap::new();
    for at in 0..(starts.len() + 1).saturating_sub(RUN_CHARS) {
        let (count, free_from) = runs.entry(run(at)).or_default();
        if at >= *free_from {
            (*count, *free_from) = (*count + 1, at + RUN_CHARS);
        }
    }
    let looked_at = (0..starts.len().saturating_sub(RUN_CHARS)).step_by(RUN_STEP);
    looked_at.into_iter().any(|at| runs[run(at)].0 >= RUN_REPEATS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "We count sheep on twelve pastures with a camera and a model of sheep.";

    fn good() -> Summary {
        Summary {
            zh_title: "数羊".into(),
            zh_tldr: "本文用相机和模型数羊。".into(),
            zh_abstract: "我们用相机和羊的模型在牧场上数羊。".into(),
        }
    }

    /// What fails when `change` is made to a summary that passes.
    #[track_caller]
    fn check(change: impl Fn(&mut Summary), failing: &[&str]) {
        let mut summary = good();
        change(&mut summary);
        let form = Form::of(SOURCE, &summary, &Patterns::new());
        let all = [
            ("complete", form.complete),
            ("chinese", form.chinese),
            ("one_line", form.one_line),
            ("clean", form.clean),
            ("length", form.length),
            ("no_english", form.no_english),
        ];
        let failed: Vec<&str> =
            all.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect();
        assert_eq!(failed, failing, "{summary:?}");
    }

    #[test]
    fn each_question_has_its_own_answer() {
        check(|_| (), &[]);
        let all = ["complete", "chinese", "one_line", "clean", "length", "no_english"];
        check(|s| *s = Summary::default(), &all);
        check(|s| s.zh_title.clear(), &["complete"]);
        let english = "We count sheep with a camera.";
        check(|s| s.zh_abstract = english.into(), &["chinese", "no_english"]);
        check(|s| s.zh_abstract = "我们用camera和羊的模型在牧场上数羊。".into(), &["no_english"]);
        check(|s| s.zh_tldr = "1234567890".into(), &[]);
        check(|s| s.zh_tldr = "本文数羊，\n用相机和模型。".into(), &["one_line"]);
        check(|s| s.zh_title = "标题：数羊".into(), &["clean"]);
    }

    #[test]
    fn limits_are_inside() {
        for (chars, failing) in
            [(9, &["one_line"][..]), (10, &[]), (160, &[]), (161, &["one_line"])]
        {
            // No run comes again in the characters one after the other.
            let text: String = ('\u{4e00}'..).take(chars).collect();
            check(|s| s.zh_tldr.clone_from(&text), failing);
        }
        // The source has 69 characters: 12.42 and 37.95 are the limits.
        assert_eq!(SOURCE.chars().count(), 69);
        for (chars, failing) in [(12, &["length"][..]), (13, &[]), (37, &[]), (38, &["length"])] {
            let text: String = ('\u{4e00}'..).take(chars).collect();
            check(|s| s.zh_abstract.clone_from(&text), failing);
        }
    }

    #[test]
    fn finds_loops() {
        let check = |text: &str, expected| assert_eq!(is_looped(text), expected, "{text}");
        let run = "实验表明该方法优于所有基";
        check(&run.repeat(3), true);
        check(&format!("{run}甲{run}乙{run}"), true);
        check(&run.repeat(2), false);
        // It is at characters 2, 15 and 28. Of these only 28 would be looked at, but for the end.
        check(&format!("我们{run}甲{run}乙{run}丙"), true);
        check(&format!("我们{run}甲{run}乙{run}"), false);
        check(run, false);
        check("", false);
    }
}
