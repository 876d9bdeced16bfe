//! Sources of arXiv's that are named, read answer by answer into one report, and what the answers
//! count compared with what came.

use std::collections::HashSet;

use super::delivery::{Delivery, Entry};
use super::form::parse;
use super::page::Page;
use super::source::arxiv::{Endpoint, Fetched, Named, Request, Service, Target};
use super::{Event, FeedReport, Format};
use crate::error::ErrorKind;
use crate::http::percent_encoded;
use crate::paper::Date;
use crate::text::quantity::count;
use crate::{Error, Result};

/// How many results are asked for at a time. The API gives 2,000 at most, and fails more often the
/// more it has to give.
const RESULTS_A_CALL: u64 = 200;

/// How many results the API gives of one query.
const RESULTS_MAX: u64 = 30_000;
/// What its answers count.
const RESULTS: &str = "results";

/// How many ids are asked for at a time, so that an address stays short enough.
const IDS_A_CALL: usize = 100;

/// Most pages of a day; the largest days have two.
const DAY_PAGES_MAX: u64 = 50;

/// Most answers of one list of OAI-PMH; all of arXiv has some three thousand.
const LIST_PAGES_MAX: u64 = 10_000;

/// How often an answer without results is asked for again, since the API does so when it is busy.
const EMPTY_ANSWERS_MAX: u32 = 3;

/// Reads what `named` asks for.
pub(super) fn read(
    named: &Named,
    name: &str,
    sink: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<FeedReport> {
    let mut delivery = Delivery::new(name, sink);
    (delivery.follows_pages, delivery.is_fetched) = (true, true);
    let service = &*named.service;
    let is_looked_at = matches!(named.request, Request::Query(_) | Request::Day(..));
    delivery.of_answer = is_looked_at.then(Vec::new);
    let (came, pages) = (HashSet::new(), Vec::new());
    let mut reading = Reading { service, name, out: delivery, held: 0, came, pages };
    match &named.request {
        Request::Feed(category) => reading.feed(category)?,
        Request::Day(category, day) => reading.day(category, *day)?,
        Request::Query(query) => reading.query(query)?,
        Request::Ids(ids) => reading.ids(ids)?,
        Request::Oai { set, from, until } => reading.list(set, *from, *until)?,
        Request::Many(..) => {
            let message = format!("{name} stands for several sources");
            return Err(Error::new(ErrorKind::Usage, message).hint("it has to be expanded first"));
        }
    }
    reading.out.finish()
}

/// Most items of a feed: arXiv sorts replacements and cross-lists before new papers, and cuts it here
/// (`result_limit` of the feeds' source, github.com/arXiv/arxiv-feed).
const FEED_ITEMS_MAX: u64 = 2_000;

/// A source that is being read.
struct Reading<'a> {
    service: &'a Service,
    name: &'a str,
    out: Delivery<'a>,
    /// Items that the answers held so far, those that could not be read included, those that came again not.
    held: u64,
    /// The entries of a query, or of a day, so far.
    came: HashSet<Entry>,
    /// Pages of a day, which are kept once it is known that the day is whole.
    pages: Vec<Fetched>,
}

