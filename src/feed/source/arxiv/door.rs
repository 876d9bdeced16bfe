//! The doors that arXiv has for programs: where they are, and how often they may be knocked at.

use std::time::Duration;

/// Which of arXiv's doors is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::feed) enum Kind {
    /// Feeds of today.
    Rss,
    /// Pages of the catch-up.
    Page,
    /// The API.
    Api,
    /// OAI-PMH.
    Oai,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Rss => "rss",
            Kind::Page => "page",
            Kind::Api => "api",
            Kind::Oai => "oai",
        }
    }

    pub(super) fn address(self) -> &'static str {
        match self {
            Kind::Rss => "https://rss.arxiv.org/rss",
            Kind::Page => "https://arxiv.org/catchup",
            Kind::Api => "https://export.arxiv.org/api/query",
            Kind::Oai => "https://oaipmh.arxiv.org/oai",
        }
    }

    pub(super) fn mirror_path(self) -> &'static str {
        match self {
            Kind::Rss => "/rss",
            Kind::Page => "/catchup",
            Kind::Api => "/api/query",
            Kind::Oai => "/oai",
        }
    }

    /// What arXiv asks for: three seconds between calls of its interfaces (its terms of use for
    /// APIs), fifteen between pages (its robots.txt).
    pub(super) fn pause(self) -> Duration {
        match self {
            Kind::Rss | Kind::Api | Kind::Oai => Duration::from_secs(3),
            Kind::Page => Duration::from_secs(15),
        }
    }
}
