//! What shells and manuals know of the command line, made from its own description.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::outcome::Outcome;
use super::output::Output;
use crate::atomic::write_atomically;
use crate::error::{Error, ErrorKind, Result};

/// Prints completions for `shell`.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wenzhai", &mut script);
    Output::Stdout.write(|out| out.write_all(&script).map_err(unwritten))?;
    Ok(Outcome::Complete)
}

/// Writes `wenzhai.1`, and a page for each command, to `folder`.
pub(super) fn pages(folder: &Path) -> Result<Outcome> {
    std::fs::create_dir_all(folder).map_err(|cause| Error::io("make", folder, cause))?;
    let mut command = Cli::command();
    command.build();
    write(&command, "wenzhai", folder)?;
    Ok(Outcome::Complete)
}

fn write(command: &clap::Command, name: &str, folder: &Path) -> Result<()> {
    let title = command.clone().display_name(name.to_owned()).bin_name(name.replace('-', " "));
    let page = clap_mangen::Man::new(title).title(name);
    write_atomically(&folder.join(format!("{name}.1")), |mut out| {
        page.render(&mut out).map_err(unwritten)
    })?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(())
}

fn unwritten(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot write").because(cause)
}
