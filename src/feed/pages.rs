//! What is made of answers that say to be a part of a whole.
//!
//! A file that is such an answer is read as it stands, and what it says to be missing from it is
//! told. A source that is read over the network goes on until it has all of them.

use super::delivery::Delivery;
use super::page::Page;
use super::{Format, Position};
use crate::Result;
use crate::text::quantity::count;

/// Most papers that an answer may count: three times what arXiv has.
const MAX_PAPERS: u64 = 10_000_000;

impl Delivery<'_> {
    /// Takes in what an answer says of the whole.
    pub(super) fn page(&mut self, page: Page) -> Result<()> {
        let most =
            [page.start, page.total.unwrap_or(0), page.promised.unwrap_or(0)].into_iter().max();
        if let Some(number) = most.filter(|number| *number > MAX_PAPERS) {
            return Err(
                self.error(&format!("counts {} papers, more than there are", count(number)))
            );
        }
        if self.follows_pages {
            self.last_page = Some(page);
            return Ok(());
        }
        self.tell(page)
    }

    /// Reports items that an answer counts and does not hold, and whether another try may bring
    /// them.
    pub(super) fn short(&mut self, reason: String, missing: u64, may_pass: bool) -> Result<()> {
        self.missing = self.missing.saturating_add(missing);
        self.may_pass |= may_pass;
        self.lose(Position::Whole, reason, missing)
    }

    /// Tells what is missing of an answer that stands by itself.
    fn tell(&mut self, page: Page) -> Result<()> {
        let next = page.start.saturating_add(page.items);
        let missing = page.promised.unwrap_or(0).saturating_sub(page.items);
        if missing > 0 {
            let (promised, held) = (count(page.promised.unwrap_or(0)), count(page.items));
            let reason = format!("counts {promised} entries and holds {held}");
            self.short(reason, missing, self.is_fetched)?;
        }
        let total = page.total.unwrap_or(0);
        match self.format() {
            Some(Format::ApiAtom) if next < total && page.items == 0 => {
                let all = count(total);
                let what =
                    format!("is an answer of the API that counts {all} results and holds none");
                Err(self.lacks(&what).hint(
                    "ask again in a while: the API does so when it is busy; `max_results` must \
                     not be 0",
                ))
            }
            Some(Format::ApiAtom) if next < total => {
                let (held, all) = (count(page.items), count(total));
                self.more(format!(
                    "holds {held} of {all} results; further pages begin at start={next}"
                ))
            }
            Some(Format::CatchUp) if next + missing < total => {
                let (held, all) = (count(page.items), count(total));
                self.more(format!(
                    "holds {held} of {all} entries of its day; the others are on other pages"
                ))
            }
            Some(Format::Oai) if page.token.is_some() => {
                let all = page.total.map(|all| format!(" of {}", count(all))).unwrap_or_default();
                let held = count(page.items);
                self.more(format!("holds {held} records{all}; its resumption token leads to more"))
            }
            _ => Ok(()),
        }
    }
}
