//! The index of many days: a list of days, and their titles to search in.

use std::io::Write;

use minijinja::{Value, context};

use super::policy::policy;
use super::{STYLE, put};
use crate::digest::entry::{self, State};
use crate::digest::line::one_line;
use crate::digest::templates::Templates;
use crate::digest::view::{anchor, text_value};
use crate::digest::{Overview, Records};
use crate::error::Result;
use crate::paper::Date;

const SCRIPT: &str =
    concat!(include_str!("../templates/theme.js"), include_str!("../templates/index.js"));

/// One day of an index.
#[derive(Debug, Clone)]
pub struct DayOfSite {
    /// The day.
    pub date: Date,
    /// The file of its page, as seen from the index.
    pub page: String,
    /// How its papers fared; none where its records cannot be read, and its page is an earlier one.
    pub overview: Option<Overview>,
    /// Its titles, or none where the day is too old for them.
    pub titles: Vec<TitleOfSite>,
}

/// One paper of an index.
#[derive(Debug, Clone)]
pub struct TitleOfSite {
    anchor: String,
    heading: String,
    title: String,
    mark: &'static str,
}

impl DayOfSite {
    /// A day whose records cannot be read any more, and whose page is there.
    pub fn unreadable(date: Date, page: String) -> Self {
        DayOfSite { date, page, overview: None, titles: Vec::new() }
    }

    /// How many papers it has, as far as that is known.
    pub fn papers(&self) -> u64 {
        self.overview.as_ref().map_or(0, |overview| overview.papers)
    }

    /// The day of `records`, the titles of which are kept in memory where `with_titles`.
    pub fn of(date: Date, page: String, records: &dyn Records, with_titles: bool) -> Result<Self> {
        let overview = Some(Overview::of(records)?);
        let mut titles = Vec::new();
        if with_titles {
            records.for_each_record(&mut |record| {
                titles.push(TitleOfSite {
                    anchor: anchor(record),
                    heading: one_line(entry::heading(record)),
                    title: one_line(entry::short_title(&record.title)),
                    mark: match entry::state(record) {
                        State::Marked => "⚠",
                        State::Failed => "❌",
                        State::Clean | State::Noticed => "",
                    },
                });
                Ok(())
            })?;
        }
        Ok(DayOfSite { date, page, overview, titles })
    }
}

/// Writes the index of `days`, which stand in it as they come. `feed` is the file of the feed, as
/// seen from the index.
///
/// # Errors
/// `Io` where `out` cannot be written to.
pub fn site_index(days: &[DayOfSite], feed: &str, out: &mut dyn Write) -> Result<()> {
    let templates = Templates::new()?;
    let papers: u64 = days.iter().map(DayOfSite::papers).sum();
    let first_bare = days.iter().find(|day| day.titles.is_empty() && day.papers() > 0);
    let head = context! {
        policy => policy(STYLE, SCRIPT),
        style => STYLE,
        feed => feed,
        days => days.len(),
        papers => papers,
        searched_to => first_bare.map(|day| day.date.to_string()),
    };
    put(out, &templates.fill("index-head.html", head)?)?;
    for (number, day) in days.iter().enumerate() {
        put(out, &templates.fill("index-day.html", day_value(day, number == 0))?)?;
    }
    let tail = context! { script => SCRIPT, has_section => true, is_empty => days.is_empty() };
    put(out, &templates.fill("page-tail.html", tail)?)
}

fn day_value(day: &DayOfSite, is_first: bool) -> Value {
    let title = |title: &TitleOfSite| {
        context! {
            anchor => title.anchor.as_str(),
            heading => text_value(&title.heading),
            title => (title.title != title.heading).then(|| text_value(&title.title)),
            mark => title.mark,
        }
    };
    context! {
        is_first => is_first,
        date => day.date.to_string(),
        weekday => weekday(day.date),
        page => day.page.as_str(),
        papers => day.overview.as_ref().map(|overview| overview.papers),
        marked => day.overview.as_ref().map(|overview| overview.marked),
        without => day.overview.as_ref().map(|overview| overview.failed + overview.noticed),
        titles => day.titles.iter().map(title).collect::<Vec<_>>(),
    }
}

fn weekday(date: Date) -> &'static str {
    const NAMES: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];
    let days_after_monday = date.weekday().to_monday_zero_offset();
    usize::try_from(days_after_monday).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("")
}
