//! The command line: the only module that prints.
//!
//! Arguments (`args`: what was typed) become settings (`settings`: what it means), a file a
//! subcommand does the work, `console` talks to the person. Standard output is for data alone,
//! standard error for everything else. A reader that goes away (`| head`) is no error.

mod args;
mod bench;
mod config;
mod console;
mod digest;
mod doctor;
mod eval;
mod extended;
mod input;
mod interruption;
mod manual;
mod models;
mod outcome;
mod output;
mod outputs;
mod plan;
mod profiles;
mod render;
mod selection;
mod settings;
mod site;
mod sources;
mod unique;
mod wording;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use outcome::Outcome;

pub use config::profiles_in;

/// Parses the arguments, runs, and returns the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // `--help` and `--version` come this way, too. That nobody reads it is no error.
            let _ = message.print();
            return match message.use_stderr() {
                true => ExitCode::from(outcome::WRONG),
                false => ExitCode::SUCCESS,
            };
        }
    };
    let outcome = match cli.command {
        Command::Digest(args) => profiles::digest(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::pages(&folder),
        Command::Config { command } => profiles::show(&command),
        Command::Render(args) => render::run(args),
        Command::Site(args) => site::run(&args),
        Command::Bench(args) => bench::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Models { command } => models::run(command),
    };
    match outcome {
        Ok(Outcome::Complete | Outcome::Nothing) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(outcome::INCOMPLETE),
        Ok(Outcome::Interrupted(status) | Outcome::Failed(status)) => ExitCode::from(status),
        Err(error) if output::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_error(&error);
            ExitCode::from(if error.may_pass() { outcome::TRY_LATER } else { outcome::WRONG })
        }
    }
}
