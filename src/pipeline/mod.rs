//! The whole story of a digest, on one page.
//!
//! 1. [`read`] takes every paper of the inputs into a [`Run`] of the store: once, in its newest
//!    version, and pending unless a summary of it is there already. A selection leaves some out, and
//!    [`rank`] orders the others by their likeness to a library. [`Days`] knows which days of a category
//!    were missed since its feed was read last.
//! 2. [`summarise`] keeps the engine busy: pending papers become prompts and requests as fast as
//!    sequences end, the engine takes one step after another, and each finished request becomes text.
//! 3. Text is checked. What is clean is in the store, on the disk, before the next step begins;
//!    what is not is tried again with another way of picking tokens, twice at most, and then the
//!    best text of each field is kept with its flaws named.
//! 4. The run hands its records to [`crate::digest`], and its account adds up.
//!
//! One paper can fail, and becomes a record that says why; nothing a paper holds ends a run. An
//! error of the engine or the store does, and leaves everything finished in the store. An observer
//! may ask for an end after a step; a kill costs no more than that, the papers in flight.
//!
//! What a paper's summary is does not depend on the papers around it, nor on the order in which
//! they are finished; only so can a resumed run end in the same bytes.

mod attempt;
mod days;
mod intake;
mod register;

use std::collections::HashMap;

pub use attempt::MAX_TRIES;
pub use days::{Days, Place};
pub use intake::{Inputs, Intake, MAX_COUNTED, Treatment, rank, read};

use crate::digest::wording;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::arxiv::Named;
use crate::feed::{Malformed, Source};
use crate::generate::{Engine, Finished, Generator, RequestId};
use crate::paper::{Date, Paper};
use crate::prompt::{Codec, Prompt};
use crate::record::{Record, WrittenSummary};
use crate::store::{Pending, Run};
use crate::summary::Flaw;
use attempt::Attempts;

/// One in so many papers of the first batch is one of the shortest, and finished early; the others
/// come longest first. Papers of one length would end together, and a run that is killed before
/// would have kept nothing.
const SHORT_ONES_FIRST: usize = 8;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Papers that were pending at the start.
    pub papers: u64,
    /// Papers settled so far, failed ones included.
    pub settled: u64,
    /// Papers that could not be summarised.
    pub failed: u64,
    /// Papers whose summary is kept with flaws named.
    pub flagged: u64,
    /// Papers that were tried more than once.
    pub retried: u64,
    /// Tokens read: prompts and labels.
    pub prefill_tokens: u64,
    /// Tokens written.
    pub decode_tokens: u64,
}

/// Hears how a run goes on, and may ask for its end.
pub trait Observer {
    /// An input is about to be read.
    fn reading(&mut self, input: &Source);
    /// Something in an input is not as it should be, and so many papers are left out for it.
    fn malformed(&mut self, what: &Malformed, lost: u64);
    /// Something that is worth knowing: a server is silent, today's feed is not out yet.
    fn note(&mut self, _text: &str) {}
    /// These days of the feed `of` were missed by earlier runs, and are read now or left out.
    fn missed(&mut self, _of: &Named, _days: &[Date], _are_read: bool) {}
    /// Something may be missing, and nothing else tells of it.
    fn warning(&mut self, _text: &str) {}
    /// What was written of a paper has flaws, and another attempt follows.
    fn tried_again(&mut self, _paper: &Paper, _flaws: &[Flaw]) {}
    /// A step was computed, or a paper settled without one.
    fn progress(&mut self, progress: &Progress);
    /// Whether the run is to end after the step under way; what is finished is kept.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Keeps silent.
impl Observer for () {
    fn reading(&mut self, _: &Source) {}
    fn malformed(&mut self, _: &Malformed, _: u64) {}
    fn progress(&mut self, _: &Progress) {}
}

/// Summarises every pending paper of `run`, or as many as there is time for until `observer` asks
/// for an end; `writer` is what records call the model. After such an end, or an error, it can be called again
/// for what is left, with another generator: this one still holds what it was writing.
pub fn summarise(
    run: &mut Run<'_>,
    codec: &Codec<'_>,
    generator: &mut Generator<impl Engine>,
    writer: &str,
    observer: &mut dyn Observer,
) -> Result<Progress> {
    run.put_back_unfinished()?;
    let progress = Progress { papers: run.account()?.pending, ..Progress::default() };
    let ahead = generator.limits().max_sequences;
    let mut desk =
        Desk { run, codec, generator, writer, drafts: HashMap::new(), next_id: 0, progress };
    observer.progress(&desk.progress);
    let at_a_time = ahead / codec.first_sampling().slots();
    let first = desk.run.next_shortest((at_a_time / SHORT_ONES_FIRST).max(1))?;
    desk.begin(first)?;
    loop {
        desk.refill(ahead)?;
        let Some(turn) = desk.generator.step()? else {
            let left = desk.run.account()?.pending;
            if left > 0 {
                let message = format!("the engine has nothing to do, and {left} papers are left");
                return Err(Error::new(ErrorKind::Engine, message)
                    .hint("this is a bug of wenzhai; please report it"));
            }
            break;
        };
        if let Some(left) = turn.reduced_to {
            observer.warning(&format!(
                "there is no memory for as many papers at a time; going on with {left}"
            ));
        }
        desk.progress.prefill_tokens += turn.read as u64;
        desk.progress.decode_tokens += turn.sampled as u64;
        for finished in &turn.finished {
            desk.take_in(finished, observer)?;
        }
        for (id, error) in turn.failed {
            let hint = error.hint_text().map(|hint| format!(" ({hint})")).unwrap_or_default();
            observer.warning(&format!("a paper is given up: {error}{hint}"));
            desk.give_up(id, &error)?;
        }
        observer.progress(&desk.progress);
        if observer.is_cancelled() {
            break;
        }
    }
    observer.progress(&desk.progress);
    Ok(desk.progress)
}

/// The papers in flight, between the run that hands them out and the generator.
struct Desk<'a, 'run, E> {
    run: &'a mut Run<'run>,
    codec: &'a Codec<'a>,
    generator: &'a mut Generator<E>,
    writer: &'a str,
    drafts: HashMap<RequestId, Draft>,
    next_id: RequestId,
    progress: Progress,
}

/// A paper that is being written about.
struct Draft {
    pending: Pending,
    prompt: Prompt,
    attempts: Attempts,
}

impl<E: Engine> Desk<'_, '_, E> {
    /// Keeps at least `ahead` requests waiting, so that no slot is ever free while papers are left.
    fn refill(&mut self, ahead: usize) -> Result<()> {
        while self.generator.waiting() < ahead {
            let pending = self.run.next(ahead)?;
            if pending.is_empty() {
                break;
            }
            self.begin(pending)?;
        }
        Ok(())
    }

