//! What can be typed behind `wenzhai doctor`.

use std::path::PathBuf;

use clap::Args;

/// Look whether everything is here that a digest needs.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// Model that is to write
    #[arg(long, value_name = "MODEL", default_value = crate::card::DEFAULT, env = "WENZHAI_MODEL",
          hide_env_values = true)]
    pub(in crate::cli) model: String,

    /// Where it is to compute: cpu, or cuda, for which the card, its driver and this program are
    /// looked at
    #[arg(long, default_value = "cpu")]
    pub(in crate::cli) device: String,

    /// Store that is to keep [default: store.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", env = "WENZHAI_STORE", hide_env_values = true)]
    pub(in crate::cli) store: Option<PathBuf>,

    /// Do not try to reach arXiv and the places that models come from
    #[arg(long)]
    pub(in crate::cli) offline: bool,
}
