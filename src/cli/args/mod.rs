//! What can be typed. What it means is [`super::settings`]' matter.

mod bench;
mod doctor;
mod notes;
mod plan;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::shortlist::MAX_MIN_COUNT;
use crate::writer::{MAX_BEAMS, MAX_PAPERS};
pub(super) use bench::{BenchArgs, PeerArg};
pub(super) use doctor::DoctorArgs;
pub(super) use plan::PlanArgs;

use notes::{
    CONFIG_NOTES, DIGEST_EXAMPLES, DOCTOR_NOTES, ENVIRONMENT, EVAL_NOTES, EXIT_STATUS,
    MODELS_EXAMPLES, RENDER_EXAMPLES, SHORTLIST_NOTES, SITE_NOTES,
};

/// The variable of the environment that an option is read from; one that is empty counts as not set.
fn variable(name: &'static str) -> Option<&'static str> {
    std::env::var_os(name).is_none_or(|value| !value.is_empty()).then_some(name)
}

/// Reads arXiv feeds and writes a Chinese digest of them, with a language model on this machine.
#[derive(Debug, Parser)]
#[command(name = "wenzhai", version, after_help = format!("{ENVIRONMENT}\n\n{EXIT_STATUS}"),
          disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Summarise the papers of feeds, and write the digest
    Digest(Box<DigestArgs>),
    /// Write the digest of finished records, without a model
    Render(RenderArgs),
    /// Write the pages, the index and the feed of many days
    Site(SiteArgs),
    /// Measure how fast a model writes on this machine
    Bench(BenchArgs),
    /// Compute how long so many papers take, on what device, and with how much energy
    Plan(PlanArgs),
    /// Measure how good summaries are, against references
    Eval(EvalArgs),
    /// Look whether everything is here that a digest needs, and say what to do where it is not
    #[command(after_help = DOCTOR_NOTES)]
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command
    Man {
        /// Folder to write them to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Show and check the file of settings
    #[command(after_help = CONFIG_NOTES)]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show, fetch and export models
    #[command(after_help = MODELS_EXAMPLES)]
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
}

/// Summarise the papers of feeds, and write the digest.
#[derive(Debug, Args)]
#[command(after_help = DIGEST_EXAMPLES)]
pub(super) struct DigestArgs {
    /// arxiv:NAME, files, folders, http(s) addresses, - for standard input, or profiles of the file
    /// of settings; where nothing is named, all profiles
    #[arg(value_name = "INPUT")]
    pub(super) inputs: Vec<String>,

    /// File of settings, or none [default: wenzhai.toml, or config.toml in the user's folder for
    /// settings]
    #[arg(long, value_name = "FILE", help_heading = "Papers")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) outputs: OutputArgs,

    /// List the papers as records without summaries, in the order of the digest; loads no model, writes
    /// nothing
    #[arg(long, conflicts_with = "output", help_heading = "Output")]
    pub(super) dry_run: bool,

    /// What is written about a paper; one-liner or paragraph must be among them. A one-liner without
    /// its paragraph comes out longer
    #[arg(
        long,
        value_name = "LIST",
        default_value = "title,one-liner,paragraph",
        help_heading = "Output"
    )]
    pub(super) fields: String,

    /// Say nothing but errors, warnings, and how much could not be read
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(super) quiet: bool,

    /// Say which model, prompt and store are used, which papers are tried again and for what, and every
    /// item that could not be read
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,

    /// Read at most N papers; of pipes and addresses, nothing behind them
    #[arg(long, value_name = "N", help_heading = "Papers")]
    pub(super) limit: Option<u64>,

    /// Leave out papers that the .jsonl output has already, and put the others behind them
    #[arg(long, conflicts_with = "dry_run", help_heading = "Papers")]
    pub(super) skip_existing: bool,

    /// Leave out the days of a category that were missed since its feed was last read
    #[arg(long, help_heading = "Papers")]
    pub(super) no_catch_up: bool,

    /// Address of e-mail or page by which servers can reach you; sent with requests for arxiv:NAME
    /// and for addresses [default: WENZHAI_CONTACT]
    #[arg(long, value_name = "CONTACT", help_heading = "Papers")]
    pub(super) contact: Option<String>,

    /// Summarise anew what the store or the input has a summary of
    #[arg(long, help_heading = "Papers")]
    pub(super) redo: bool,

    /// Where finished papers are kept [default: wenzhai/store.sqlite in the user's data
    /// folder]
    #[arg(
        long,
        value_name = "FILE",
        env = variable("WENZHAI_STORE"),
        hide_env_values = true,
        help_heading = "Papers"
    )]
    pub(super) store: Option<PathBuf>,

    /// Keep finished papers in memory only, wherever the store would be
    #[arg(long, help_heading = "Papers")]
    pub(super) no_store: bool,

    #[command(flatten)]
    pub(super) selection: SelectionArgs,

    #[command(flatten)]
    pub(super) model: ModelArgs,

    /// Prompt instead of the model's own: chat, plain, or a TOML file like those in prompts/
    #[arg(long, value_name = "PROMPT", help_heading = "Model")]
    pub(super) prompt: Option<PathBuf>,

    /// Terms and how to translate them, which come before those of the model's own glossary: a
    /// term, a tab and its translation a line. `none` leaves out the model's own
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(super) glossary: Option<PathBuf>,

    /// What summaries are held to while they are written: all, none, or some of numbers, names,
    /// english, unsourced, emphasis and loops, with commas between
    #[arg(long, value_name = "LIST", default_value = "all", help_heading = "Model")]
    pub(super) guards: String,

    /// Texts of a paper that are written side by side, of which the likeliest is kept: 1 takes two thirds of
    /// the time of 4, and more claims are wrong [default: 4 with the default model, else 1]
    #[arg(long, value_name = "N", help_heading = "Model",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BEAMS)))]
    pub(super) beams: Option<u32>,

    /// Papers that are written about at a time [default: as many as memory allows, at most 64, of four texts
    /// each 20, on a card 256 and 128]
    #[arg(long, value_name = "N", help_heading = "Model",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAPERS)))]
    pub(super) batch: Option<u32>,

    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