impl Reading<'_> {
    fn feed(&mut self, category: &str) -> Result<()> {
        let url = format!("{}/{category}", self.service.address(Endpoint::Rss));
        let page = self.answer(Endpoint::Rss, url, false)?;
        if page.items >= FEED_ITEMS_MAX {
            let day = self.out.day().map_or("DAY".to_owned(), |day| day.to_string());
            self.out.cut_off(format!(
                "holds {} items, the most that arXiv puts into a feed, and leaves out new papers first; \
                 arxiv:{category}@{day} has all",
                count(page.items)
            ));
        }
        Ok(())
    }

    fn day(&mut self, category: &str, day: Date) -> Result<()> {
        let address = self.service.address(Endpoint::Page);
        let is_settled = day < self.service.today();
        // arXiv shows what is there now below the day's headings: a new paper may be a later version by now.
        self.out.may_be_replaced = is_settled;
        let mut total = 0;
        for number in 1..=DAY_PAGES_MAX {
            let url = format!("{address}/{category}/{day}?abs=True&page={number}");
            let page = self.answer(Endpoint::Page, url, is_settled)?;
            if self.out.format() != Some(Format::CatchUp) {
                return Err(self
                    .out
                    .error("is no catch-up page")
                    .hint("is it arXiv that answers?"));
            }
            if let Some(other) = self.out.day().filter(|other| *other != day) {
                return Err(self.out.error(&format!("was asked for, and the page is of {other}")));
            }
            total = total.max(page.total.unwrap_or(0));
            if self.held >= total || page.items == 0 || page.is_again || self.out.is_broken() {
                return self.compare(total, "entries");
            }
        }
        let message = format!("has more than {DAY_PAGES_MAX} pages");
        Err(self.out.error(&message).hint("is it arXiv that answers?"))
    }

    fn query(&mut self, query: &str) -> Result<()> {
        let query = percent_encoded(query);
        let (mut start, mut total, mut empty_answers) = (0, 0, 0);
        loop {
            let page = self.results(&format!(
                "search_query={query}&start={start}&max_results={RESULTS_A_CALL}\
                 &sortBy=submittedDate&sortOrder=descending"
            ))?;
            total = total.max(page.total.unwrap_or(start + page.items));
            start += page.items;
            if start == page.items && total > RESULTS_A_CALL {
                let all = count(total);
                self.out
                    .fetching(&format!("{}: {all} results, {RESULTS_A_CALL} a call", self.name))?;
            }
            empty_answers = if page.items == 0 { empty_answers + 1 } else { 0 };
            if start >= total.min(RESULTS_MAX)
                || page.is_again
                || self.out.is_broken()
                || empty_answers >= EMPTY_ANSWERS_MAX
            {
                return self.compare(total, RESULTS);
            }
        }
    }

    fn ids(&mut self, ids: &[String]) -> Result<()> {
        // Results that answers counted to the last, and held none of.
        let mut promised = 0;
        for ids in ids.chunks(IDS_A_CALL) {
            let list = percent_encoded(&ids.join(","));
            for empty_answers in 1..=EMPTY_ANSWERS_MAX {
                let page = self.results(&format!("id_list={list}&max_results={IDS_A_CALL}"))?;
                let total = page.total.unwrap_or(0);
                if page.items > 0 || total == 0 {
                    break;
                }
                if empty_answers == EMPTY_ANSWERS_MAX {
                    promised += total;
                }
            }
        }
        let asked = ids.len() as u64;
        let missing = asked.saturating_sub(self.held);
        if missing == 0 || self.out.is_broken() {
            return Ok(());
        }
        if self.held > 0 {
            let (asked, held) = (count(asked), count(self.held));
            let reason = format!("{asked} ids were asked for, and {held} of them came");
            return self.out.short(reason, missing, promised > 0);
        }
        match promised {
            0 => Err(self.out.error("names no paper that arXiv has").hint("check the id")),
            total => self.compare(total, RESULTS),
        }
    }

    fn list(&mut self, set: &str, from: Date, until: Date) -> Result<()> {
        let address = self.service.address(Endpoint::Oai);
        let first = format!(
            "{address}?verb=ListRecords&metadataPrefix=arXivRaw&set={}&from={from}&until={until}",
            percent_encoded(set)
        );
        let mut url = first;
        let mut total = None;
        let mut tokens = HashSet::new();
        for _ in 0..LIST_PAGES_MAX {
            let page = self.answer(Endpoint::Oai, url, false)?;
            total = total.max(page.total);
            let Some(token) = page.token.filter(|_| !self.out.is_broken()) else {
                return self.compare(total.unwrap_or(0), "records");
            };
            url = format!("{address}?verb=ListRecords&resumptionToken={}", percent_encoded(&token));
            if !tokens.insert(token) {
                return Err(self.out.error("goes in a circle: a resumption token came twice"));
            }
        }
        Err(self.out.error(&format!("has more than {LIST_PAGES_MAX} answers")))
    }

    /// One answer of the API.
    fn results(&mut self, question: &str) -> Result<Page> {
        let url = format!("{}?{question}", self.service.address(Endpoint::Api));
        let page = self.answer(Endpoint::Api, url, false)?;
        if self.out.format() == Some(Format::ApiAtom) || self.out.is_broken() {
            return Ok(page);
        }
        Err(self.out.error("is no answer of the API").hint("is it arXiv that answers?"))
    }

    /// Fetches one answer, hands its papers over, and keeps it if nothing is wrong with it.
    fn answer(&mut self, endpoint: Endpoint, url: String, is_settled: bool) -> Result<Page> {
        let target = Target { endpoint, url, is_settled };
        let out = &mut self.out;
        let mut told = Ok(());
        let got = self.service.get(&target, self.name, &mut |text| {
            if told.is_ok() {
                told = out.fetching(text);
            }
        })?;
        told?;
        let lost_before = out.losses();
        out.last_page = None;
        parse(self.name, &got.bytes[..], got.charset.as_deref(), out)?;
        let mut page = out.last_page.take().unwrap_or_default();
        // Of a query's results none is there twice: what moved from one answer into the next, because a paper
        // came in or went meanwhile, hides one that never came. A day may have a paper in two of its lists, and
        // in each of them once.
        let entries = out.of_answer.as_mut().map(std::mem::take).unwrap_or_default();
        let lacking = entries.into_iter().filter(|entry| !self.came.insert(entry.clone())).count();
        let lacking = lacking as u64;
        page.is_again = page.items > 0 && lacking >= page.items;
        self.held += page.items.saturating_sub(lacking);
        let is_empty_handed = page.items == 0 && page.total.is_some_and(|total| total > 0);
        let is_sound =
            self.out.losses() == lost_before && !self.out.is_broken() && !is_empty_handed;
        match endpoint {
            Endpoint::Page if is_sound => self.pages.push(got),
            _ if is_sound => self.service.keep(got),
            _ => {}
        }
        Ok(page)
    }

    /// Compares what came with what was counted. What is behind a break is told as the break.
    fn compare(&mut self, total: u64, what: &str) -> Result<()> {
        let missing = total.saturating_sub(self.held);
        if self.out.is_broken() {
            return Ok(());
        }
        if missing == 0 {
            self.pages.drain(..).for_each(|page| self.service.keep(page));
            return Ok(());
        }
        let (all, held) = (count(total), count(self.held));
        if self.held == 0 {
            let error = self.out.lacks(&format!("counts {all} {what}, and none came"));
            return Err(error.hint("ask again in a while: arXiv does so when it is busy"));
        }
        // The API gives no more of them, whenever it is asked.
        let may_pass = what != RESULTS || self.held < total.min(RESULTS_MAX);
        self.out.short(format!("counts {all} {what}, and {held} came"), missing, may_pass)
    }
}
