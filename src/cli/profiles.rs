//! Digests by profiles of the file of settings, and `wenzhai config`.

use std::ffi::OsString;

use super::args::{ConfigCommand, DigestArgs};
use super::config::Config;
use super::console;
use super::digest;
use super::interruption;
use super::outcome::{self, Outcome};
use super::output::{Output, is_reader_gone};
use super::outputs;
use super::settings::DigestSettings;
use crate::error::{Error, ErrorKind, Result};

/// What `wenzhai config example` prints.
const EXAMPLE: &str = include_str!("example.toml");

/// Makes the digests that were asked for, one after the other. One that cannot be made does not
/// keep the others from being made.
pub(super) fn digest(args: &DigestArgs) -> Result<Outcome> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let config = Config::find(args.config.as_deref())?;
    let digests = config.digests(&typed)?;
    check_apart(&digests)?;
    let number = digests.len();
    let (mut failed, mut written, mut may_pass, mut is_complete) = (0, 0, false, true);
    for (at, (name, args)) in digests.into_iter().enumerate() {
        let (name, is_quiet) = (name.as_deref(), args.quiet);
        if !is_quiet {
            tell(name);
        }
        match digest::run(name, args, config.path()) {
            Ok(Outcome::Incomplete) => (written, is_complete) = (written + 1, false),
            Ok(outcome @ (Outcome::Interrupted(_) | Outcome::Failed(_))) => return Ok(outcome),
            Ok(Outcome::Complete) => written += 1,
            Ok(Outcome::Nothing) => {}
            Err(error) if number == 1 => return Err(error),
            // Whoever reads standard output has what was wanted; the others write elsewhere.
            Err(error) if is_reader_gone(&error) => written += 1,
            Err(error) => {
                if is_quiet {
                    tell(name);
                }
                console::print_error(&error);
                (failed, may_pass) = (failed + 1, may_pass || error.may_pass());
            }
        }
        // One that came when a digest had just been finished is for those that follow.
        let left = number - at - 1;
        if let Some(status) = interruption::status().filter(|_| left > 0) {
            console::note(&format!("stopped before the next profile; left: {left}"));
            return Ok(Outcome::Interrupted(status));
        }
    }
    Ok(match failed {
        0 if is_complete => Outcome::Complete,
        // One that may pass tells to run all of them again.
        _ if written == 0 && may_pass => Outcome::Failed(outcome::TRY_LATER),
        _ if written == 0 => Outcome::Failed(outcome::WRONG),
        _ => Outcome::Incomplete,
    })
}

/// Refuses profiles that would write over each other's files, or read what an earlier one has read up. An
/// archive that each of them extends is no such file.
fn check_apart(digests: &[(Option<String>, DigestArgs)]) -> Result<()> {
    for (at, (name, args)) in digests.iter().enumerate() {
        for (earlier, other) in &digests[..at] {
            let names =
                [earlier, name].map(|name| name.as_deref().unwrap_or_default()).join(" and ");
            if [args, other].iter().all(|args| args.inputs.iter().any(|input| input == "-")) {
                let message = format!("both profiles {names} read standard input");
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("the earlier one leaves nothing of it; write it to a file before"));
            }
            if args.dry_run {
                continue;
            }
            let extend = args.skip_existing && other.skip_existing;
            if let Some(path) = outputs::in_common(&args.outputs, &other.outputs, extend) {
                let message = format!("{} is an output of both profiles {names}", path.display());
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("the later one would write over it; give each a name of its own"));
            }
        }
    }
    Ok(())
}

fn tell(profile: Option<&str>) {
    if let Some(name) = profile {
        console::note(&format!("profile {name}:"));
    }
}

/// `wenzhai config`.
pub(super) fn show(command: &ConfigCommand) -> Result<Outcome> {
    match command {
        ConfigCommand::Example => Output::Stdout.write_text(EXAMPLE),
        ConfigCommand::Show { config } => {
            let config = found(config.as_deref())?;
            if let Some(path) = config.path() {
                console::note(&format!("settings of {}", path.display()));
            }
            Output::Stdout.write_text(&config.shown())
        }
        ConfigCommand::Check { config } => {
            let config = found(config.as_deref())?;
            let mut all = ["wenzhai", "digest"].map(OsString::from).to_vec();
            if config.names().next().is_none() {
                // What holds for every digest is tried with any input.
                all.push(OsString::from("arxiv:cs.CL"));
            }
            let digests = config.digests(&all)?;
            check_apart(&digests)?;
            // What is wrong without the file, too, is none of its faults.
            let plain = ["wenzhai", "digest", "arxiv:cs.CL"].map(OsString::from);
            let plain = Config::find(Some("none".as_ref()))?.of_head(&plain)?;
            DigestSettings::of(plain, None).map_err(|error| {
                let message = format!("the environment: {error}");
                error.saying(message)
            })?;
            for (name, args) in digests {
                DigestSettings::of(args, config.path())
                    .map_err(|error| config.placed(name.as_deref(), error))?;
            }
            let names: Vec<&str> = config.names().collect();
            console::note(&match (config.path(), names.as_slice()) {
                (Some(path), []) => format!("{} is good; it has no profiles", path.display()),
                (Some(path), names) => {
                    format!("{} is good; profiles: {}", path.display(), names.join(", "))
                }
                (None, _) => String::new(),
            });
            Ok(())
        }
    }?;
    Ok(Outcome::Complete)
}

/// The file of settings, which has to be there.
fn found(path: Option<&std::path::Path>) -> Result<Config> {
    let config = Config::find(path)?;
    if config.path().is_none() {
        return Err(Error::new(ErrorKind::Usage, "there is no file of settings")
            .hint("`wenzhai config example > wenzhai.toml` makes one to begin with"));
    }
    Ok(config)
}