/// Which papers.
#[derive(Debug, Args)]
pub(super) struct SelectionArgs {
    /// Announcements to summarise: some of new, cross and replace, with commas between, or all. A
    /// replacement that is not asked for is listed where the store has a summary of the paper
    #[arg(long, value_name = "LIST", default_value = "new,cross", help_heading = "Selection")]
    pub(super) announce: String,

    /// Keep papers that have this term; may be given more than once, and one is enough. A term is
    /// words (whole, singular or plural), Chinese where its English is known, a category such as cs.CL
    /// or cs.*, or /a regex/; title:, abstract:, author: or category: before it say where
    #[arg(long, value_name = "TERM", help_heading = "Selection")]
    pub(super) keep: Vec<String>,

    /// Leave out papers that have this term; may be given more than once
    #[arg(long, value_name = "TERM", help_heading = "Selection")]
    pub(super) drop: Vec<String>,

    /// Leave out papers announced, published or last changed earlier, as 2026-11-25; not those that
    /// tell no day
    #[arg(long, value_name = "DATE", help_heading = "Selection")]
    pub(super) since: Option<String>,

    /// Leave out papers of later days, likewise
    #[arg(long, value_name = "DATE", help_heading = "Selection")]
    pub(super) until: Option<String>,

    /// Take only the papers of shard I of N, counted from 1 (2/8), by a hash of their arXiv ids: for
    /// one of several machines, or one of several runs, each with a --store of its own
    #[arg(long, value_name = "I/N", help_heading = "Selection")]
    pub(super) shard: Option<String>,

    /// Order papers by their likeness to those of a library: BibTeX, CSL JSON as Zotero exports it,
    /// records, or a list of arXiv ids; may be given more than once
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    pub(super) like: Vec<PathBuf>,

    /// Keep only the N papers that are most alike
    #[arg(long, value_name = "N", help_heading = "Selection",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) top: Option<u64>,
}

/// What computes.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// cpu, cuda, cuda:N, several cards as in cuda:0,1, or metal
    #[arg(long, default_value = "cpu", help_heading = "Model")]
    pub(super) device: String,

    /// CPU threads, as many as there are cores at most [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Model",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) threads: Option<u32>,

    /// What computes: auto is the fastest for the device
    #[arg(long, value_enum, default_value_t = EngineArg::Auto, help_heading = "Model")]
    pub(super) engine: EngineArg,

    /// Tokens to choose from: those of summaries, where the model has a list of them, or all
    #[arg(long, value_enum, default_value_t = VocabArg::Shortlist, help_heading = "Model")]
    pub(super) vocab: VocabArg,
}

/// Which model.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// default, small or another name of `wenzhai models list`, path of a GGUF file, or
    /// hf:OWNER/REPO:FILE
    #[arg(long, value_name = "MODEL", default_value = crate::card::DEFAULT,
          env = variable("WENZHAI_MODEL"), hide_env_values = true, help_heading = "Model")]
    pub(super) model: String,

    /// Adapter to merge into the model instead of its own, or `none`
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(super) adapter: Option<PathBuf>,
}

/// Write the digest of finished records, without a model.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub(super) struct RenderArgs {
    /// Files of records, one JSON object a line, or - for standard input
    #[arg(required = true, value_name = "RECORDS")]
    pub(super) inputs: Vec<String>,

    #[command(flatten)]
    pub(super) outputs: OutputArgs,
}

