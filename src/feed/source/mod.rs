//! Where papers are read from: standard input, a file, a folder of files, or an address.

mod http;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::ErrorKind;
use crate::{Error, Result};

/// Most folders inside one another; also what ends a circle of links.
pub const MAX_FOLDER_LEVELS: usize = 16;

/// Most files that one folder stands for; the public digest has 65,000.
pub const MAX_FOLDER_FILES: usize = 1_000_000;

/// One input, as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input, `-`.
    Stdin,
    /// A file, or a folder that is yet to be [`expand`]ed.
    Path(PathBuf),
    /// An http or https address.
    Url(String),
}

/// Puts in place of every folder the files in it, those of folders in it included, in the order of
/// their names; files and folders whose names begin with a dot are passed over.
pub fn expand(sources: Vec<Source>) -> Result<Vec<Source>> {
    let mut expanded = Vec::with_capacity(sources.len());
    for source in sources {
        match source {
            Source::Path(path) if path.is_dir() => {
                let mut files = Vec::new();
                list_files(&path, 1, &mut files)?;
                if files.is_empty() {
                    let message = format!("{} holds no file", path.display());
                    return Err(Error::new(ErrorKind::Input, message)
                        .hint("files whose names begin with a dot are passed over"));
                }
                expanded.extend(files.into_iter().map(Source::Path));
            }
            other => expanded.push(other),
        }
    }
    Ok(expanded)
}

impl Source {
    /// What an argument means: `-` is standard input, `http://…` and `https://…` are addresses,
    /// everything else is a path.
    pub fn parse(argument: &str) -> Source {
        let starts_with = |scheme: &str| {
            argument.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if argument == "-" {
            Source::Stdin
        } else if starts_with("http://") || starts_with("https://") {
            Source::Url(argument.to_owned())
        } else {
            Source::Path(PathBuf::from(argument))
        }
    }

    pub(in crate::feed) fn open(&self) -> Result<Box<dyn Read>> {
        match self {
            Source::Stdin => Ok(Box::new(io::stdin())),
            Source::Path(path) if path.is_dir() => {
                let message = format!("{} is a folder, not a file", path.display());
                Err(Error::new(ErrorKind::Input, message).hint("name the files in it"))
            }
            Source::Path(path) => {
                let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
                Ok(Box::new(file))
            }
            Source::Url(url) => http::open(url),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Stdin => f.write_str("standard input"),
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Url(url) => f.write_str(url),
        }
    }
}

/// Unpacks gzip, told by its two magic bytes; all members of a file made of several.
pub(in crate::feed) fn unpack<'a>(mut bytes: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    bytes.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
    let packed = start == GZIP_MAGIC;
    let whole = BufReader::new(Cursor::new(start).chain(bytes));
    Ok(if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

fn list_files(folder: &Path, level: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if level > MAX_FOLDER_LEVELS {
        let message =
            format!("{} lies more than {MAX_FOLDER_LEVELS} folders deep", folder.display());
        return Err(Error::new(ErrorKind::Input, message).hint("name the inner folder instead"));
    }
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|cause| Error::io("list", folder, cause))?;
    let is_hidden = |path: &Path| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    let mut paths: Vec<PathBuf> =
        entries.iter().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list_files(&path, level + 1, files)?;
        } else if files.len() < MAX_FOLDER_FILES {
            files.push(path);
        } else {
            let message = format!("more than {MAX_FOLDER_FILES} files up to {}", path.display());
            return Err(Error::new(ErrorKind::Input, message).hint("name fewer folders at a time"));
        }
    }
    Ok(())
}
