//! `wenzhai doctor`: whether everything that a digest needs is here, and what to do where it is not.

mod cuda;
mod finding;

use std::path::{Path, PathBuf};

use finding::{Finding, State};

use super::args::DoctorArgs;
use super::outcome::Outcome;
use super::output::Output;
use super::settings::StoreChoice;
use super::wording::bytes;
use crate::card;
use crate::engine::candle::{DeviceChoice, Devices};
use crate::error::Result;
use crate::fetch::{self, Cache, ModelRef};
use crate::http::{Client, Limits, Request, shown_address};
use crate::kernels::Isa;
use crate::model::Model;
use crate::store::Store;
use crate::system;

/// Disk that a store and its temporary tables want to have left.
const STORE_BYTES: u64 = 256 << 20;

/// Addresses that digests and downloads ask, the variable that names another one, and what to do
/// where it does not answer.
const HOSTS: [(&str, &str, &str, &str); 3] = [
    (
        "arXiv",
        "https://rss.arxiv.org",
        "WENZHAI_ARXIV_URL",
        "feeds saved as files are read as well; WENZHAI_ARXIV_URL names a mirror",
    ),
    (
        "PyPI",
        "https://pypi.org",
        "PIP_INDEX_URL",
        "models can be put by hand where `wenzhai models show` says",
    ),
    ("the hub", "https://huggingface.co", "HF_ENDPOINT", "HF_ENDPOINT names a mirror"),
];

pub(super) fn run(args: DoctorArgs) -> Result<Outcome> {
    let devices: Devices = args.device.parse()?;
    let mut findings = vec![processor()];
    let number = |device: &DeviceChoice| match device {
        DeviceChoice::Cuda(number) => Some(*number),
        _ => None,
    };
    let cards: Vec<usize> = devices.all().iter().filter_map(number).collect();
    if !cards.is_empty() {
        findings.extend(cuda::findings(Path::new("/"), &cards, cfg!(feature = "cuda")));
    }
    match fetch::resolve(&args.model) {
        Ok(named) => findings.extend([memory(&named), model(&args.model, &named)?]),
        Err(error) => findings.push(Finding::failed("model", &error)),
    }
    findings.extend(store(args.store)?);
    if !args.offline {
        let client = Client::new(Limits::default());
        findings.extend(HOSTS.map(|(name, address, variable, hint)| {
            let named = std::env::var(variable).ok().filter(|named| !named.is_empty());
            host(&client, name, named.as_deref().unwrap_or(address), hint)
        }));
    }
    let text: String = findings.iter().map(Finding::line).collect();
    Output::Stdout.write_text(&text)?;
    let is_well = findings.iter().all(|finding| finding.state != State::Bad);
    Ok(if is_well { Outcome::Complete } else { Outcome::Incomplete })
}

fn processor() -> Finding {
    let what = "processor";
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match Isa::detect() {
        Err(error) => Finding::failed(what, &error),
        Ok(isa) if isa == Isa::SCALAR => Finding::of(
            what,
            State::Doubtful,
            format!("{threads} threads, no kernels of its own"),
            "writing takes many times as long as with AVX2, which PCs have had since 2013",
        ),
        Ok(isa) => Finding::good(what, format!("{threads} threads, kernels {}", isa.name())),
    }
}

fn memory(model: &ModelRef) -> Finding {
    let what = "memory";
    let ModelRef::Card(card) = model else {
        return Finding::good(what, "what this model needs is not known");
    };
    let (Some(free), Some(measured)) = (system::available_memory(), &card.measured) else {
        return Finding::good(what, "not known here");
    };
    let text = format!("{} free, {} takes {}", bytes(free), card.name, bytes(measured.memory));
    let smaller = format!("free some, or use --model {}", card::SMALL);
    match free {
        free if free < measured.least_memory => Finding::of(what, State::Bad, text, smaller),
        free if free < measured.memory => {
            Finding::of(what, State::Doubtful, text, "fewer papers at a time are written about")
        }
        _ => Finding::good(what, text),
    }
}

fn model(name: &str, model: &ModelRef) -> Result<Finding> {
    let what = "model";
    let cache = Cache::from_env()?;
    Ok(match model {
        ModelRef::Path(path) => match Model::architecture(path) {
            Ok(architecture) => Finding::good(what, format!("{}, {architecture}", path.display())),
            Err(error) => Finding::failed(what, &error),
        },
        ModelRef::Hub(_) => Finding::good(what, format!("{name} is fetched when it is asked for")),
        ModelRef::Card(card) => match fetch::status(card, &cache) {
            Some(file) => Finding::good(what, format!("{}, {}", card.name, file.path.display())),
            None => {
                let size = card.file.bytes;
                let text = format!("{} is not here yet ({})", card.name, bytes(size));
                let needed = fetch::disk_while_fetched(size, &card.sources);
                match system::free_disk(cache.root()) {
                    Some(free) if free < needed => Finding::of(
                        what,
                        State::Bad,
                        format!(
                            "{text}, takes {} of disk while it is fetched, and {} has {} left",
                            bytes(needed),
                            cache.root().display(),
                            bytes(free)
                        ),
                        "make room, or name another folder in WENZHAI_HOME",
                    ),
                    _ => Finding::of(
                        what,
                        State::Doubtful,
                        text,
                        format!("`wenzhai models fetch {name}` brings it"),
                    ),
                }
            }
        },
    })
}

fn store(path: Option<PathBuf>) -> Result<Vec<Finding>> {
    let StoreChoice::File(path) = StoreChoice::of(path, false)? else { return Ok(Vec::new()) };
    let what = "store";
    let shown = path.display();
    let mut findings = Vec::new();
    if path.exists() {
        findings.push(match Store::open(&path).and_then(|store| store.len()) {
            Ok(number) => Finding::good(what, format!("{shown}, {number} summaries")),
            Err(error) => Finding::failed(what, &error),
        });
    } else {
        findings.push(Finding::good(what, format!("{shown} is made by the first digest")));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(free) = system::free_disk(folder.unwrap_or(Path::new("."))) {
        let text = format!("{} left for the store", bytes(free));
        findings.push(if free < STORE_BYTES {
            Finding::of("disk", State::Bad, text, "make room, or give another file with --store")
        } else {
            Finding::good("disk", text)
        });
    }
    Ok(findings)
}

fn host(client: &Client, name: &'static str, address: &str, hint: &str) -> Finding {
    match client.send(&Request::head(address), &mut |_| {}) {
        Ok(answer) if answer.status < 500 => {
            Finding::good(name, format!("{} answers", shown_address(address)))
        }
        Ok(answer) => {
            let text = format!("{} answers with status {}", shown_address(address), answer.status);
            Finding::of(name, State::Doubtful, text, hint)
        }
        Err(failure) => {
            let address = shown_address(address);
            let text = format!("{address} cannot be reached: {}", failure.message);
            Finding::of(name, State::Doubtful, text, hint)
        }
    }
}
