//! Numbers, durations and accounts in words.

use std::time::Duration;

use crate::card::Measured;
use crate::generate::Misses;
use crate::pipeline::Progress;
use crate::store::Account;
use crate::text::printable;
pub(super) use crate::text::quantity::{bytes, count};

/// `1 h 2 min`, `12 min 3 s`, `8 s`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min} min"),
    }
}

/// `3,815 MiB of memory; 1,090 papers/h on two cores of Zen 5; chrF 60 / 31 / 61`.
pub(super) fn measured(measured: &Measured) -> String {
    let Measured { memory, papers_per_hour, processor, quality, .. } = measured;
    let (memory, papers) = (bytes(*memory), count(u64::from(*papers_per_hour)));
    format!("{memory} of memory; {papers} papers/h on {processor}; {quality}")
}

/// How many a unit of time; nothing where no time has passed.
pub(super) fn rate(number: u64, time: Duration, unit: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (number as f64 * unit.as_secs_f64() / seconds).round() as u64 } else { 0 }
}

/// `1,140 papers/h, 155 tokens/s`.
pub(super) fn speed(progress: &Progress, time: Duration) -> String {
    let papers = rate(progress.settled, time, Duration::from_secs(3600));
    let tokens = rate(progress.decode_tokens, time, Duration::from_secs(1));
    format!("{} papers/h, {} tokens/s", count(papers), count(tokens))
}

/// The sum over everything that was read.
pub(super) fn account(account: &Account) -> String {
    let noticed = match account.noticed {
        0 => String::new(),
        number => format!(" + nothing to summarise {}", count(number)),
    };
    format!(
        "read {} = summarised {} + reused {}{} + skipped {} + failed {}{noticed}",
        count(account.read),
        count(account.summarised),
        count(account.reused + account.imported),
        left_out(account),
        count(account.skipped()),
        count(account.failed),
    )
}

/// The sum of a run that lists papers only.
pub(super) fn listing(account: &Account) -> String {
    let others = account.filtered + account.other_shards + account.skipped();
    format!(
        "read {} = listed {}{} + skipped {}",
        count(account.read),
        count(account.read - others),
        left_out(account),
        count(account.skipped()),
    )
}

/// The terms of a sum that are there where papers were to be left out.
fn left_out(account: &Account) -> String {
    let terms = [("filtered", account.filtered), ("left to other shards", account.other_shards)];
    let some = terms.into_iter().filter(|(_, number)| *number > 0);
    some.map(|(what, number)| format!(" + {what} {}", count(number))).collect()
}

/// What follows the account of a run in which a model wrote.
pub(super) fn effort(progress: &Progress, time: Duration) -> String {
    format!(
        "; {} retried, {} flagged; {}, {}",
        count(progress.retried),
        count(progress.flagged),
        duration(time),
        speed(progress, time),
    )
}

/// Which summaries are damaged in the store, if any are.
pub(super) fn damaged(papers: &[String]) -> Option<String> {
    const NAMED: usize = 5;
    let named: Vec<String> = papers.iter().take(NAMED).map(|paper| printable(paper, 60)).collect();
    let more = if papers.len() > NAMED { ", …" } else { "" };
    let (what, who) = match papers.len() {
        0 => return None,
        1 => ("1 summary in the store is damaged and is".to_owned(), named.join("")),
        some => {
            let some = count(some as u64);
            (format!("{some} summaries in the store are damaged and are"), named.join(", "))
        }
    };
    Some(format!("{what} written anew: {who}{more}"))
}

/// Why what was skipped was skipped.
pub(super) fn skipped(account: &Account) -> String {
    let reasons = [
        (account.duplicates, "met more than once"),
        (account.filtered, "filtered out"),
        (account.other_shards, "left to other shards"),
        (account.existing, "already in the output"),
        (account.over_limit, "over the limit"),
        (account.malformed, "could not be read"),
        (account.deleted, "deleted"),
    ];
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, reason)| format!("{} {reason}", count(number)))
        .collect();
    reasons.join(", ")
}

/// What a shortlist would have missed.
pub(super) fn misses(Misses { misses, choices }: Misses) -> String {
    let percent = 100.0 * misses as f64 / choices.max(1) as f64;
    let (misses, choices) = (count(misses), count(choices));
    format!("the shortlist would have missed {misses} of {choices} tokens ({percent:.3} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_times() {
        let check = |text: String, expected: &str| assert_eq!(text, expected);
        check(count(0), "0");
        check(count(999), "999");
        check(count(1_140), "1,140");
        check(count(12_345_678), "12,345,678");
        check(duration(Duration::from_millis(8_900)), "8 s");
        check(duration(Duration::from_secs(723)), "12 min 3 s");
        check(duration(Duration::from_secs(3_725)), "1 h 2 min");
        check(bytes(1), "1 KiB");
        check(bytes(253_113_024), "241 MiB");
    }

    #[test]
    fn words_an_account() {
        let sum = Account {
            read: 1_230,
            summarised: 1_221,
            reused: 3,
            imported: 2,
            duplicates: 1,
            malformed: 1,
            failed: 2,
            ..Account::default()
        };
        assert!(sum.adds_up());
        assert_eq!(
            account(&sum),
            "read 1,230 = summarised 1,221 + reused 5 + skipped 2 + failed 2"
        );
        let with_notice = Account { noticed: 1, read: 1_231, ..sum };
        let of_shard = Account { filtered: 4, other_shards: 7_000, read: 8_234, ..sum };
        assert!(of_shard.adds_up());
        assert!(account(&of_shard).ends_with(
            " + reused 5 + filtered 4 + left to other shards 7,000 + skipped 2 + failed 2"
        ));
        assert!(account(&with_notice).ends_with(" + failed 2 + nothing to summarise 1"));
        assert_eq!(skipped(&sum), "1 met more than once, 1 could not be read");
    }

    #[test]
    fn words_an_effort() {
        let progress = Progress {
            settled: 229,
            retried: 14,
            flagged: 3,
            decode_tokens: 112_065,
            ..Progress::default()
        };
        assert_eq!(
            effort(&progress, Duration::from_secs(723)),
            "; 14 retried, 3 flagged; 12 min 3 s, 1,140 papers/h, 155 tokens/s"
        );
    }

    #[test]
    fn speed_is_told_when_no_time_has_passed() {
        let progress = Progress { settled: 19, decode_tokens: 9_300, ..Progress::default() };
        assert_eq!(speed(&progress, Duration::ZERO), "0 papers/h, 0 tokens/s");
        assert_eq!(speed(&progress, Duration::from_secs(60)), "1,140 papers/h, 155 tokens/s");
    }
}
