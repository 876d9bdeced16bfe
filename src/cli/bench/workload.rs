//! What there is to write: prompts as token ids, from prompts, papers or the sample feed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::settings::BenchSettings;
use super::super::wording;
use crate::batch::limits_of;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Event};
use crate::generate::{Field, Request, RequestId, Sampling, TokenFilter, TokenId, TokenSet};
use crate::model::Model;
use crate::paper::Paper;
use crate::prompt::Encoding;
use crate::tokens::Tokenizer;
use crate::writer::Writer;

/// Twelve made-up papers.
const SAMPLE: &str = include_str!("../../../examples/cs.CL-sample.xml");

/// Papers that the sample is repeated to: enough to keep a batch of 32 busy for a while.
const SAMPLE_PAPERS: usize = 48;

/// Largest file of prompts or papers; 10,000 prompts have some 20 MiB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Prompts to write after. As JSON it is what peers read.
#[derive(Debug, Serialize)]
pub(super) struct Workload {
    /// What all prompts begin with; may be empty.
    prefix: Vec<TokenId>,
    /// The whole prompts, prefix included; at least one.
    prompts: Vec<Vec<TokenId>>,
    /// The guard of each paper's longest field; none where prompts are measured. Peers have none.
    #[serde(skip)]
    filters: Vec<Option<Arc<dyn TokenFilter>>>,
}

/// A line of a file of prompts; what else it may hold is for other programs.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    prefix: String,
    prompt: String,
}

impl Workload {
    pub(super) fn read(
        settings: &BenchSettings,
        writer: &Writer,
        model: &Model,
    ) -> Result<Workload> {
        let mut workload = match &settings.papers {
            None => sample(writer, model)?,
            Some(path) => {
                let bytes = read_file(path)?;
                let name = path.display().to_string();
                if holds_prompts(&bytes) {
                    of_prompts(&name, &bytes, model.tokenizer())?
                } else {
                    of_papers(&papers(&name, &bytes)?, writer, model)?
                }
            }
        };
        workload.prompts.truncate(settings.limit.unwrap_or(usize::MAX));
        Ok(workload)
    }

    pub(super) fn papers(&self) -> usize {
        self.prompts.len()
    }

    pub(super) fn prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// Tokens of the longest prompt.
    pub(super) fn longest(&self) -> usize {
        self.prompts.iter().map(Vec::len).max().unwrap_or_default()
    }

    /// Tokens of all prompts, each without the prefix.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(|prompt| prompt.len() - self.prefix.len()).sum()
    }

    /// A request for every prompt, to write exactly `tokens` tokens, picked by `sampling`: nothing
    /// stops it earlier.
    pub(super) fn requests(
        &self,
        tokens: usize,
        sampling: Sampling,
    ) -> impl Iterator<Item = Request> {
        let stop = Arc::new(TokenSet::default());
        self.prompts.iter().zip(0..).map(move |(prompt, id): (_, RequestId)| Request {
            id,
            prompt: prompt.clone(),
            fields: vec![Field {
                label: Vec::new(),
                stop: Arc::clone(&stop),
                max_tokens: tokens,
                filter: self.filters.get(id as usize).cloned().flatten(),
            }],
            sampling,
        })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let papers = self.papers();
        write!(
            f,
            "{} papers of {} tokens on average, {} of which they share",
            wording::count(papers as u64),
            self.prefix.len() + self.prompt_tokens().div_ceil(papers.max(1)),
            self.prefix.len(),
        )
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |cause| Error::io("read", path, cause);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("{} is larger than {} MiB", path.display(), MAX_FILE_BYTES >> 20);
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("some hundred papers are enough to measure with"));
    }
    Ok(bytes)
}

/// Whether the first line is a prompt.
fn holds_prompts(bytes: &[u8]) -> bool {
    let first = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    first.is_some_and(|line| serde_json::from_slice::<Line>(line).is_ok())
}

/// Text of the file's own, in the words of its author, encoded as it stands.
fn of_prompts(name: &str, bytes: &[u8], tokenizer: &Tokenizer) -> Result<Workload> {
    let mut workload: Option<(String, Workload)> = None;
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |what: String| {
            Error::new(ErrorKind::Input, format!("{name}, line {number}: {what}"))
                .hint("a prompt is a JSON object a line, with `prompt` and the common `prefix`")
        };
        let line: Line = serde_json::from_slice(line)
            .map_err(|cause| wrong("not a prompt".into()).because(cause))?;
        let (common, workload) = workload.get_or_insert_with(|| {
            let prefix = match line.prefix.as_str() {
                "" => Vec::new(),
                text => tokens(tokenizer, text),
            };
            (line.prefix.clone(), Workload { prefix, prompts: Vec::new(), filters: Vec::new() })
        });
        if line.prefix != *common {
            return Err(wrong("its prefix is another than that of the prompts before".into()));
        }
        let prompt = if workload.prefix.is_empty() {
            tokens(tokenizer, &line.prompt)
        } else {
            [&workload.prefix[..], &tokenizer.encode(&line.prompt)].concat()
        };
        if prompt.len() == workload.prefix.len() {
            return Err(wrong("the prompt is empty".into()));
        }
        workload.prompts.push(prompt);
    }
    let empty = || Error::new(ErrorKind::Input, format!("{name} holds no prompt"));
    workload.map(|(_, workload)| workload).ok_or_else(empty)
}

/// The beginning of a sequence, and text.
fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.beginning().into_iter().chain(tokenizer.encode(text)).collect()
}

fn sample(writer: &Writer, model: &Model) -> Result<Workload> {
    let papers = papers("the sample feed", SAMPLE.as_bytes())?;
    let repeated: Vec<Paper> = papers.iter().cycle().take(SAMPLE_PAPERS).cloned().collect();
    of_papers(&repeated, writer, model)
}

fn papers(name: &str, bytes: &[u8]) -> Result<Vec<Paper>> {
    let mut papers = Vec::new();
    feed::read_from(name, bytes, &mut |event| {
        if let Event::Item(item) = event {
            papers.push(item.paper);
        }
        Ok(())
    })?;
    if papers.is_empty() {
        return Err(Error::new(ErrorKind::Input, format!("{name} holds no paper")));
    }
    Ok(papers)
}

/// What `writer` would be asked, with its terms and guards.
fn of_papers(papers: &[Paper], writer: &Writer, model: &Model) -> Result<Workload> {
    let codec = writer.codec(model.tokenizer(), limits_of(model.config(), 1, 0).max_context)?;
    let prefix = codec.prefix().to_vec();
    let (mut prompts, mut filters) = (Vec::new(), Vec::new());
    for paper in papers {
        let Request { prompt, fields, .. } =
            codec.request(0, &codec.prompt(paper)?, Sampling::Greedy);
        // Nearly every prompt begins with it; peers count on all.
        if prompt.len() > prefix.len() && prompt.starts_with(&prefix) {
            let longest = fields.into_iter().max_by_key(|field| field.max_tokens);
            filters.push(longest.and_then(|field| field.filter));
            prompts.push(prompt);
        }
    }
    if prompts.is_empty() {
        return Err(Error::new(ErrorKind::Input, "no paper has a prompt to measure with"));
    }
    Ok(Workload { prefix, prompts, filters })
}
