//! `wenzhai doctor`: whether everything that a digest needs is here, and what to do where it is not.

mod cuda;
mod finding;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use finding::{Finding, State};

use super::args::{DigestArgs, DoctorArgs};
use super::config::Config;
use super::console;
use super::outcome::Outcome;
use super::output::Output;
use super::settings::StoreChoice;
use super::wording::bytes;
use crate::card;
use crate::engine::candle::{DeviceChoice, Devices};
use crate::error::Result;
use crate::feed::arxiv::Service;
use crate::fetch::{self, Cache, ModelRef};
use crate::http::{Client, Limits, Request, shown_address};
use crate::kernels::Isa;
use crate::model::Model;
use crate::store::Store;
use crate::system;

/// Disk that a store and its temporary tables want to have left.
const STORE_BYTES: u64 = 256 << 20;

/// A server that digests or downloads ask.
struct Host {
    name: &'static str,
    address: &'static str,
    /// The variable that names another address.
    variable: &'static str,
    /// What to do where it does not answer.
    hint: &'static str,
}

const ARXIV: Host = Host {
    name: "arXiv",
    address: "https://rss.arxiv.org",
    variable: "WENZHAI_ARXIV_URL",
    hint: "feeds saved as files are read as well; WENZHAI_ARXIV_URL names a mirror",
};

/// Where models come from.
const OF_MODELS: [Host; 2] = [
    Host {
        name: "PyPI",
        address: "https://pypi.org",
        variable: "PIP_INDEX_URL",
        hint: "models can be put by hand where `wenzhai models show` says",
    },
    Host {
        name: "the hub",
        address: "https://huggingface.co",
        variable: "HF_ENDPOINT",
        hint: "HF_ENDPOINT names a mirror",
    },
];

pub(super) fn run(args: DoctorArgs) -> Result<Outcome> {
    let (digest, settings) = digest(&args)?;
    let mut findings: Vec<Finding> = settings.into_iter().chain([processor()]).collect();
    let devices = match digest.engine.device.parse::<Devices>() {
        Err(error) if args.device.is_none() => {
            findings.push(Finding::failed("device", &error));
            Devices::default()
        }
        devices => devices?,
    };
    let number = |device: &DeviceChoice| match device {
        DeviceChoice::Cuda(number) => Some(*number),
        _ => None,
    };
    let cards: Vec<usize> = devices.all().iter().filter_map(number).collect();
    if !cards.is_empty() {
        findings.extend(cuda::findings(Path::new("/"), &cards, cfg!(feature = "cuda")));
    }
    if devices.all().contains(&DeviceChoice::Metal) {
        findings.push(metal(cfg!(feature = "metal")));
    }
    let name = &digest.model.model;
    match fetch::resolve(name) {
        Ok(named) => findings.extend([memory(&named), model(name, &named)?]),
        Err(error) => findings.push(Finding::failed("model", &error)),
    }
    findings.extend(store(digest.store, digest.no_store)?);
    if !args.offline {
        let client = Client::new(Limits::default());
        let arxiv = arxiv(&client, digest.contact.as_deref());
        findings.push(arxiv.unwrap_or_else(|error| Finding::failed(ARXIV.name, &error)));
        findings.extend(OF_MODELS.iter().map(|host| host.ask(&client, None)));
    }
    let text: String = findings.iter().map(Finding::line).collect();
    Output::Stdout.write_text(&text)?;
    let is_well = findings.iter().all(|finding| finding.state != State::Bad);
    Ok(if is_well { Outcome::Complete } else { Outcome::Incomplete })
}

