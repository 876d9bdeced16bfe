//! The arguments of `wenzhai bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::EngineArgs;
use super::notes::BENCH_NOTES;
use crate::writer::{MAX_BEAMS, MAX_PAPERS};

/// Measure how fast a model writes on this machine.
#[derive(Debug, Args)]
#[command(after_help = BENCH_NOTES)]
pub(in crate::cli) struct BenchArgs {
    /// Name of a model, path of a GGUF file, or hf:OWNER/REPO:FILE
    #[arg(value_name = "MODEL", default_value = crate::card::DEFAULT)]
    pub(in crate::cli) model: String,

    /// Adapter to merge into the model instead of its own, or `none`
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(in crate::cli) adapter: Option<PathBuf>,

    /// Papers in any form that digest reads, or prompts: one JSON object with `prompt` and,
    /// if they share one, `prefix` a line [default: 48 made-up papers]
    #[arg(long, value_name = "FILE", help_heading = "Workload")]
    pub(in crate::cli) papers: Option<PathBuf>,

    /// Take at most N of them
    #[arg(long, value_name = "N", help_heading = "Workload",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,

    /// Tokens to write about each, neither fewer nor more
    #[arg(long, value_name = "N", default_value_t = 320, help_heading = "Workload",
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(in crate::cli) tokens: u32,

    /// Texts of a paper that are written side by side, as by `digest --beams`
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Workload",
          conflicts_with = "peer", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BEAMS)))]
    pub(in crate::cli) beams: u32,

    /// Papers at a time: each number is measured
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64",
          help_heading = "Workload", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAPERS)))]
    pub(in crate::cli) batch: Vec<u32>,

    /// How often everything is measured; medians are told, and the extremes
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Workload",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(in crate::cli) repeat: u32,

    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,

    /// Measure other programs too, in turns, on the same weights and tokens: a Python interpreter
    /// that has them
    #[arg(long, value_name = "PYTHON", help_heading = "Report")]
    pub(in crate::cli) peer: Option<PathBuf>,

    /// Which programs these are, by llama-cpp-python and openvino-genai
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "llama.cpp",
        requires = "peer",
        help_heading = "Report"
    )]
    pub(in crate::cli) peer_program: Vec<PeerArg>,

    /// File to write everything to that was measured; - puts it in place of the table
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(in crate::cli) json: Option<PathBuf>,
}

/// A program to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PeerArg {
    #[value(name = "llama.cpp")]
    LlamaCpp,
    #[value(name = "openvino")]
    OpenVino,
}
