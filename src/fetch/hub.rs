//! A file of the Hugging Face hub: found in the folder that other programs share, or downloaded.
//!
//! Layout and token of the shared folder are read with `hf-hub`; the download is our own. The
//! crate's has no time limits, appends the whole file to the part that is there when a server
//! ignores `Range`, and cannot finish a part that is complete but was not renamed. Here a body that
//! breaks off is continued, at once and by a later run, and no answer is trusted to be the range
//! that was asked for, nor to be the file: networks that want a sign-in answer everything with a page
//! of their own. What the environment sets (`HF_ENDPOINT`, `HF_TOKEN`) is in [`Origins`].
//! Left out: other kinds of repositories, parallel ranges, `HF_HUB_CACHE`.

use std::path::{Path, PathBuf};

use hf_hub::{Repo, RepoType};

use super::expected::Expected;
use super::intake::{Intake, Received, Writer};
use super::origins::Origins;
use super::progress::Progress;
use super::reason::Reason;
use super::room::{MAKE_ROOM, check_disk};
use super::{gguf, leftovers};
use crate::card::{HubFile, is_file_name, is_sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::hash;
use crate::http::{
    Answer, Client, Failure, Request, Tries, escaped, percent_encoded, shown_address, shown_text,
};

/// Redirects that are followed while size and SHA-256 are asked for: renamed repositories, mirrors.
const REDIRECTS_MAX: u32 = 5;

/// The part of a file that nothing is known of: no later run may go on with it.
const UNNAMED_PART: &str = "unnamed.part";

/// Reads `OWNER/NAME:FILE[@REVISION]`.
pub(super) fn parse(spec: &str) -> Result<HubFile> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Usage, format!("`hf:{}` {what}", shown_text(spec)))
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
    if let Some((part, count)) = split_part(file) {
        let message = format!("`hf:{spec}` is part {part} of {count} of a model that was split");
        return Err(Error::new(ErrorKind::Usage, message).hint(
            "fetch all parts, merge them with `llama-gguf-split --merge FIRST-PART OUTPUT` of \
             llama.cpp, and name the output; or take a file of the model that is whole",
        ));
    }
    Ok(HubFile { repo: repo.into(), revision: revision.into(), file: file.into() })
}

/// The number of a part and how many there are, of a name such as `m-00001-of-00002.gguf`, by which
/// llama.cpp tells the parts of a model that was split.
fn split_part(file: &str) -> Option<(u32, u32)> {
    let (rest, count) = file.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    Some((number(part)?, number(count)?)).filter(|(_, count)| *count > 1)
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
            Err(reason) => progress.note(&format!("{}: {reason}", shown_path(&path))),
        }
    }
    let hub = Hub::new(origins);
    let url = url(&origins.hub_endpoint, file);
    if let Some(sha256) = intake.expected.sha256 {
        return hub.download(intake, &url, Some(sha256), progress);
    }
    let about = hub.describe(&url, progress)?;
    let intake = Intake { slot: intake.slot, expected: about.expected() };
    check_disk(intake.slot, &intake.expected, &[])
        .map_err(|error| Reason::with_hint(error.to_string(), MAKE_ROOM))?;
    let key = about.etag.as_ref().map(hash::sha256);
    hub.download(&intake, &url, key.as_deref(), progress)
}

/// A branch is looked up in `refs/`; a commit is the name of its snapshot.
fn in_shared_folder(folder: &Path, file: &HubFile) -> Option<PathBuf> {
    let repo = Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone());
    let repo = hf_hub::Cache::new(folder.to_owned()).repo(repo);
    let of_commit = repo.pointer_path(&file.revision).join(&file.file);
    repo.get(&file.file).or_else(|| of_commit.is_file().then_some(of_commit))
}

fn url(endpoint: &str, HubFile { repo, revision, file }: &HubFile) -> String {
    let file: Vec<String> = file.split('/').map(percent_encoded).collect();
    format!("{endpoint}/{repo}/resolve/{}/{}", percent_encoded(revision), file.join("/"))
}