/// Write the pages, the index and the feed of many days.
#[derive(Debug, Args)]
#[command(after_help = SITE_NOTES)]
pub(super) struct SiteArgs {
    /// Folder of records, a file a day: 2026-11-25.jsonl
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,

    /// Write all pages anew, also those that are newer than their records, as after another --group
    #[arg(long)]
    pub(super) redo: bool,

    /// Address that the folder will have on the web, which the feed tells its readers
    #[arg(long, value_name = "ADDRESS")]
    pub(super) url: Option<String>,

    #[command(flatten)]
    pub(super) arrangement: ArrangementArgs,
}

/// Where a digest goes, and in which forms.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// File to write, also more than one: .md, .jsonl, .html (a page) or .xml (an Atom feed).
    /// {date} in a name is the digest's day. Without it, the digest goes to standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Vec<PathBuf>,

    /// Form on standard output, and in files whose names tell none [default: md]
    #[arg(long, value_enum, help_heading = "Output")]
    pub(super) format: Option<Format>,

    #[command(flatten)]
    pub(super) arrangement: ArrangementArgs,
}

/// In which order papers stand.
#[derive(Debug, Args)]
pub(super) struct ArrangementArgs {
    /// Order of the papers: by link, descending, or by day, newest first [default: by link, or by
    /// likeness where that was asked for]
    #[arg(long, value_enum, value_name = "BY", help_heading = "Output")]
    pub(super) sort: Option<SortArg>,

    /// Put papers together, with headings: by their first category, or by why they were announced
    #[arg(long, value_enum, value_name = "BY", help_heading = "Output")]
    pub(super) group: Option<GroupArg>,
}

/// Measure how good summaries are, against references.
#[derive(Debug, Args)]
#[command(after_help = EVAL_NOTES)]
pub(super) struct EvalArgs {
    /// What was written: records, as digest writes them with --format jsonl, or - for standard
    /// input
    #[arg(value_name = "RECORDS")]
    pub(super) records: String,

    /// What it is compared with: one JSON object with `id`, `title`, `abstract`, `zh_title`,
    /// `zh_tldr` and `zh_abstract` a line, or - for standard input
    #[arg(value_name = "REFERENCES")]
    pub(super) references: String,

    /// Show the N papers that are furthest from their references
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(super) worst: u32,

    /// File to write everything to that was measured; - puts it in place of the table
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the file of settings as it is understood, and where it stands
    Show {
        /// File of settings [default: the one that digest would read]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check the file of settings and all its profiles, without reading a feed
    Check {
        /// File of settings [default: the one that digest would read]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print a file of settings to begin with
    Example,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models that have a name, and which of them are here
    List,
    /// Show what a model is, where it comes from, and its licence
    Show {
        /// Name of the model
        name: String,
    },
    /// Fetch the weights of models, verified; goes on where an earlier fetch stopped
    Fetch {
        /// Names of models, or hf:OWNER/REPO:FILE
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Say nothing but errors
        #[arg(short, long)]
        quiet: bool,
    },
    /// Write a model, its adapter merged, as a GGUF file that other programs can run
    Export {
        /// Name of a model, path of a GGUF file, or hf:OWNER/REPO:FILE
        #[arg(value_name = "MODEL")]
        model: String,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Adapter to merge into the model instead of its own, or `none`
        #[arg(long, value_name = "FILE")]
        adapter: Option<PathBuf>,
        /// Write matrices as the f32 values that their blocks stand for; some four times as large
        #[arg(long)]
        f32: bool,
        /// Say nothing but errors
        #[arg(short, long)]
        quiet: bool,
    },
    /// Learn a model's output shortlist from summaries; for those who add a model
    #[command(after_help = SHORTLIST_NOTES)]
    Shortlist {
        /// Name of a model, path of a GGUF file, or hf:OWNER/REPO:FILE
        #[arg(value_name = "MODEL")]
        model: String,
        /// Records with Chinese summaries: one JSON object a line, also packed with gzip
        #[arg(required = true, value_name = "RECORDS")]
        inputs: Vec<String>,
        /// How often a token must occur to be on the list
        #[arg(long, value_name = "N", default_value_t = 3,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_MIN_COUNT)))]
        min_count: u32,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Say nothing but errors
        #[arg(short, long)]
        quiet: bool,
    },
}

/// Form of the output; the variants have no docs, since they would stretch the help to two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Md,
    Jsonl,
    Html,
    Atom,
}

/// Order of the papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SortArg {
    Link,
    Date,
}

/// What papers of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GroupArg {
    Category,
    Announce,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineArg {
    Auto,
    Cpu,
    Candle,
}

/// Which tokens are chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum VocabArg {
    Shortlist,
    Full,
}
