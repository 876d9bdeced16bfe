//! Dates as HTTP writes them (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
//!
//! Only the form that senders must use is read. The two old ones are taken for no date.

use std::time::{Duration, SystemTime};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Years that are believed, so that no sum overflows.
const YEARS: std::ops::RangeInclusive<u64> = 1970..=9999;

pub(super) fn parse_date(text: &str) -> Option<SystemTime> {
    let mut words = text.split_ascii_whitespace();
    words.next()?.strip_suffix(',')?;
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let year: u64 = words.next()?.parse().ok().filter(|year| YEARS.contains(year))?;
    let time = words.next()?;
    if (words.next()?, words.next()) != ("GMT", None) {
        return None;
    }
    let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // The 60th second is a leap second.
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Days of the Gregorian calendar; `month` counts from 0.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_years_to = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_years_to(year) > leap_years_to(year - 1);
    let leap_day = u64::from(is_leap && month > 1);
    (year - 1970) * 365 + leap_years_to(year - 1) - leap_years_to(1969)
        + DAYS_BEFORE[month as usize]
        + leap_day
        + day
        - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds as `date -u -d TEXT +%s` gives them.
    #[test]
    fn dates_are_seconds() {
        let check = |text: &str, expected: Option<u64>| {
            let expected = expected.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
            assert_eq!(parse_date(text), expected, "{text}");
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199));
        check("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200));
        check("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400));
        for wrong in [
            "",
            "120",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            check(wrong, None);
        }
    }
}