/// What the hub tells about a file before sending it.
#[derive(Default)]
struct About {
    /// For files in large file storage, as weights are, the SHA-256 of the content.
    etag: Option<String>,
    bytes: Option<u64>,
}

impl About {
    fn expected(&self) -> Expected<'_> {
        let sha256 = self.etag.as_deref().filter(|etag| is_sha256(etag));
        Expected { bytes: self.bytes, sha256 }
    }

    /// Takes in what is not known yet.
    fn learn(&mut self, answer: &Answer, etag: &str, bytes: &str) {
        let tag = |text: &str| text.trim_start_matches("W/").trim_matches('"').to_owned();
        let etag = answer.header(etag).map(tag).filter(|etag| !etag.is_empty());
        let bytes = answer.header(bytes).and_then(|bytes| bytes.parse().ok());
        self.etag = self.etag.take().or(etag);
        self.bytes = self.bytes.or(bytes).filter(|bytes| *bytes > 0);
    }
}

/// What tells whether an answer goes on with the file that is here.
struct Identity {
    /// Whether the whole file is held against a hash at the end, whatever its pieces say.
    is_verified: bool,
    /// Whether the content is known by that hash, or by the `ETag` that was told before.
    is_known: bool,
    /// What the last answer said of the content (RFC 9110, 8.8): its `ETag`, or else its time.
    validator: Option<String>,
}

impl Identity {
    /// Whether `answer` is of the same content as the one before, as far as both tell.
    fn admits(&mut self, answer: &Answer) -> bool {
        let validator = answer.header("etag").or_else(|| answer.header("last-modified"));
        let known = std::mem::replace(&mut self.validator, validator.map(str::to_owned));
        self.is_verified || known.is_none() || self.validator.is_none() || known == self.validator
    }
}

/// Why an attempt did not bring the file to its end.
enum Stop {
    /// The network; another attempt may do better.
    Failure(Failure),
    /// Anything else.
    Reason(Reason),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Stop::Reason(reason)
    }
}

struct Hub {
    client: Client,
    endpoint: String,
    authorization: Option<String>,
}

impl Hub {
    fn new(origins: &Origins) -> Self {
        Hub {
            client: Client::new(origins.limits.clone()),
            endpoint: origins.hub_endpoint.clone(),
            authorization: origins.hub_token.as_ref().map(|token| format!("Bearer {token}")),
        }
    }

