//! What can be typed behind `wenzhai doctor`.

use std::path::PathBuf;

use clap::Args;

use super::variable;

/// Look whether everything is here that a digest needs.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// Model that is to write [default: what the head of the file of settings says, or default]
    #[arg(long, value_name = "MODEL", env = variable("WENZHAI_MODEL"), hide_env_values = true)]
    pub(in crate::cli) model: Option<String>,

    /// Where it is to compute: cpu, metal, or cuda, for which the card, its driver and this program
    /// are looked at [default: what the head of the file of settings says, or cpu]
    #[arg(long)]
    pub(in crate::cli) device: Option<String>,

    /// Store that is to keep [default: what the head of the file of settings says, or
    /// wenzhai/store.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", env = variable("WENZHAI_STORE"), hide_env_values = true)]
    pub(in crate::cli) store: Option<PathBuf>,

    /// File of settings, or none [default: the one that digest would read]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,

    /// Do not try to reach arXiv and the places that models come from
    #[arg(long)]
    pub(in crate::cli) offline: bool,
}