/// The digest that is asked about, and what is found of the file of settings, whose head has a say
/// in it.
fn digest(args: &DoctorArgs) -> Result<(DigestArgs, Option<Finding>)> {
    let given = [
        ("--model=", args.model.as_deref().map(OsStr::new)),
        ("--device=", args.device.as_deref().map(OsStr::new)),
        ("--store=", args.store.as_deref().map(Path::as_os_str)),
    ];
    let option = |(name, value): (&str, Option<&OsStr>)| {
        let mut option = OsString::from(name);
        option.push(value?);
        Some(option)
    };
    let typed: Vec<OsString> = ["wenzhai", "digest", "-"]
        .into_iter()
        .map(OsString::from)
        .chain(given.into_iter().filter_map(option))
        .collect();
    let settings = Config::find(args.config.as_deref()).and_then(|config| {
        let good = |path: &Path| Finding::good("settings", path.display().to_string());
        Ok((config.of_head(&typed)?, config.path().map(good)))
    });
    match settings {
        Err(error) => {
            let bad = Finding::failed("settings", &error);
            Ok((Config::default().of_head(&typed)?, Some(bad)))
        }
        settings => settings,
    }
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

fn metal(built: bool) -> Finding {
    match built {
        true => Finding::good("metal", "built in; `wenzhai bench --device metal` tries it"),
        false => Finding::of(
            "metal",
            State::Bad,
            "this program was built without it",
            "build with --features metal on macOS, or leave out --device",
        ),
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
    let smaller = match card::find(card::SMALL) {
        Some(_) => format!("free some, or use --model {}", card::SMALL),
        None => "free some, or use a smaller model".into(),
    };
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

fn store(path: Option<PathBuf>, no_store: bool) -> Result<Vec<Finding>> {
    let StoreChoice::File(path) = StoreChoice::of(path, no_store)? else { return Ok(Vec::new()) };
    let what = "store";
    let shown = path.display();
    let mut findings = Vec::new();
    if path.exists() {
        findings.push(match Store::open(&path).and_then(|store| store.len()) {
            Ok(number) => Finding::good(what, format!("{shown}, {number} summaries")),
            Err(error) if error.may_pass() => Finding::of(
                what,
                State::Doubtful,
                error.to_string(),
                error.hint_text().unwrap_or_default(),
            ),
            Err(error) => Finding::failed(what, &error),
        });
    } else {
        findings.push(match obstacle(&path) {
            None => Finding::good(what, format!("{shown} is made by the first digest")),
            Some(why) => Finding::of(
                what,
                State::Bad,
                format!("{shown} cannot be made: {why}"),
                "give another file with --store, or keep nothing with --no-store",
            ),
        });
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

/// What keeps a file from being made at `path`, in folders that may have to be made as well.
fn obstacle(path: &Path) -> Option<String> {
    // A relative path has no ancestor that is there.
    let path = std::path::absolute(path).ok()?;
    let mut folders = path.ancestors().skip(1);
    let existing = folders.find(|folder| folder.symlink_metadata().is_ok())?;
    let shown = existing.display();
    if !existing.is_dir() {
        return Some(format!("{shown} is no folder"));
    }
    let failed = tempfile::tempfile_in(existing).err();
    failed.map(|cause| format!("no file can be made in {shown}: {}", cause.kind()))
}

/// Asks arXiv in turn, and under the name that digests ask it under.
fn arxiv(client: &Client, contact: Option<&str>) -> Result<Finding> {
    let service = Service::from_env()?;
    let service = match contact {
        Some(contact) => service.with_contact(contact)?,
        None => service,
    };
    let _turn = service.turn(&mut |text| console::note(text))?;
    Ok(ARXIV.ask(client, Some(service.user_agent())))
}

impl Host {
    /// Whether it answers to one that calls itself `user_agent`.
    fn ask(&self, client: &Client, user_agent: Option<String>) -> Finding {
        let named = std::env::var(self.variable).ok().filter(|named| !named.is_empty());
        let address = named.as_deref().unwrap_or(self.address);
        let shown = shown_address(address);
        let mut request = Request::head(address);
        if let Some(name) = user_agent {
            request = request.header("user-agent", name);
        }
        let text = match client.send(&request, &mut |_| {}) {
            Ok(answer) if answer.status < 500 => {
                return Finding::good(self.name, format!("{shown} answers"));
            }
            Ok(answer) => format!("{shown} answers with status {}", answer.status),
            Err(failure) => format!("{shown} cannot be reached: {}", failure.message),
        };
        Finding::of(self.name, State::Doubtful, text, self.hint)
    }
}
