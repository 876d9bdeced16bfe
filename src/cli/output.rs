//! Where documents go: a file, whole or not at all, or standard output.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use crate::atomic::{check_writable, target_of, write_atomically};
use crate::error::{Error, ErrorKind, Result};

/// Where a document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Output {
    /// `-` is standard output, as it is standard input among the inputs, and so are the system's names for
    /// it: a file that it is redirected to must not be replaced.
    pub(super) fn of(path: Option<PathBuf>) -> Self {
        const NAMES: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        match path {
            Some(path) if !NAMES.iter().any(|name| path.as_os_str() == *name) => Output::File(path),
            _ => Output::Stdout,
        }
    }

    /// Whether it can be written when the work is done, and takes the place of nothing that must
    /// not be lost: `kept`, each with what it is.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where it is one of `kept`, under whatever name; [`ErrorKind::Io`] where
    /// its folder is not there or cannot be written to.
    pub(super) fn check(&self, kept: &[(&str, PathBuf)]) -> Result<()> {
        let Output::File(path) = self else { return Ok(()) };
        check_apart(&[(path, WhichFile::of(path))], kept)?;
        check_writable(path)
    }

    /// Writes `text`.
    pub(super) fn write_text(&self, text: &str) -> Result<()> {
        self.write(|out| {
            out.write_all(text.as_bytes()).map_err(|cause| {
                Error::new(ErrorKind::Io, format!("cannot write {self}")).because(cause)
            })
        })
    }

    /// Writes what `write` writes.
    pub(super) fn write(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        match self {
            Output::File(path) => write_atomically(path, |out| naming(path, out, write)),
            Output::Stdout => {
                let mut out = BufWriter::new(Stdout(io::stdout().lock()));
                write(&mut out)?;
                out.flush().map_err(|cause| {
                    Error::new(ErrorKind::Io, "cannot write to standard output").because(cause)
                })
            }
        }
    }
}

/// Shows `table` on standard output, and writes `report` as JSON where `json` says; in place of the table, where
/// that is standard output as well.
pub(super) fn write_report(
    report: &impl serde::Serialize,
    json: Option<&Output>,
    table: &str,
) -> Result<()> {
    let written = json.map_or(Ok(()), |output| {
        let mut text = serde_json::to_string_pretty(report)
            .map_err(|cause| Error::new(ErrorKind::Io, "cannot make JSON").because(cause))?;
        text.push('\n');
        output.write_text(&text)
    });
    if json == Some(&Output::Stdout) {
        return written;
    }
    // Behind the file, since whoever reads the table may go away; it is shown all the same.
    let shown = Output::Stdout.write_text(table);
    written.and(shown)
}

/// Writes what `write` writes to `out`, which is for the file at `path`; what goes wrong with that is told
/// with its name.
pub(super) fn naming(
    path: &Path,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let mut out = Watched { out, failed: false };
    write(&mut out).map_err(|error| match out.failed {
        true => error.saying(format!("cannot write {}", path.display())),
        false => error,
    })
}

/// A writer, and whether writing to it has failed.
struct Watched<'a> {
    out: &'a mut dyn Write,
    failed: bool,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|_| self.failed = true)
    }
}

/// Standard output, whose errors tell when its reader went away.
struct Stdout(StdoutLock<'static>);

/// What is behind the error then.
#[derive(Debug)]
struct ReaderIsGone;

impl std::fmt::Display for ReaderIsGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its reader went away")
    }
}

impl std::error::Error for ReaderIsGone {}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told)
    }
}

fn told(cause: io::Error) -> io::Error {
    match cause.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderIsGone),
        _ => cause,
    }
}

/// Whether the reader of standard output went away, which is no error: it has what it wanted. A
/// named pipe among the outputs is another thing.
pub(super) fn is_reader_gone(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.get_ref().is_some_and(|inner| inner.is::<ReaderIsGone>());
        }
        cause = error.source();
    }
    false
}

/// Where a file is, or will be: its name in its folder, of which as much is resolved as is there.
fn place(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok().or_else(|| place(folder))?;
    Some(folder.join(path.file_name()?))
}

/// What a name leads to, to be compared: two lead to one file if it is the same one, links of either kind
/// included, or, where it is not there yet, the same name in the same folder, which need not be there
/// yet, either.
#[derive(Debug)]
pub(super) struct WhichFile {
    place: Option<PathBuf>,
    /// It is open as long as this is held.
    handle: Option<same_file::Handle>,
}

impl WhichFile {
    pub(super) fn of(path: &Path) -> Self {
        // A link that leads to nothing yet is what it leads to.
        let path = target_of(path);
        // A named pipe would wait for somebody at its other end.
        let is_file = path.metadata().is_ok_and(|found| found.is_file());
        let handle = is_file.then(|| same_file::Handle::from_path(&path).ok()).flatten();
        WhichFile { place: place(&path), handle }
    }

    pub(super) fn is(&self, other: &WhichFile) -> bool {
        self.place.is_some() && self.place == other.place
            || self.handle.is_some() && self.handle == other.handle
    }
}

/// Whether none of `files` is one of `kept`, each with what it is. Of these there may be a hundred
/// thousand: each is looked at once.
///
/// # Errors
/// [`ErrorKind::Usage`] for the first that is.
pub(super) fn check_apart(files: &[(&Path, WhichFile)], kept: &[(&str, PathBuf)]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    for (what, kept) in kept {
        let kept = WhichFile::of(kept);
        if let Some((path, _)) = files.iter().find(|(_, file)| file.is(&kept)) {
            let message = format!("{} is {what}, and would be written over", path.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("give the output another name"));
        }
    }
    Ok(())
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::Stdout => f.write_str("standard output"),
            Output::File(path) => write!(f, "{}", path.display()),
        }
    }
}