    /// Makes prompts of papers, and queues them.
    fn begin(&mut self, papers: Vec<Pending>) -> Result<()> {
        for pending in papers {
            match self.codec.prompt(&pending.paper) {
                Ok(prompt) => {
                    let attempts = Attempts::new(&pending.paper, self.codec.first_sampling());
                    self.ask(Draft { pending, prompt, attempts })?;
                }
                Err(error) => self.fail(&pending, error.to_string(), 0)?,
            }
        }
        Ok(())
    }

    /// Queues the next attempt at a draft.
    fn ask(&mut self, draft: Draft) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let request = self.codec.request(id, &draft.prompt, draft.attempts.next_sampling());
        let pushed = match draft.attempts.is_fresh() {
            true => self.generator.push(request),
            false => self.generator.push_first(request),
        };
        match pushed {
            Ok(()) => {
                self.drafts.insert(id, draft);
                Ok(())
            }
            Err(error) => self.fail(&draft.pending, error.to_string(), draft.attempts.retries()),
        }
    }

    /// Checks what was written, and keeps it or tries again.
    fn take_in(&mut self, finished: &Finished, observer: &mut dyn Observer) -> Result<()> {
        let mut draft = self.drafts.remove(&finished.id).expect("every request has its draft");
        let (written, bounded) = self.codec.summary(finished);
        let flaws = self.codec.check(&draft.prompt, &written, &bounded);
        draft.attempts.add(written, flaws.clone());
        if draft.attempts.is_over() {
            return self.settle(draft);
        }
        observer.tried_again(&draft.pending.paper, &flaws);
        self.ask(draft)
    }

    /// Keeps what was written of a paper that there is no memory to go on with, or nothing.
    fn give_up(&mut self, id: RequestId, error: &Error) -> Result<()> {
        let draft = self.drafts.remove(&id).expect("every request has its draft");
        match draft.attempts.is_fresh() {
            true => self.fail(&draft.pending, error.to_string(), 0),
            false => self.settle(draft),
        }
    }

    /// Keeps the best of all attempts.
    fn settle(&mut self, draft: Draft) -> Result<()> {
        let Draft { pending, prompt, attempts } = draft;
        let retries = attempts.retries();
        let Some((written, flaws)) = attempts.into_best() else { return Ok(()) };
        let (model, fields, cut) = (self.writer.to_owned(), self.codec.asked(), prompt.cut);
        let written = WrittenSummary {
            summary: written,
            fields,
            model,
            marks: flaws,
            retries,
            cut,
            version: None,
        };
        let record = Record::with(&pending.paper, written);
        if !record.has_summary() {
            let flaws: Vec<String> = record.marks.iter().map(wording::english).collect();
            let reason = format!("the model wrote no summary: {}", flaws.join(", "));
            return self.keep_failure(&pending, reason, retries, record.marks);
        }
        self.run.finish(&pending.ticket, &record)?;
        self.progress.settled += 1;
        self.progress.retried += u64::from(retries > 0);
        self.progress.flagged += u64::from(!record.marks.is_empty());
        Ok(())
    }

    fn fail(&mut self, pending: &Pending, reason: String, retries: u32) -> Result<()> {
        self.keep_failure(pending, reason, retries, Vec::new())
    }

    fn keep_failure(
        &mut self,
        pending: &Pending,
        reason: String,
        retries: u32,
        marks: Vec<Flaw>,
    ) -> Result<()> {
        let record = Record { error: Some(reason), retries, marks, ..Record::of(&pending.paper) };
        self.run.fail(&pending.ticket, &record)?;
        self.progress.settled += 1;
        self.progress.failed += 1;
        self.progress.retried += u64::from(retries > 0);
        Ok(())
    }
}
