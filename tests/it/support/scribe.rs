//! Stand-ins for the model: an encoding of one token a character, and an engine that writes
//! answers from a script. Both are simple enough to be believed.

use std::time::Duration;

use wenzhai::error::ErrorKind;
use wenzhai::feed::{Malformed, Source};
use wenzhai::generate::{Batch, Engine, Picked, Sampling, TokenId, TokenSet};
use wenzhai::paper::Paper;
use wenzhai::pipeline::{Observer, Progress};
use wenzhai::prompt::Encoding;
use wenzhai::{Error, Result};

/// A token a character.
pub struct Characters;

/// Ends everything; no character has this number.
pub const END: TokenId = 0x11_0000;
/// Begins every prompt.
pub const BEGINNING: TokenId = 0x11_0001;

impl Encoding for Characters {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        text.chars().map(|c| c as TokenId).collect()
    }

    fn control(&self, name: &str) -> Option<TokenId> {
        (name == "<end>").then_some(END)
    }

    fn decode(&self, tokens: &[TokenId]) -> String {
        tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
    }

    fn beginning(&self) -> Option<TokenId> {
        Some(BEGINNING)
    }

    fn line_ends(&self) -> TokenSet {
        ['\n' as TokenId, END].into_iter().collect()
    }
}

/// Where a script says this, its logits are no numbers.
pub const NO_NUMBER: char = '\u{f8ff}';

/// Title, paragraph and one-liner for a title, in one way of picking tokens.
pub type Script = fn(&str, Sampling) -> [String; 3];

/// Writes what its script says, and notes what it was asked to.
pub struct Scribe {
    script: Script,
    prefix: Vec<TokenId>,
    slots: Vec<Vec<TokenId>>,
    /// Title and way of picking of every job, in the order in which they were begun.
    pub jobs: Vec<(String, Sampling)>,
    /// How many sequences each step had, how many jobs had been begun when it was over, and how
    /// many rows it had.
    pub steps: Vec<(usize, usize, usize)>,
    /// The prompt read last.
    pub last_prompt: String,
    /// How long a step takes.
    pub step_time: Duration,
    /// The step that fails.
    pub fails_at_step: Option<usize>,
    /// Hears of each job when it is begun.
    pub on_begin: Box<dyn FnMut(&str)>,
}

impl Scribe {
    pub fn new(script: Script) -> Self {
        Scribe {
            script,
            prefix: Vec::new(),
            slots: Vec::new(),
            jobs: Vec::new(),
            steps: Vec::new(),
            last_prompt: String::new(),
            step_time: Duration::ZERO,
            fails_at_step: None,
            on_begin: Box::new(|_| {}),
        }
    }

    /// The ways of picking in which `title` was tried.
    pub fn picks(&self, title: &str) -> Vec<Sampling> {
        self.jobs.iter().filter(|(other, _)| other == title).map(|(_, pick)| *pick).collect()
    }

    /// The next character of whichever field `held` ends in.
    fn next(&mut self, slot: usize, pick: Sampling) -> TokenId {
        let held = Characters.decode(&self.slots[slot]);
        let (prompt, written) = held.split_once("\n标题：").expect("the default prompt");
        let title = prompt["Title: ".len()..].split('\n').next().expect("a title");
        if written.is_empty() {
            self.jobs.push((title.to_owned(), pick));
            (self.on_begin)(title);
            self.last_prompt = prompt.to_owned();
        }
        let labels = ["", "\n摘要：", "\n一句话："];
        let (field, text) = (0..labels.len())
            .rev()
            .find_map(|field| Some((field, written.split_once(labels[field])?.1)))
            .expect("the empty label is always there");
        let answer = &(self.script)(title, pick)[field];
        answer.chars().nth(text.chars().count()).unwrap_or('\n') as TokenId
    }
}

impl Engine for Scribe {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefix = tokens.to_vec();
        Ok(())
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>> {
        if self.fails_at_step == Some(self.steps.len()) {
            return Err(Error::new(ErrorKind::Engine, "the engine stumbled"));
        }
        std::thread::sleep(self.step_time);
        let mut picked = Vec::new();
        for span in &batch.spans {
            self.slots.resize_with(self.slots.len().max(span.slot + 1), Vec::new);
            if span.start == span.prefix_len {
                self.slots[span.slot] = self.prefix[..span.prefix_len].to_vec();
            }
            self.slots[span.slot].extend_from_slice(&batch.tokens[span.rows.clone()]);
            if let Some(sample) = span.sample {
                let token = self.next(span.slot, sample.sampling);
                picked.push((token != NO_NUMBER as TokenId).then_some(token).into());
            }
        }
        self.steps.push((batch.spans.len(), self.jobs.len(), batch.tokens.len()));
        Ok(picked)
    }
}

/// A good answer for every title.
pub fn good(title: &str, _: Sampling) -> [String; 3] {
    [
        format!("数羊：{title}"),
        format!("我们提出一种数羊的方法（{title}），并在牧场上验证了它的可靠性。"),
        format!("提出一种在牧场上可靠地数羊的方法，并验证了它的结果：{title}。"),
    ]
}

/// A paper that can be told from others by its number.
pub fn paper(number: u32) -> Paper {
    titled(number, &format!("Counting sheep {number}"))
}

/// A paper with a title of its own.
pub fn titled(number: u32, title: &str) -> Paper {
    let id = format!("2401.{number:05}");
    Paper {
        id: Some(serde_json::from_value(id.clone().into()).expect("an id is text")),
        version: Some(1),
        link: format!("http://arxiv.org/abs/{id}"),
        title: title.into(),
        plain_title: title.into(),
        abstract_text: "arXiv: We count sheep in a meadow.".into(),
        plain_abstract: "We count sheep in a meadow.".into(),
        ..Paper::default()
    }
}

/// Remembers warnings.
#[derive(Debug, Default)]
pub struct Warnings(pub Vec<String>);

impl Observer for Warnings {
    fn reading(&mut self, _: &Source) {}
    fn malformed(&mut self, _: &Malformed, _: u64) {}
    fn progress(&mut self, _: &Progress) {}
    fn warning(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}