    /// Asks for size and SHA-256. The hub tells them in the redirect to its storage, which itself
    /// knows nothing of them, so the first answer that names them ends the search. What comes before
    /// it are redirects of renamed repositories, and of mirrors to other hosts.
    fn describe(&self, url: &str, progress: &mut dyn Progress) -> Result<About, Reason> {
        let mut url = url.to_owned();
        let mut about = About::default();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.ask(&url, progress)?;
            about.learn(&answer, "x-linked-etag", "x-linked-size");
            if about.etag.is_some() {
                return Ok(about);
            }
            let target = answer.header("location").filter(|_| (300..400).contains(&answer.status));
            match target.and_then(|target| joined(&url, target)) {
                Some(target) => url = target,
                None => {
                    about.learn(&answer, "etag", "content-length");
                    return Ok(about);
                }
            }
        }
        let url = shown_address(&url);
        Err(format!("{url} is redirected more than {REDIRECTS_MAX} times").into())
    }

    /// Asks what is at `url`, as often as it takes.
    fn ask(&self, url: &str, progress: &mut dyn Progress) -> Result<Answer, Reason> {
        let request = self.signed(Request::head(url), url);
        let mut tries = Tries::new(self.client.limits());
        loop {
            let note = &mut |text: &str| progress.note(text);
            let failure = match self.client.send(&request, note) {
                Ok(answer) if answer.status < 400 => return Ok(answer),
                Ok(answer) => self.refusal(&answer, url),
                Err(failure) => failure,
            };
            tries.pause(failure, note).map_err(|failure| with_address(failure, url))?;
        }
    }

    /// Downloads into the side folder; `key` names the content, so that a part of another
    /// content is never continued.
    fn download(
        &self,
        intake: &Intake,
        url: &str,
        key: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<Received, Reason> {
        progress.begin(intake.slot.file_name(), intake.expected.bytes);
        let received = self.receive_whole(intake, url, key, progress);
        progress.finish();
        received
    }

    fn receive_whole(
        &self,
        intake: &Intake,
        url: &str,
        key: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<Received, Reason> {
        let part = key.map_or(UNNAMED_PART.into(), |key| format!("{}.part", &key[..16]));
        let mut writer = match key {
            Some(_) => intake.resume(&part, progress)?,
            None => intake.create(&part)?,
        };
        let mut tries = Tries::new(self.client.limits());
        // What comes once more after a restart is no gain.
        let mut most = writer.written();
        let mut identity = Identity {
            is_verified: intake.expected.sha256.is_some(),
            is_known: key.is_some(),
            validator: None,
        };
        while !writer.is_full() {
            // A page in the place of the file must not cost what is here.
            let outcome = self.attempt(&mut writer, &mut identity, url, progress);
            tries.gain(writer.written().saturating_sub(most));
            most = most.max(writer.written());
            if writer.written() > 0 {
                leftovers::remove_other_parts(intake.slot, &part);
            }
            match outcome {
                Ok(()) => break,
                Err(Stop::Reason(reason)) => return Err(reason),
                Err(Stop::Failure(failure)) => tries
                    .pause(failure, &mut |text| progress.note(text))
                    .map_err(|failure| with_address(failure, url))?,
            }
        }
        writer.finish()
    }

    /// One request: takes in the rest of the file, or as much of it as comes.
    fn attempt(
        &self,
        writer: &mut Writer,
        identity: &mut Identity,
        url: &str,
        progress: &mut dyn Progress,
    ) -> Result<(), Stop> {
        let mut request = self.signed(Request::get(url), url);
        if writer.written() > 0 && (identity.is_known || identity.validator.is_some()) {
            request = request.header("range", format!("bytes={}-", writer.written()));
        }
        let mut answer = self.client.send(&request, &mut |text| progress.note(text))?;
        let (first, total) = match answer.status {
            206 => content_range(&answer, writer.written())?,
            416 => return past_the_end(writer, &answer),
            200..300 => (0, answer.header("content-length").and_then(|text| text.parse().ok())),
            _ => return Err(self.refusal(&answer, url).into()),
        };
        if !identity.admits(&answer) {
            writer.restart()?;
            return Err(Failure::broken("is another file than a moment ago").into());
        }
        let media_type = answer.header("content-type").map(str::to_owned);
        let mut next = |progress: &mut dyn Progress, written| {
            let piece = answer.next_piece(&mut |text| progress.note(text));
            piece.map_err(|failure| after_bytes(failure, written))
        };
        let mut piece = next(progress, writer.written())?;
        if first == 0
            && let Some(bytes) = &piece
        {
            gguf::check_beginning(0, bytes, media_type.as_deref())?;
        }
        if let Some(total) = total {
            writer.announce(total)?;
        }
        writer.go_on_from(first);
        while let Some(bytes) = piece {
            writer.take(&bytes, progress)?;
            piece = next(progress, writer.written())?;
        }
        // A body without a length may have ended early, and only the file itself tells.
        if writer.is_cut_short() {
            let failure = Failure::broken("the answer ended early");
            return Err(after_bytes(failure, writer.written()).into());
        }
        Ok(())
    }

    /// The token goes to the hub alone, and not in the open where the hub is not.
    fn signed<'a>(&self, request: Request<'a>, url: &str) -> Request<'a> {
        let is_hub = host(url) == host(&self.endpoint)
            && (url.starts_with("https:") || !self.endpoint.starts_with("https:"));
        match &self.authorization {
            Some(value) if is_hub => request.header("authorization", value.clone()),
            _ => request,
        }
    }

    fn refusal(&self, answer: &Answer, url: &str) -> Failure {
        let url = shown_address(url);
        let has_token = self.authorization.is_some();
        match answer.status {
            status @ (401 | 403) if answer.header("x-error-code") == Some("GatedRepo") => {
                let page = url.split("/resolve/").next().unwrap_or(&url);
                let token = if has_token { "" } else { ", and HF_TOKEN set to a token" };
                Failure::refused(format!(
                    "HTTP {status} for {url}: its terms have to be accepted at {page}{token}"
                ))
            }
            403 if has_token => {
                Failure::refused(format!("the token does not open {url} (HTTP 403)"))
            }
            401 if has_token => {
                Failure::refused(format!("the token was refused (HTTP 401) for {url}"))
            }
            // The hub tells nobody without a token which repositories there are.
            status @ (401 | 403) => Failure::refused(format!(
                "HTTP {status} for {url}: there is no such repository, or it needs a token, set \
                 HF_TOKEN"
            )),
            404 => Failure::refused(format!("there is no {url} (HTTP 404)")),
            _ => answer.failure(),
        }
    }
}

