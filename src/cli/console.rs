//! What is said to the person, on standard error.
//!
//! On a terminal a run shows a bar; elsewhere a line every half a minute, so that a log of a
//! night stays readable. Colour is used on terminals alone, and not where `NO_COLOR` is set.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::interruption::Interruption;
use super::settings::Verbosity;
use super::wording;
use crate::digest::wording::english;
use crate::error::{Error, Result, plain};
use crate::feed::arxiv::Named;
use crate::feed::{Malformed, Source};
use crate::paper::{Date, Paper, PaperId};
use crate::pipeline::{Observer, Progress};
use crate::summary::Flaw;
use crate::text::printable;

/// How many days are named one by one.
const DAYS_NAMED: usize = 5;

/// When a log gets its first line of progress.
const FIRST_LINE_AFTER: Duration = Duration::from_secs(10);
/// When it gets each further one.
const NEXT_LINE_AFTER: Duration = Duration::from_secs(30);
/// Most characters of a line.
const MAX_LINE_CHARS: usize = 2_000;
/// How many bad items are told one by one.
const MAX_COMPLAINTS: u64 = 20;
/// How many things that were said are known, so that they are not said again.
const MAX_SAID: usize = 10_000;

/// Prints an error, its causes, and what can be done.
pub(super) fn print_error(error: &Error) {
    labelled("error:", "1;31", &error.to_string());
    let (causes, hints) = causes_and_hints(error);
    for cause in causes {
        labelled("  because:", "1", &cause);
    }
    for hint in hints {
        labelled("  hint:", "1;36", &hint);
    }
}

/// The causes of an error that its own text does not tell, and the hints of all of them.
pub(super) fn causes_and_hints(error: &Error) -> (Vec<String>, Vec<String>) {
    let mut causes = Vec::new();
    let mut hints: Vec<String> = error.hint_text().map(str::to_owned).into_iter().collect();
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat their causes in their own text, or say it with a number more.
        if !told.contains(&text) && !text.contains(&told) {
            causes.push(plain(&text));
        }
        told = text;
        if let Some(hint) = error.downcast_ref::<Error>().and_then(Error::hint_text) {
            hints.push(hint.to_owned());
        }
        cause = error.source();
    }
    (causes, hints)
}

/// Prints a line that is no error.
pub(super) fn note(text: &str) {
    line(text);
}

/// Prints that something may be wrong.
pub(super) fn warn(text: &str) {
    labelled("warning:", "1;33", text);
}

fn labelled(name: &str, colour: &str, text: &str) {
    let indent = name.len() - name.trim_start().len();
    write_line(&format!("{}{} {}", &name[..indent], label(&name[indent..], colour), shown(text)));
}

fn line(text: &str) {
    write_line(&shown(text));
}

/// Standard error may be closed; there is nobody to tell then.
fn write_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What is said, as a terminal may show it: messages name files and quote what stands in them, and
/// anyone may have written that. Lines stay lines.
fn shown(text: &str) -> String {
    let lines = text.split('\n').map(|line| printable(&line.replace('\t', "    "), MAX_LINE_CHARS));
    lines.collect::<Vec<_>>().join("\n")
}

/// `text` in a colour (of SGR, ECMA-48), where colours are wanted.
fn label(text: &str, colour: &str) -> String {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if no_colour || !std::io::stderr().is_terminal() {
        return text.to_owned();
    }
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// Things that are wrong with the input: the first ones are told, all are counted.
#[derive(Debug)]
pub(super) struct Complaints {
    verbosity: Verbosity,
    number: u64,
    /// Those for which a paper is left out.
    lost: u64,
    first_lost: Option<String>,
}

impl Complaints {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Complaints { verbosity, number: 0, lost: 0, first_lost: None }
    }

    /// Tells a complaint, for which so many papers are left out.
    pub(super) fn add(&mut self, complaint: &str, lost: u64) {
        self.number += 1;
        self.lost += lost;
        if lost > 0 {
            self.first_lost.get_or_insert_with(|| complaint.to_owned());
        }
        if self.number <= self.most() {
            let outcome = if lost > 0 { " (left out)" } else { "" };
            warn(&format!("{complaint}{outcome}"));
        }
    }

    /// For how many papers that are left out something was told so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Tells how many were not told, and returns how many papers are left out. Those are told of
    /// even where nothing but errors is.
    pub(super) fn finish(self) -> u64 {
        let untold = self.number.saturating_sub(self.most());
        if untold > 0 && self.verbosity > Verbosity::Quiet {
            line(&format!("and {} more of the kind", wording::count(untold)));
        }
        if let Some(first) = self.first_lost.filter(|_| self.verbosity == Verbosity::Quiet) {
            let number = wording::count(self.lost);
            warn(&format!("left out because it could not be read: {number}; first {first}"));
        }
        self.lost
    }

    fn most(&self) -> u64 {
        match self.verbosity {
            Verbosity::Quiet => 0,
            Verbosity::Normal => MAX_COMPLAINTS,
            Verbosity::Verbose => u64::MAX,
        }
    }
}

