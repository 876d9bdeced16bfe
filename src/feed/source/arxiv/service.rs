//! Whom to ask for arXiv's sources, and with which manners: addresses, pauses, tries, the name that
//! requests are sent under.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::endpoint::Endpoint;
use crate::error::ErrorKind;
use crate::http::Limits;
use crate::paper::Date;
use crate::text::printable;
use crate::{Error, Result, system};

/// How many tries a request has.
const TRIES: u32 = 3;

/// Pause before the second try; each further one is twice as long.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Longest silence of a server: OAI-PMH takes a minute and a half for some answers.
const SILENCE: Duration = Duration::from_secs(120);

/// Longest pause that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Most seconds that a variable may say.
const SECONDS_MAX: f64 = 86_400.0;

/// Most characters of a contact.
const MAX_CONTACT_CHARS: usize = 200;

/// Whom to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What takes the place of arXiv's hosts.
    mirror: Option<String>,
    contact: Option<String>,
    /// The pause between two requests to any endpoint, where it is not arXiv's own.
    pause: Option<Duration>,
    limits: Limits,
    folder: PathBuf,
    today: Date,
}

impl Service {
    /// arXiv, or what the environment names in its place:
    ///
    /// | variable | what it does |
    /// |---|---|
    /// | `WENZHAI_CONTACT` | an address or page by which arXiv, or the server of an address, can reach who asks |
    /// | `WENZHAI_ARXIV_URL` | a mirror: `/rss`, `/catchup`, `/api/query` and `/oai` below it are asked |
    /// | `WENZHAI_ARXIV_PAUSE` | seconds between two requests to the mirror |
    /// | `WENZHAI_ARXIV_TRIES` | how often a request is tried |
    /// | `WENZHAI_ARXIV_TIMEOUT` | seconds that a server may be silent |
    /// | `WENZHAI_ARXIV_TODAY` | the day that counts as today |
    /// | `WENZHAI_HOME` | the folder below which answers are kept for a day |
    ///
    /// # Errors
    /// Usage, where one of them does not say what it should.
    pub fn from_env() -> Result<Self> {
        let mirror = variable("WENZHAI_ARXIV_URL")?;
        let mirror = mirror.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = mirror.as_deref().filter(|url| !url.starts_with("http")) {
            let message = format!("WENZHAI_ARXIV_URL is `{}`, which is no address", shown(url));
            return Err(usage(message, "it begins with http:// or https://"));
        }
        let seconds = |name, least| number::<f64>(name, least, SECONDS_MAX);
        // What arXiv asks for is kept to where it is arXiv that is asked.
        let pause = seconds("WENZHAI_ARXIV_PAUSE", 0.0)?.filter(|_| mirror.is_some());
        let pause = pause.map(Duration::from_secs_f64);
        let defaults = Limits {
            tries: TRIES,
            pause: RETRY_PAUSE,
            silence: SILENCE,
            retry_after: RETRY_AFTER_MAX,
            ..Limits::default()
        };
        let silence = seconds("WENZHAI_ARXIV_TIMEOUT", 0.1)?.map(Duration::from_secs_f64);
        let tries = number::<u32>("WENZHAI_ARXIV_TRIES", 1, 100)?;
        let today = variable("WENZHAI_ARXIV_TODAY")?
            .map(|day| super::days::day(&day))
            .transpose()
            .map_err(|error| of("WENZHAI_ARXIV_TODAY", error).hint("write a day: 2026-11-25"))?;
        let service = Service {
            mirror,
            contact: None,
            pause,
            limits: Limits {
                tries: tries.unwrap_or(defaults.tries),
                pause: pause.map_or(defaults.pause, |pause| pause.min(defaults.pause)),
                silence: silence.unwrap_or(defaults.silence),
                connect: silence.map_or(defaults.connect, |time| time.min(defaults.connect)),
                ..defaults
            },
            folder: system::cache_folder()
                .unwrap_or_else(|| std::env::temp_dir().join("wenzhai"))
                .join("arxiv"),
            today: today.unwrap_or_else(utc_today),
        };
        match variable("WENZHAI_CONTACT")? {
            Some(contact) => {
                service.with_contact(&contact).map_err(|error| of("WENZHAI_CONTACT", error))
            }
            None => Ok(service),
        }
    }

    /// The same, with a contact: an address of e-mail or a page.
    ///
    /// # Errors
    /// Usage, where it cannot be sent.
    pub fn with_contact(self, contact: &str) -> Result<Self> {
        let contact = contact.trim();
        let fits = contact.chars().count() <= MAX_CONTACT_CHARS
            && contact.chars().all(|c| matches!(c, ' '..='~') && !matches!(c, '(' | ')' | '\\'));
        if !fits {
            let message = format!("the contact `{}` cannot be sent", shown(contact));
            let hint =
                format!("name an address of e-mail or a page, in {MAX_CONTACT_CHARS} letters");
            return Err(usage(message, &hint));
        }
        let contact = Some(contact.to_owned()).filter(|contact| !contact.is_empty());
        Ok(Service { contact, ..self })
    }

    /// Whom a server can write to.
    pub fn contact(&self) -> Option<&str> {
        self.contact.as_deref()
    }

    /// The day that counts as today: that of Greenwich, at whose midnight or an hour later arXiv
    /// announces.
    pub fn today(&self) -> Date {
        self.today
    }

    /// The name that requests are sent under.
    pub fn user_agent(&self) -> String {
        user_agent(self.contact.as_deref())
    }

    /// How long it waits between two requests, for each endpoint.
    pub fn pauses(&self) -> [(&'static str, Duration); 4] {
        [Endpoint::Rss, Endpoint::Page, Endpoint::Api, Endpoint::Oai]
            .map(|endpoint| (endpoint.name(), self.pause(endpoint)))
    }

    /// How long so many catch-up pages take at least, because of the pauses between them.
    pub fn time_of_pages(&self, pages: usize) -> Duration {
        let pauses = u32::try_from(pages.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause(Endpoint::Page).saturating_mul(pauses)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The folder for what is kept between requests.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address below which requests to an endpoint go.
    pub(in crate::feed) fn address(&self, endpoint: Endpoint) -> String {
        match &self.mirror {
            Some(mirror) => format!("{mirror}{}", endpoint.mirror_path()),
            None => endpoint.address().to_owned(),
        }
    }

    /// The pause between two requests to an endpoint.
    pub(in crate::feed) fn pause(&self, endpoint: Endpoint) -> Duration {
        self.pause.unwrap_or_else(|| endpoint.pause())
    }
}

/// The name that requests are sent under.
pub(in crate::feed::source) fn user_agent(contact: Option<&str>) -> String {
    const NAME: &str = concat!("wenzhai/", env!("CARGO_PKG_VERSION"));
    match contact {
        Some(contact) => format!("{NAME} (digest for one reader; {contact})"),
        None => format!("{NAME} (digest for one reader)"),
    }
}

fn utc_today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// An error of what a variable says.
fn of(variable: &str, error: Error) -> Error {
    let message = format!("{variable}: {error}");
    error.saying(message)
}

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(usage(format!("{name} is no text"), "set it anew, or unset it"))
        }
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    least: T,
    most: T,
) -> Result<Option<T>> {
    let Some(value) = variable(name)? else { return Ok(None) };
    let number = value.parse().ok().filter(|number| *number >= least && *number <= most);
    number.map(Some).ok_or_else(|| {
        let message = format!("{name} is `{}`", shown(&value));
        usage(message, &format!("it is a number from {least} to {most}"))
    })
}

fn shown(text: &str) -> String {
    printable(text, 80)
}

fn usage(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::Usage, message).hint(hint)
}
