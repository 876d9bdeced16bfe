//! How good summaries are, measured against references and against their own abstracts.
//!
//! Three kinds of measures, each blind to what the others see: [`Chrf`] is how near a text comes
//! to one reference of the many that would be as good; `form` is what can be told from a summary
//! alone; `recall` is how many of the abstract's numbers and names arrive in the paragraph. None
//! of them reads for sense.
//!
//! They are not the checks of [`crate::summary`], which decide whether a paper is tried again and
//! change as failures are learned from; a measure stays as it is, but for what counts as an English word, so that
//! figures of different models, programs and years can be compared. Scores and scripts of this field are written in
//! Python, so every corner case is Python's (`patterns`), and figures agree to the last digit.

mod chrf;
mod form;
mod lines;
mod matching;
mod patterns;
mod recall;

use serde::Serialize;

pub use chrf::Chrf;
pub use form::Form;
pub use lines::{Reference, Written};
pub use matching::{Coverage, Matching};
pub use recall::Recall;

use crate::summary::{Field, Summary};
use patterns::Patterns;

/// Takes papers one by one and sums up.
#[derive(Debug)]
pub struct Evaluator {
    patterns: Patterns,
    papers: u64,
    chrf: [Chrf; 3],
    complete: u64,
    chinese: u64,
    one_line: u64,
    clean: u64,
    length: u64,
    no_english: u64,
    numbers: Recall,
    names: Recall,
}

/// The chrF of one paper, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaperChrf {
    /// Of the three fields, in the order of [`Field::ALL`].
    pub fields: [f64; 3],
}

/// All measures over all papers: chrF from 0 to 100 in two decimals, the others from 0 to 1 in
/// four.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// How many there were.
    pub papers: u64,
    /// chrF of the Chinese titles.
    pub chrf_title: f64,
    /// chrF of the one-liners.
    pub chrf_tldr: f64,
    /// chrF of the paragraphs.
    pub chrf_abstract: f64,
    /// Share of papers with [`Form::complete`].
    pub complete: f64,
    /// Share with [`Form::chinese`].
    pub chinese: f64,
    /// Share with [`Form::one_line`].
    pub one_line: f64,
    /// Share with [`Form::clean`].
    pub clean: f64,
    /// Share with [`Form::length`].
    pub length: f64,
    /// Share with [`Form::no_english`].
    pub no_english: f64,
    /// Share of the abstracts' numbers that stand in the paragraphs.
    pub numbers: f64,
    /// Share of their acronyms and names with a capital in their midst.
    pub names: f64,
}

impl Evaluator {
    /// Nothing is summed up yet.
    pub fn new() -> Self {
        Evaluator {
            patterns: Patterns::new(),
            papers: 0,
            chrf: Default::default(),
            complete: 0,
            chinese: 0,
            one_line: 0,
            clean: 0,
            length: 0,
            no_english: 0,
            numbers: Recall::default(),
            names: Recall::default(),
        }
    }

    /// Takes a paper in; one without a summary is as one whose summary is empty.
    pub fn add(&mut self, reference: &Reference, ours: &Summary) -> PaperChrf {
        let source = &reference.abstract_text;
        let form = Form::of(source, ours, &self.patterns);
        self.papers += 1;
        self.complete += u64::from(form.complete);
        self.chinese += u64::from(form.chinese);
        self.one_line += u64::from(form.one_line);
        self.clean += u64::from(form.clean);
        self.length += u64::from(form.length);
        self.no_english += u64::from(form.no_english);
        self.numbers += Recall::of_numbers(source, &ours.zh_abstract, &self.patterns);
        self.names += Recall::of_names(source, &ours.zh_abstract, &self.patterns);
        let chrf = Field::ALL.map(|f| Chrf::of(ours.field(f), reference.summary.field(f)));
        for (sum, paper) in self.chrf.iter_mut().zip(chrf) {
            *sum += paper;
        }
        PaperChrf { fields: chrf.map(|chrf| chrf.score()) }
    }

    /// The sums so far as figures.
    pub fn figures(&self) -> Figures {
        let rate = |count: u64| round(count as f64 / self.papers.max(1) as f64, 4);
        let [chrf_title, chrf_tldr, chrf_abstract] = self.chrf.map(|chrf| round(chrf.score(), 2));
        Figures {
            papers: self.papers,
            chrf_title,
            chrf_tldr,
            chrf_abstract,
            complete: rate(self.complete),
            chinese: rate(self.chinese),
            one_line: rate(self.one_line),
            clean: rate(self.clean),
            length: rate(self.length),
            no_english: rate(self.no_english),
            numbers: round(self.numbers.share(), 4),
            names: round(self.names.share(), 4),
        }
    }
}

impl Default for Evaluator {
    fn default() -> Self {
        Evaluator::new()
    }
}

impl PaperChrf {
    /// The mean of the three.
    pub fn average(&self) -> f64 {
        self.fields.iter().sum::<f64>() / self.fields.len() as f64
    }
}

/// `number` in so many decimals, rounded as it is printed: the nearest, by its exact binary value.
pub fn round(number: f64, decimals: usize) -> f64 {
    format!("{number:.decimals$}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        let line = r#"{"id": "2699.00001", "title": "T", "abstract": "We count 12 sheep with GPT.",
            "zh_title": "数羊", "zh_tldr": "本文用模型数了十二只羊。", "zh_abstract": "用GPT数12羊"}"#;
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn sums_up_papers_that_are_perfect_and_papers_that_are_missing() {
        let mut evaluator = Evaluator::new();
        assert_eq!(evaluator.figures().chrf_title, 0.0, "of no paper at all");
        let reference = reference();
        assert_eq!(evaluator.add(&reference, &reference.summary).average(), 100.0);
        assert_eq!(evaluator.add(&reference, &Summary::default()).average(), 0.0);
        let figures = evaluator.figures();
        assert_eq!(figures.papers, 2);
        let rates = [figures.complete, figures.chinese, figures.one_line, figures.clean];
        assert_eq!(rates, [0.5; 4]);
        assert_eq!([figures.length, figures.numbers, figures.names], [0.5; 3]);
        // Title: all of 2 of 4 characters and all of 1 of 2 pairs, nothing made up: precision 1,
        // recall 1/2, and 5 * 1/2 / (4 + 1/2).
        assert_eq!(figures.chrf_title, 55.56);
    }

    #[test]
    fn rounds_as_python_does() {
        assert_eq!(round(0.03125, 4), 0.0312, "a tie goes to the even digit");
        assert_eq!(round(0.09375, 4), 0.0938);
        assert_eq!(round(2.675, 2), 2.67, "which lies below the tie");
        assert_eq!(round(100.0, 2), 100.0);
    }
}