/// Shows how a run or a download goes on.
pub(super) struct Console {
    verbosity: Verbosity,
    complaints: Complaints,
    bar: Option<ProgressBar>,
    started: Instant,
    next_line: Duration,
    /// Of a download: what it is called, its size, and how much is here.
    download: (String, Option<u64>, u64),
    interruption: Option<Interruption>,
    /// What was said of the inputs, and whether they are read a second time, when it is not said again.
    said: HashSet<String>,
    reads_again: bool,
}

impl Console {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Console {
            verbosity,
            complaints: Complaints::new(verbosity),
            bar: None,
            started: Instant::now(),
            next_line: FIRST_LINE_AFTER,
            download: (String::new(), None, 0),
            interruption: None,
            said: HashSet::new(),
            reads_again: false,
        }
    }

    /// The inputs are about to be read once more: what was said of them is not said again.
    pub(super) fn read_again(&mut self) {
        self.reads_again = true;
    }

    /// Tells of an error that is not the end.
    pub(super) fn error(&mut self, error: &Error) {
        if self.is_new(&error.to_string()) {
            print_error(error);
        }
    }

    /// Whether this is to be said: it was not, or the inputs are read for the first time.
    fn is_new(&mut self, text: &str) -> bool {
        if self.reads_again {
            return !self.said.contains(text);
        }
        if self.said.len() < MAX_SAID {
            self.said.insert(text.to_owned());
        }
        true
    }

    /// A line for everybody who did not ask for quiet.
    pub(super) fn say(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.above_bar(text);
        }
    }

    /// A line for those who want to know.
    pub(super) fn detail(&self, text: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.above_bar(text);
        }
    }

    /// Tells how many bad items were not told, now that all are read.
    pub(super) fn finish_reading(&mut self) {
        std::mem::replace(&mut self.complaints, Complaints::new(self.verbosity)).finish();
    }

    /// Lets Ctrl-C and SIGTERM end the run that is shown after its step, and no sooner.
    pub(super) fn listen(&mut self) -> Result<()> {
        self.interruption = Some(Interruption::listen()?);
        Ok(())
    }

    /// Lets the next signal end the program; answers with the exit status of the one that came.
    pub(super) fn stop_listening(&mut self) -> Option<u8> {
        self.interruption.take()?.status()
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn above_bar(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    /// Begins to measure time; a bar appears where there is a terminal for it.
    fn start(&mut self, length: Option<u64>, template: &str) {
        self.clear();
        self.started = Instant::now();
        self.next_line = FIRST_LINE_AFTER;
        if self.verbosity == Verbosity::Quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        self.bar = Some(bar);
    }

    /// Whether a log should get a line now.
    fn is_line_due(&mut self) -> bool {
        let elapsed = self.started.elapsed();
        let is_due =
            self.bar.is_none() && self.verbosity > Verbosity::Quiet && elapsed >= self.next_line;
        if is_due {
            self.next_line = elapsed + NEXT_LINE_AFTER;
        }
        is_due
    }
}

impl Observer for Console {
    fn reading(&mut self, input: &Source) {
        let text = format!("reading {input}");
        if self.is_new(&text) {
            self.detail(&text);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.interruption.as_ref().is_some_and(Interruption::is_asked_for)
    }

    fn malformed(&mut self, what: &Malformed, lost: u64) {
        let complaint = what.to_string();
        if self.is_new(&complaint) {
            self.complaints.add(&complaint, lost);
        }
    }

    fn note(&mut self, text: &str) {
        if self.is_new(text) {
            self.say(text);
        }
    }

    fn missed(&mut self, of: &Named, days: &[Date], are_read: bool) {
        let ([first, .., last] | [first @ last]) = days else { return };
        let number = match days.len() {
            1 => "1 announcement day was".to_owned(),
            number => format!("{} announcement days were", wording::count(number as u64)),
        };
        let which = match days.len() {
            ..=DAYS_NAMED => days.iter().map(Date::to_string).collect::<Vec<_>>().join(", "),
            _ => format!("from {first} to {last}"),
        };
        let missed = format!("{of}: {number} not read yet: {which}");
        if !are_read {
            return warn(&format!(
                "{missed}; left out, as --no-catch-up asks; a run without it brings them"
            ));
        }
        let time = of.service.time_of_pages(days.len());
        let time = match time.as_secs() {
            ..60 => String::new(),
            _ => format!(", which takes {} at least", wording::duration(time)),
        };
        self.say(&format!("{missed}; reading them by arXiv's catch-up pages{time}"));
    }

    fn warning(&mut self, text: &str) {
        if self.is_new(text) {
            warn(text);
        }
    }

    fn tried_again(&mut self, paper: &Paper, flaws: &[Flaw]) {
        let flaws: Vec<String> = flaws.iter().map(english).collect();
        let name = paper.id.as_ref().map_or(paper.plain_title.as_str(), PaperId::as_str);
        self.detail(&format!("{name} is tried again: {}", flaws.join("; ")));
    }

    fn progress(&mut self, progress: &Progress) {
        if progress.prefill_tokens + progress.settled == 0 {
            self.start(Some(progress.papers), "{bar:30} {pos}/{len} papers  {msg}");
        }
        let elapsed = self.started.elapsed();
        let message = || {
            let speed = wording::speed(progress, elapsed);
            match time_left(progress, elapsed) {
                Some(left) => format!("{speed}, {} left", wording::duration(left)),
                None => speed,
            }
        };
        if let Some(bar) = &self.bar {
            bar.set_message(message());
            bar.set_position(progress.settled);
        } else if self.is_line_due() {
            let (settled, papers) = (progress.settled, progress.papers);
            let settled = wording::count(settled);
            line(&format!("{settled} of {} papers; {}", wording::count(papers), message()));
        }
    }
}

impl crate::fetch::Progress for Console {
    fn begin(&mut self, what: &str, total_bytes: Option<u64>) {
        self.download = (what.to_owned(), total_bytes, 0);
        let size = total_bytes.map(|total| format!(", {}", wording::bytes(total)));
        self.say(&format!("fetching {what}{}", size.unwrap_or_default()));
        self.start(total_bytes, "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left");
    }

    fn advance(&mut self, bytes: u64) {
        self.download.2 += bytes;
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        } else if self.is_line_due() {
            let (what, total, here) = &self.download;
            let total = total.map(|total| format!(" of {}", wording::bytes(total)));
            line(&format!("{what}: {}{}", wording::bytes(*here), total.unwrap_or_default()));
        }
    }

    fn finish(&mut self) {
        self.clear();
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}

/// How long the papers that are left take at the speed so far; known once some are settled.
fn time_left(progress: &Progress, elapsed: Duration) -> Option<Duration> {
    let left = progress.papers.saturating_sub(progress.settled);
    let per_paper = elapsed.as_secs_f64() / progress.settled as f64;
    Duration::try_from_secs_f64(per_paper * left as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_once_a_paper_is_settled() {
        let check = |settled: u64, expected: Option<u64>| {
            let progress = Progress { papers: 30, settled, ..Progress::default() };
            let left = time_left(&progress, Duration::from_secs(60));
            assert_eq!(left, expected.map(Duration::from_secs));
        };
        check(0, None);
        check(10, Some(120));
        check(30, Some(0));
    }
}
