//! arXiv's endpoints: their addresses, and the pauses between requests to them.

use std::time::Duration;

/// One of arXiv's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::feed) enum Endpoint {
    /// Feeds of today.
    Rss,
    /// Pages of the catch-up.
    Page,
    /// The API.
    Api,
    /// OAI-PMH.
    Oai,
}

impl Endpoint {
    pub(super) fn name(self) -> &'static str {
        match self {
            Endpoint::Rss => "rss",
            Endpoint::Page => "page",
            Endpoint::Api => "api",
            Endpoint::Oai => "oai",
        }
    }

    pub(super) fn address(self) -> &'static str {
        match self {
            Endpoint::Rss => "https://rss.arxiv.org/rss",
            Endpoint::Page => "https://arxiv.org/catchup",
            Endpoint::Api => "https://export.arxiv.org/api/query",
            Endpoint::Oai => "https://oaipmh.arxiv.org/oai",
        }
    }

    pub(super) fn mirror_path(self) -> &'static str {
        match self {
            Endpoint::Rss => "/rss",
            Endpoint::Page => "/catchup",
            Endpoint::Api => "/api/query",
            Endpoint::Oai => "/oai",
        }
    }

    /// What arXiv asks for: three seconds between calls of its interfaces (its terms of use for
    /// APIs), fifteen between pages (its robots.txt).
    pub(super) fn pause(self) -> Duration {
        match self {
            Endpoint::Rss | Endpoint::Api | Endpoint::Oai => Duration::from_secs(3),
            Endpoint::Page => Duration::from_secs(15),
        }
    }
}
