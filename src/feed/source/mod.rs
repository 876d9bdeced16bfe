//! Where papers are read from: standard input, a file, a folder of files, an address, or a source
//! of arXiv's by its name.

pub mod arxiv;
mod http;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use crate::error::ErrorKind;
use crate::http::without_secrets;
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
    /// An http or https address, and whom its server can write to.
    Url {
        /// The address.
        url: String,
        /// An address of e-mail or a page, which requests name.
        contact: Option<String>,
    },
    /// A source of arXiv's, `arxiv:cs.CL`; several at once are yet to be [`expand`]ed.
    Arxiv(arxiv::Named),
}

/// A source that is open.
pub(in crate::feed) struct Opened {
    pub(in crate::feed) bytes: Box<dyn Read>,
    /// The encoding that an HTTP answer names.
    pub(in crate::feed) charset: Option<String>,
}

/// Puts in place of every source that names several categories or days of arXiv's one for each, and
/// of every folder the files in it, those of folders in it included, in the order of
/// their names. Files and folders whose names begin with a dot are passed over, and so is what is
/// neither file nor folder: a pipe in a folder may never end.
pub fn expand(sources: Vec<Source>) -> Result<Vec<Source>> {
    let mut expanded = Vec::with_capacity(sources.len());
    for source in sources {
        match source {
            Source::Path(path) if path.is_dir() => {
                let mut files = Vec::new();
                list_files(&path, 1, &mut files)?;
                if files.is_empty() {
                    let message = format!("{} holds no file", path.display());
                    return Err(Error::new(ErrorKind::Input, message).hint(
                        "passed over are names that begin with a dot, and pipes and devices",
                    ));
                }
                expanded.extend(files.into_iter().map(Source::Path));
            }
            Source::Arxiv(named) => {
                expanded.extend(named.expand().into_iter().map(Source::Arxiv));
            }
            other => expanded.push(other),
        }
    }
    Ok(expanded)
}

impl Source {
    /// What an argument means: `-` is standard input, `http://…` and `https://…` are addresses,
    /// `arxiv:…` is a source of arXiv's ([`arxiv`] has the forms), everything else is a path. A folder, and
    /// `arxiv:…` of several categories, stand for several sources: [`expand`] has them.
    /// arXiv is asked as the environment says ([`arxiv::Service::from_env`]).
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], where a name of arXiv's names nothing, or a variable of the environment
    /// says nothing.
    pub fn parse(argument: &str) -> Result<Source> {
        Source::parse_with(argument, || arxiv::Service::from_env().map(Arc::new))
    }

    /// [`Source::parse`], with whom to ask for sources of arXiv's, and who asks.
    pub fn parse_with(
        argument: &str,
        service: impl FnOnce() -> Result<Arc<arxiv::Service>>,
    ) -> Result<Source> {
        let starts_with = |scheme: &str| {
            argument.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        Ok(if argument == "-" {
            Source::Stdin
        } else if starts_with("http://") || starts_with("https://") {
            let contact = service()?.contact().map(str::to_owned);
            Source::Url { url: argument.to_owned(), contact }
        } else if let Some(named) = arxiv::Named::parse(argument, service)? {
            Source::Arxiv(named)
        } else {
            Source::Path(PathBuf::from(argument))
        })
    }

    /// Whether reading comes to an end by itself, whoever writes to the source: a file on a disk.
    pub fn is_finite(&self) -> bool {
        matches!(self, Source::Path(path) if path.is_file())
    }

    /// Whether papers are asked for by what they are, and not by when they were announced.
    pub fn is_search(&self) -> bool {
        let Source::Arxiv(named) = self else { return false };
        matches!(named.request, arxiv::Request::Query(_) | arxiv::Request::Ids(_))
    }

    /// Whether it can be read twice, as a pipe cannot.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Source::Stdin => false,
            Source::Path(path) => path.is_dir() || path.is_file(),
            Source::Url { .. } | Source::Arxiv(_) => true,
        }
    }

    /// Opens a source that is one stream of bytes; `note` hears of waits.
    pub(in crate::feed) fn open(&self, note: &mut dyn FnMut(&str)) -> Result<Opened> {
        let plain = |bytes| Opened { bytes, charset: None };
        match self {
            Source::Stdin => Ok(plain(Box::new(io::stdin()))),
            Source::Path(path) if path.is_dir() => {
                let message = format!("{} is a folder, not a file", path.display());
                Err(Error::new(ErrorKind::Input, message).hint("name the files in it"))
            }
            Source::Path(path) => {
                let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
                Ok(plain(Box::new(file)))
            }
            Source::Url { url, contact } => {
                let name = self.to_string();
                let (bytes, charset) = http::open(url, contact.as_deref(), &name, note)?;
                Ok(Opened { bytes: Box::new(bytes), charset })
            }
            Source::Arxiv(named) => {
                let message = format!("{named} is no single stream of bytes");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Stdin => f.write_str("standard input"),
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Url { url, .. } => f.write_str(&without_secrets(url)),
            Source::Arxiv(named) => write!(f, "{named}"),
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
        // What is not there any more is left for reading to complain about.
        let kind = path.metadata().map(|metadata| metadata.file_type());
        if kind.as_ref().is_ok_and(|kind| kind.is_dir()) {
            if !leads_back(&path) {
                list_files(&path, level + 1, files)?;
            }
        } else if kind.is_ok_and(|kind| !kind.is_file()) {
            continue;
        } else if files.len() < MAX_FOLDER_FILES {
            files.push(path);
        } else {
            let message = format!("more than {MAX_FOLDER_FILES} files up to {}", path.display());
            return Err(Error::new(ErrorKind::Input, message).hint("name fewer folders at a time"));
        }
    }
    Ok(())
}

/// Whether a link leads to a folder that it lies in, whose files are listed anyway.
fn leads_back(path: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    let target = || whole(path).zip(path.parent().and_then(whole));
    path.is_symlink() && target().is_some_and(|(target, folder)| folder.starts_with(target))
}
