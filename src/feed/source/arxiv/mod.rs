//! Sources of arXiv's that are named: which there are, what they ask for, and where.
//!
//! | name | what it is | read from |
//! |---|---|---|
//! | `arxiv:cs.CL` | today's announcement | `rss.arxiv.org/rss/cs.CL` |
//! | `arxiv:cs.CL@2026-11-25` | that of a day, up to 90 days back | `arxiv.org/catchup/cs.CL/2026-11-25` |
//! | `arxiv:cs.CL@2026-11-20..2026-11-25`, `arxiv:cs.CL@-3` | those of several days | as above |
//! | `arxiv:query:QUERY` | what the API finds, newest first | `export.arxiv.org/api/query` |
//! | `arxiv:2411.00001,2411.00002` | these papers | as above |
//! | `arxiv:oai:SET@FROM..UNTIL` | what changed, however long ago | `oaipmh.arxiv.org/oai` |
//!
//! Several categories, as in `arxiv:cs.CL+cs.LG`, are as many sources, so that what was read of one
//! is known whatever it is read together with. [`crate::feed::expand`] puts them in place.
//!
//! How servers are asked, one request at a time, is the matter of [`Service`].

mod cache;
mod days;
mod endpoint;
mod get;
mod name;
mod request;
mod service;
mod taxonomy;
mod turn;

use std::fmt;
use std::sync::Arc;

pub use days::{CATCH_UP_DAYS, announcement_days, first_caught_up, is_announcement_day};
pub(in crate::feed) use endpoint::Endpoint;
pub(in crate::feed) use get::{Fetched, Target};
pub use request::Request;
pub use service::Service;
pub(in crate::feed::source) use service::user_agent;
pub(crate) use taxonomy::names as categories;
pub use turn::Turn;
pub(in crate::feed::source) use turn::turn_of;

use crate::Result;

/// A source of arXiv's, and whom to ask.
#[derive(Debug, Clone)]
pub struct Named {
    /// What is asked for.
    pub request: Request,
    /// Whom, and how.
    pub service: Arc<Service>,
}

impl Named {
    /// What an argument that begins with `arxiv:` names; `None` where it does not.
    ///
    /// # Errors
    /// Usage, where it names nothing of arXiv's or a day without a listing.
    pub(in crate::feed) fn parse(
        argument: &str,
        service: impl FnOnce() -> Result<Arc<Service>>,
    ) -> Result<Option<Self>> {
        let Some(name) = name::after_prefix(argument) else { return Ok(None) };
        let service = service()?;
        let request = name::parse(name, service.today())?;
        Ok(Some(Named { request, service }))
    }

    /// The sources that this one stands for: one for each category and day, days in order.
    pub(in crate::feed) fn expand(self) -> Vec<Named> {
        let Request::Many(categories, days) = &self.request else { return vec![self] };
        let requests = categories.iter().flat_map(|category| match days {
            None => vec![Request::Feed(category.clone())],
            Some(days) => days.iter().map(|day| Request::Day(category.clone(), *day)).collect(),
        });
        let named = |request| Named { request, service: Arc::clone(&self.service) };
        requests.map(named).collect()
    }

    /// The same service asked for something else.
    #[must_use]
    pub fn with(&self, request: Request) -> Self {
        Named { request, service: Arc::clone(&self.service) }
    }
}

/// Two that ask for the same are the same.
impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.request == other.request
    }
}

impl Eq for Named {}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request {
            Request::Feed(category) => write!(f, "arxiv:{category}"),
            Request::Day(category, day) => write!(f, "arxiv:{category}@{day}"),
            Request::Many(categories, days) => {
                write!(f, "arxiv:{}", categories.join("+"))?;
                match days.as_deref() {
                    Some([first, .., last]) => write!(f, "@{first}..{last}"),
                    Some([day]) => write!(f, "@{day}"),
                    _ => Ok(()),
                }
            }
            Request::Query(query) => write!(f, "arxiv:query:{query}"),
            Request::Ids(ids) => write!(f, "arxiv:{}", ids.join(",")),
            Request::Oai { set, from, until } => write!(f, "arxiv:oai:{set}@{from}..{until}"),
        }
    }
}
