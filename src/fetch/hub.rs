//! A file of the Hugging Face hub: found in the folder that other programs share, or downloaded.
//!
//! Layout and token of the shared folder are read with `hf-hub`; the download is our own. The
//! crate's has no time limits, appends the whole file to the part that is there when a server
//! ignores `Range`, and cannot finish a part that is complete but was not renamed. Here a body that
//! breaks off is continued at once, and by a later run, and no answer is trusted to be the range
//! that was asked for. What the environment sets (`HF_ENDPOINT`, `HF_TOKEN`) is in [`Origins`].
//! Left out: other kinds of repositories, parallel ranges, `HF_HUB_CACHE`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Repo, RepoType};
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, StatusCode};
use ureq::{Agent, Body};

use super::intake::{CopyError, Expected, Intake, Reason, Received, Writer};
use super::{Origins, Progress};
use crate::card::{HubFile, is_file_name, is_sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::hash;

/// The hub's own address.
pub(super) const ENDPOINT: &str = "https://huggingface.co";

/// Longest time to a connection, to the head of an answer, and between two reads of its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Consecutive tries that may bring no byte before the source is given up.
const FRUITLESS_TRIES_MAX: u32 = 3;

/// Redirects that stay on the hub: renamed repositories.
const REDIRECTS_MAX: u32 = 5;

/// Reads `OWNER/NAME:FILE[@REVISION]`.
pub(super) fn parse(spec: &str) -> Result<HubFile> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Usage, format!("`hf:{spec}` {what}"))
            .hint("the form is hf:OWNER/NAME:FILE or hf:OWNER/NAME:FILE@REVISION")
    };
    let (repo, rest) = spec.split_once(':').ok_or_else(|| wrong("names no file"))?;
    let (file, revision) = rest.split_once('@').unwrap_or((rest, "main"));
    if repo.split('/').count() != 2 || !repo.split('/').all(is_file_name) {
        return Err(wrong("does not begin with OWNER/NAME"));
    }
    if !file.split('/').all(is_file_name) {
        return Err(wrong("names no file that can be stored"));
    }
    if !revision.split('/').all(is_file_name) {
        return Err(wrong("names no revision"));
    }
    Ok(HubFile { repo: repo.into(), revision: revision.into(), file: file.into() })
}

/// Delivers the file, from the shared folder if it has it.
pub(super) fn receive(
    intake: &Intake,
    file: &HubFile,
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<Received, Reason> {
    if let Some(folder) = &origins.hub_cache
        && let Some(path) = in_shared_folder(folder, file)
    {
        match intake.copy(&path, progress) {
            Ok(received) => return Ok(received),
            Err(reason) => progress.note(&format!("{}: {reason}", path.display())),
        }
    }
    let client = Client::new(origins);
    let url = url(&origins.hub_endpoint, file);
    match intake.expected {
        Expected::File { sha256, .. } => client.download(intake, &url, sha256, progress),
        Expected::Anything => {
            let about = client.describe(&url)?;
            let expected = about.expected();
            let intake = Intake { slot: intake.slot, expected };
            client.download(&intake, &url, &hash::sha256(&about.etag), progress)
        }
    }
}

/// A branch is looked up in `refs/`; a commit is the name of its snapshot.
fn in_shared_folder(folder: &Path, file: &HubFile) -> Option<PathBuf> {
    let repo = Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone());
    let repo = hf_hub::Cache::new(folder.to_owned()).repo(repo);
    let of_commit = repo.pointer_path(&file.revision).join(&file.file);
    repo.get(&file.file).or_else(|| of_commit.is_file().then_some(of_commit))
}

fn url(endpoint: &str, HubFile { repo, revision, file }: &HubFile) -> String {
    let file: Vec<String> = file.split('/').map(percent_encode).collect();
    format!("{endpoint}/{repo}/resolve/{}/{}", percent_encode(revision), file.join("/"))
}

fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// What the hub tells about a file before sending it.
struct About {
    /// For files in large file storage, as weights are, the SHA-256 of the content.
    etag: String,
    bytes: Option<u64>,
}

impl About {
    fn expected(&self) -> Expected<'_> {
        match self.bytes {
            Some(bytes) if is_sha256(&self.etag) => Expected::File { bytes, sha256: &self.etag },
            _ => Expected::Anything,
        }
    }
}

struct Client {
    agent: Agent,
    endpoint: String,
    authorization: Option<String>,
}

impl Client {
    fn new(origins: &Origins) -> Self {
        let agent = Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            // A range counts bytes of what is sent, which must therefore be the file itself.
            .accept_encoding("identity")
            .user_agent(concat!("wenzhai/", env!("CARGO_PKG_VERSION")))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .build()
            .into();
        let authorization = origins.hub_token.as_ref().map(|token| format!("Bearer {token}"));
        Client { agent, endpoint: origins.hub_endpoint.clone(), authorization }
    }

    /// Asks for size and SHA-256. The hub tells them in the redirect to its storage, which is
    /// therefore not followed; redirects within the hub are.
    fn describe(&self, url: &str) -> Result<About, Reason> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.agent.head(&url);
            if let Some(value) = &self.authorization {
                request = request.header("authorization", value);
            }
            let response = request
                .config()
                .max_redirects(0)
                .build()
                .call()
                .map_err(|error| self.reason(&error, &url))?;
            let headers = response.headers();
            match text(headers, "location") {
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    url = format!("{}{path}", origin(&self.endpoint));
                }
                _ => return Ok(about(headers)),
            }
        }
        Err(format!("{url} is redirected more than {REDIRECTS_MAX} times"))
    }

    /// Downloads into the side folder; `key` names the content, so that a part of another
    /// content is never continued.
    fn download(
        &self,
        intake: &Intake,
        url: &str,
        key: &str,
        progress: &mut dyn Progress,
    ) -> Result<Received, Reason> {
        progress.begin(intake.slot.file_name(), intake.expected.bytes());
        let part = format!("{}.part", key.get(..16).unwrap_or(key));
        let received = intake.resume(&part, progress).and_then(|mut writer| {
            self.fill(&mut writer, url, progress)?;
            writer.finish()
        });
        progress.finish();
        received
    }

    fn fill(
        &self,
        writer: &mut Writer,
        url: &str,
        progress: &mut dyn Progress,
    ) -> Result<(), Reason> {
        let mut fruitless_tries = 0;
        while !writer.is_full() {
            let before = writer.written();
            let broken = match self.attempt(writer, url, progress) {
                Ok(()) => return Ok(()),
                Err(Attempt::Useless(reason)) => return Err(reason),
                Err(Attempt::Broken(reason)) => reason,
            };
            if writer.written() > before {
                fruitless_tries = 0;
                continue;
            }
            fruitless_tries += 1;
            if fruitless_tries == FRUITLESS_TRIES_MAX {
                return Err(broken);
            }
            std::thread::sleep(Duration::from_secs(1 << fruitless_tries));
        }
        Ok(())
    }

    /// One request: takes in the rest of the file, or as much of it as comes.
    fn attempt(
        &self,
        writer: &mut Writer,
        url: &str,
        progress: &mut dyn Progress,
    ) -> Result<(), Attempt> {
        let mut request = self.agent.get(url);
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        if writer.written() > 0 {
            request = request.header("range", format!("bytes={}-", writer.written()));
        }
        let under_way = writer.written() > 0;
        let response = request.call().map_err(|error| match error {
            ureq::Error::StatusCode(429 | 500..) | ureq::Error::Timeout(_) => {
                Attempt::Broken(self.reason(&error, url))
            }
            // Without a single byte it is more likely that there is no network at all.
            ureq::Error::Io(_) if under_way => Attempt::Broken(self.reason(&error, url)),
            _ => Attempt::Useless(self.reason(&error, url)),
        })?;
        if response.status() != StatusCode::PARTIAL_CONTENT && writer.written() > 0 {
            // The server does not do ranges and sends the whole file.
            writer.restart().map_err(Attempt::Useless)?;
        }
        let (head, body) = response.into_parts();
        if head.status == StatusCode::PARTIAL_CONTENT {
            check_range(&head.headers, writer.written()).map_err(Attempt::Useless)?;
        }
        take_in(writer, body, progress)
    }

    fn reason(&self, error: &ureq::Error, url: &str) -> Reason {
        match error {
            ureq::Error::StatusCode(status @ (401 | 403)) if self.authorization.is_some() => {
                format!("the token was refused (HTTP {status}) for {url}")
            }
            ureq::Error::StatusCode(status @ (401 | 403)) => {
                format!("HTTP {status} for {url}: it needs a token, set HF_TOKEN")
            }
            ureq::Error::StatusCode(404) => format!("there is no {url} (HTTP 404)"),
            ureq::Error::StatusCode(status) => format!("HTTP {status} for {url}"),
            error => format!("{error} ({url})"),
        }
    }
}