/// A reason that names the address, if it does not yet.
fn with_address(failure: Failure, url: &str) -> Reason {
    let (may_pass, url) = (failure.may_pass(), shown_address(url));
    let message = failure.message;
    let text = if message.contains(&url) { message } else { format!("{message} ({url})") };
    Reason::from(text).passing(may_pass)
}

fn after_bytes(failure: Failure, written: u64) -> Failure {
    Failure { message: format!("{}, with {written} bytes here", failure.message), ..failure }
}

/// Where the range begins that is sent, which must be where the part ends, and how long the file is.
fn content_range(answer: &Answer, written: u64) -> Result<(u64, Option<u64>), Failure> {
    let range = answer.header("content-range").unwrap_or_default();
    let numbers = range.strip_prefix("bytes ").and_then(|range| {
        let (from, rest) = range.split_once('-')?;
        Some((from.parse::<u64>().ok()?, rest.split_once('/')?.1.parse::<u64>().ok()))
    });
    match numbers {
        Some((from, total)) if from == written => Ok((from, total)),
        _ => {
            let range = shown_text(range);
            let asked = format!("was asked for the bytes from {written} on and sends `{range}`");
            Err(Failure::refused(asked))
        }
    }
}

/// The server says that the file has no bytes behind those that are here: because they are all, or
/// because they are of another file.
fn past_the_end(writer: &mut Writer, answer: &Answer) -> Result<(), Stop> {
    let total = answer.header("content-range").and_then(|range| range.strip_prefix("bytes */"));
    let total: Option<u64> = total.and_then(|total| total.parse().ok());
    match total {
        Some(total) if total == writer.written() => Ok(writer.announce(total)?),
        Some(total) if writer.total().is_some() => Ok(writer.announce(total)?),
        _ => {
            let had = writer.written();
            writer.restart()?;
            Err(Failure::broken(format!("has no bytes behind the {had} that were here")).into())
        }
    }
}

/// The address that `target`, of a `location` header of `url`, leads to.
fn joined(url: &str, target: &str) -> Option<String> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Some(target.to_owned());
    }
    let scheme = &url[..url.find("//")?];
    match target.strip_prefix("//") {
        Some(rest) => Some(format!("{scheme}//{rest}")),
        None => target.starts_with('/').then(|| format!("{}{target}", origin(url))),
    }
}

/// Scheme and host of an address, with what stands before the host.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |at| &url[..host + at])
}

/// The host of an address, with its port and without user and password.
fn host(url: &str) -> &str {
    let origin = origin(url);
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    authority.rsplit('@').next().unwrap_or(authority)
}

fn shown_path(path: &Path) -> String {
    escaped(&path.display().to_string())
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
    fn redirects_lead_to_addresses() {
        let from = |target| joined("https://a:b@hub.example/mirror/x", target);
        assert_eq!(from("/o/r").as_deref(), Some("https://a:b@hub.example/o/r"));
        assert_eq!(from("//cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(from("http://cdn.example/x").as_deref(), Some("http://cdn.example/x"));
        assert_eq!(from("ftp://cdn.example/x"), None);
        assert_eq!(joined("http://127.0.0.1:80", "/x").as_deref(), Some("http://127.0.0.1:80/x"));
        assert_eq!(host("https://a:b@hub.example:8080/x@y"), "hub.example:8080");
        assert_eq!(host("http://127.0.0.1:80"), "127.0.0.1:80");
    }
}
