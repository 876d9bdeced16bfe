//! What can be typed behind `wenzhai plan`.

use std::path::PathBuf;

use clap::Args;

use super::notes::PLAN_NOTES;
use super::variable;
use crate::writer::{MAX_BEAMS, MAX_PAPERS};

/// Compute how long so many papers take, on what device, and with how much energy.
#[derive(Debug, Args)]
#[command(after_help = PLAN_NOTES)]
pub(in crate::cli) struct PlanArgs {
    /// default, small or another name of `wenzhai models list`, path of a GGUF file, or
    /// hf:OWNER/REPO:FILE; it has to be here
    #[arg(long, value_name = "MODEL", default_value = crate::card::DEFAULT,
          env = variable("WENZHAI_MODEL"), hide_env_values = true)]
    pub(in crate::cli) model: String,

    /// cpu, which is measured, or cards, with commas between: h200, h100, h100-pcie, a100, l40s, 4090,
    /// 3090, a10, l4, t4 [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(in crate::cli) device: Vec<String>,

    /// Numbers of papers, with commas between
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1000,1000000,2700000",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(in crate::cli) papers: Vec<u64>,

    /// Texts of a paper that are written side by side, as by `digest --beams` [default: 4 with the
    /// default model, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BEAMS)))]
    pub(in crate::cli) beams: Option<u32>,

    /// Papers that are written about at a time, as far as memory allows [default: at most 64 on a
    /// processor, of four texts each 20, and on a card 256 and 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAPERS)))]
    pub(in crate::cli) batch: Option<u32>,

    /// Tokens of a paper's prompt [default: the mean of twelve sample papers, with the model's own
    /// prompt]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(in crate::cli) prompt_tokens: Option<u32>,

    /// Tokens that are written about a paper
    #[arg(long, value_name = "N", default_value_t = 320,
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(in crate::cli) written_tokens: u32,

    /// Share of the roofline that a card is taken to reach, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 30,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(in crate::cli) share: u8,

    /// Watts that this machine takes while it computes, for the energy of cpu
    #[arg(long, value_name = "W", value_parser = watts)]
    pub(in crate::cli) watts: Option<f64>,

    /// CPU threads to measure with, as many as there are cores at most [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(in crate::cli) threads: Option<u32>,

    /// File to write everything to; - puts it in place of the table
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) json: Option<PathBuf>,
}

fn watts(text: &str) -> Result<f64, String> {
    let watts = text.parse().ok().filter(|watts: &f64| watts.is_finite() && *watts > 0.0);
    watts.ok_or_else(|| "watts are a number above 0".to_owned())
}