/// How an attempt ended that did not bring the file to its end.
enum Attempt {
    /// Another may do better.
    Broken(Reason),
    /// Another would end the same way.
    Useless(Reason),
}

fn take_in(writer: &mut Writer, body: Body, progress: &mut dyn Progress) -> Result<(), Attempt> {
    match writer.copy_from(body.into_reader(), progress) {
        Ok(()) => Ok(()),
        Err(CopyError::Read(cause)) => {
            Err(Attempt::Broken(format!("broke off after {} bytes: {cause}", writer.written())))
        }
        Err(CopyError::Write(reason)) => Err(Attempt::Useless(reason)),
    }
}

/// Whether the range that is sent begins where the part ends.
fn check_range(headers: &HeaderMap, written: u64) -> Result<(), Reason> {
    let range = text(headers, "content-range").unwrap_or_default();
    if range.starts_with(&format!("bytes {written}-")) {
        Ok(())
    } else {
        Err(format!("was asked for the bytes from {written} on and sends `{range}`"))
    }
}

fn about(headers: &HeaderMap) -> About {
    let first = |names: [&str; 2]| names.iter().find_map(|name| text(headers, name));
    let etag = first(["x-linked-etag", "etag"]).unwrap_or_default();
    let bytes = first(["x-linked-size", "content-length"]).and_then(|size| size.parse().ok());
    About { etag: etag.trim_start_matches("W/").trim_matches('"').to_owned(), bytes }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |at| &url[..host + at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_spec(spec: &str, expected: Result<&str, &str>) {
        let found = parse(spec).map(|file| url("https://hub", &file));
        match (found, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url, expected),
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected),
            (found, _) => panic!("{spec}: {found:?}"),
        }
    }

    #[test]
    fn specs_become_addresses_or_errors() {
        check_spec("o/r:m.gguf", Ok("https://hub/o/r/resolve/main/m.gguf"));
        check_spec("o/r:q4/m x.gguf@v1", Ok("https://hub/o/r/resolve/v1/q4/m%20x.gguf"));
        check_spec("o/r:m.gguf@refs/pr/3", Ok("https://hub/o/r/resolve/refs%2Fpr%2F3/m.gguf"));
        check_spec("o/r", Err("`hf:o/r` names no file"));
        check_spec("r:m.gguf", Err("`hf:r:m.gguf` does not begin with OWNER/NAME"));
        check_spec("o/r:../m.gguf", Err("`hf:o/r:../m.gguf` names no file that can be stored"));
        check_spec("o/r:m.gguf@", Err("`hf:o/r:m.gguf@` names no revision"));
    }

    #[test]
    fn origin_is_scheme_and_host() {
        assert_eq!(origin("https://hub.example/mirror/x"), "https://hub.example");
        assert_eq!(origin("http://127.0.0.1:80"), "http://127.0.0.1:80");
    }
}
