//! Days on which arXiv announces: Monday to Friday by the date of the listing, which appears at
//! 20:00 in New York on the evening before. Holidays have no announcement, and an empty page.

use jiff::civil::Weekday;

use crate::error::ErrorKind;
use crate::paper::Date;
use crate::{Error, Result};

/// How many days back there are catch-up pages.
pub const CATCH_UP_DAYS: i32 = 90;

/// Most days that `@-N` can ask for: the weekdays among [`CATCH_UP_DAYS`].
const LAST_DAYS_MAX: usize = 64;

/// Whether a day has an announcement, holidays apart.
pub fn is_announcement_day(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// The first day that has a catch-up page.
pub fn first_caught_up(today: Date) -> Date {
    plus(today, -CATCH_UP_DAYS)
}

/// The days with an announcement from `first` to `last`, both included.
pub fn announcement_days(first: Date, last: Date) -> Vec<Date> {
    let mut days = Vec::new();
    let mut day = first;
    while day <= last {
        if is_announcement_day(day) {
            days.push(day);
        }
        let next = plus(day, 1);
        if next == day {
            break;
        }
        day = next;
    }
    days
}

/// The day so many days later; the same one at the end of the calendar.
pub(super) fn plus(day: Date, days: i32) -> Date {
    day.checked_add(jiff::Span::new().days(days)).unwrap_or(day)
}

/// The days of `2026-11-25`, `2026-11-20..2026-11-25` or `-3`.
pub(super) fn parse(text: &str, today: Date) -> Result<Vec<Date>> {
    if let Some(number) = text.strip_prefix('-')
        && !number.contains('-')
    {
        return last_days(number, today);
    }
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    if first > last {
        let message = format!("the days {text} end before they begin");
        return Err(usage(message, format!("write {last}..{first}")));
    }
    if last > today {
        let message = format!("{last} is still to come: arXiv's day is {today}");
        return Err(usage(
            message,
            "a day is announced at 20:00 in New York on the evening before (UTC 0:00 or 1:00)",
        ));
    }
    let earliest = first_caught_up(today);
    if first < earliest {
        let message = format!(
            "{first} is more than {CATCH_UP_DAYS} days ago, and arXiv's catch-up pages begin at \
             {earliest}"
        );
        return Err(usage(
            message,
            format!("take what changed then: arxiv:oai:SET@{first}..{last}, as arxiv:oai:cs@…"),
        ));
    }
    let days = announcement_days(first, last);
    if days.is_empty() {
        let before = (1..=2).map(|back| plus(first, -back)).find(|day| is_announcement_day(*day));
        let name = match first.weekday() {
            Weekday::Saturday => "Saturday",
            _ => "Sunday",
        };
        let message = format!("{first} is a {name}, and arXiv announces on Monday to Friday");
        let nearest = before.unwrap_or(first);
        return Err(usage(message, format!("the announcement before is that of {nearest}")));
    }
    Ok(days)
}

/// The last announcement days, today's included.
fn last_days(number: &str, today: Date) -> Result<Vec<Date>> {
    let wanted = number.parse().ok().filter(|number| (1..=LAST_DAYS_MAX).contains(number));
    let Some(wanted) = wanted else {
        let message = format!("`-{number}` is no number of days from 1 to {LAST_DAYS_MAX}");
        return Err(usage(message, "write arxiv:cs.CL@-3 for the last three announcements"));
    };
    let days = announcement_days(first_caught_up(today), today);
    Ok(days[days.len().saturating_sub(wanted)..].to_vec())
}

/// `2026-11-25`.
pub(super) fn day(text: &str) -> Result<Date> {
    let parsed = if text.len() == 10 { text.parse().ok() } else { None };
    parsed.ok_or_else(|| {
        let message = format!("`{}` is no day", crate::text::printable(text, 40));
        usage(message, "write 2026-11-25, 2026-11-20..2026-11-25, or -3 for the last three")
    })
}

fn usage(message: String, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message).hint(hint)
}
