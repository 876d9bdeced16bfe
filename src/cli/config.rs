//! The file of settings: what a reader would otherwise type every morning.
//!
//! `wenzhai.toml` has options of `digest` under their long names. Those at its head hold for every
//! digest; a table `[digest.NAME]` is a profile, which has sources as well and runs by its name. What
//! is typed comes before the environment, that before the profile, that before the head.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use super::args::{Cli, Command, DigestArgs};
use crate::error::{Error, ErrorKind, Result};
use crate::text_file;

/// The file in the current folder, and the one in wenzhai's own.
const HERE: &str = "wenzhai.toml";
const OF_USER: &str = "config.toml";

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// Options that may not both be given; the one that is typed counts.
const EXCLUSIVE: [(&str, &str); 4] = [
    ("store", "no-store"),
    ("quiet", "verbose"),
    ("output", "dry-run"),
    ("skip-existing", "dry-run"),
];

/// Settings of a file.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// Where it stands; `None` where there is no file.
    path: Option<PathBuf>,
    /// What holds for every digest.
    head: Table,
    profiles: Vec<(String, Table)>,
}

/// The names of the profiles in `text`, a file of settings in TOML, in the order of the file. Whoever
/// writes such a file can check it so before a morning's digest does.
///
/// # Errors
/// [`ErrorKind::Usage`] where it is no TOML, or has a key that is no option of `digest`, a value of
/// another kind than its option's, or a profile without sources.
pub fn profiles_in(text: &str) -> Result<Vec<String>> {
    let config = Config::parse(text, Path::new(HERE))?;
    if !config.profiles.is_empty() {
        config.digests(&["wenzhai", "digest"].map(OsString::from))?;
    }
    Ok(config.names().map(str::to_owned).collect())
}

impl Config {
    /// Reads the file `named`, or else `wenzhai.toml` in the current folder, or else `config.toml`
    /// in the user's folder for settings of wenzhai; `none` is no file.
    pub(super) fn find(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(name) if name.as_os_str() == "none" => return Ok(Config::default()),
            Some(path) => path.to_owned(),
            None => {
                let of_user = || Some(dirs::config_dir()?.join("wenzhai").join(OF_USER));
                let found = [Some(PathBuf::from(HERE)), of_user()];
                match found.into_iter().flatten().find(|path| path.is_file()) {
                    Some(path) => path,
                    None => return Ok(Config::default()),
                }
            }
        };
        let text = text_file::read(&path, "file of settings", MAX_BYTES)?;
        Config::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let refused = |message: String| {
            Error::new(ErrorKind::Usage, format!("{}: {message}", path.display()))
        };
        let mut head: Table = toml::from_str(text).map_err(|cause| {
            let before = cause.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            let fault = cause.message().lines().next().unwrap_or_default().to_owned();
            refused(format!("line {line}: {fault}"))
                .hint("the file is TOML; see `wenzhai config example`")
        })?;
        let profiles = match head.remove("digest") {
            None => Vec::new(),
            Some(Value::Table(profiles)) => profiles
                .into_iter()
                .map(|(name, value)| match value {
                    Value::Table(profile) => Ok((name, profile)),
                    _ => Err(refused(format!("digest.{name} is no table"))
                        .hint("a profile is written as [digest.NAME]")),
                })
                .collect::<Result<_>>()?,
            Some(_) => {
                return Err(
                    refused("digest is no table".to_owned()).hint("a profile is [digest.NAME]")
                );
            }
        };
        let config = Config { path: Some(path.to_owned()), head, profiles };
        config.check()?;
        Ok(config)
    }

    /// The profile called `name`.
    fn profile(&self, name: &str) -> Option<&Table> {
        self.profiles.iter().find(|(known, _)| known == name).map(|(_, profile)| profile)
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|(name, _)| name.as_str())
    }

    /// That every key is an option, and every value one of its kind.
    fn check(&self) -> Result<()> {
        self.arguments(&self.head, None, &|_| false)?;
        for (name, profile) in &self.profiles {
            let is_input = ["arxiv:", "http://", "https://"].iter().any(|it| name.starts_with(it));
            let what = match &name[..] {
                "" => "an empty name",
                name if name.starts_with('-') => "an option, and no name",
                _ if is_input => "an input, and no name",
                _ => "",
            };
            if !what.is_empty() {
                let message = format!("{}: {what}", self.place(Some(name)));
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("a profile is named by a word, such as [digest.nlp]"));
            }
            self.arguments(profile, Some(name), &|_| false)?;
        }
        Ok(())
    }

    /// The digests that were asked for by `typed`, the arguments of the program: those of the
    /// profiles that are named, of all profiles where nothing is, or of the inputs that are.
    pub(super) fn digests(&self, typed: &[OsString]) -> Result<Vec<(Option<String>, DigestArgs)>> {
        let matches = parse("", typed.to_vec())?;
        let inputs: Vec<&String> =
            matches.get_many("inputs").map(Iterator::collect).unwrap_or_default();
        let named: Vec<&str> =
            inputs.iter().map(|name| name.as_str()).filter(|n| self.profile(n).is_some()).collect();
        if inputs.is_empty() && self.profiles.is_empty() {
            let error = Error::new(ErrorKind::Usage, "nothing is named to make a digest of");
            return Err(error.hint(
                "name files, addresses or arXiv categories, or write profiles into wenzhai.toml: \
                 see `wenzhai config example`",
            ));
        }
        if !named.is_empty() && named.len() < inputs.len() {
            let message = format!("{} is a profile, and other inputs are named with it", named[0]);
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("run them apart; a file of a profile's name is named as ./NAME"));
        }
        let profiles: Vec<&str> = if inputs.is_empty() { self.names().collect() } else { named };
        if profiles.is_empty() {
            return Ok(vec![(None, self.merged(typed, &matches, None)?)]);
        }
        let digest =
            |name: &str| Ok((Some(name.to_owned()), self.merged(typed, &matches, Some(name))?));
        profiles.into_iter().map(digest).collect()
    }

    /// The digest of inputs that are no profiles: what is `typed`, and where it is silent what the
    /// head of the file says.
    pub(super) fn of_head(&self, typed: &[OsString]) -> Result<DigestArgs> {
        self.merged(typed, &parse("", typed.to_vec())?, None)
    }

    /// An error of the settings of `profile`, or of the head, with its place.
    pub(super) fn placed(&self, profile: Option<&str>, error: Error) -> Error {
        let message = format!("{}: {error}", self.place(profile));
        error.saying(message)
    }

    /// What is typed, and where it is silent what the file says.
    fn merged(
        &self,
        typed: &[OsString],
        matches: &ArgMatches,
        profile: Option<&str>,
    ) -> Result<DigestArgs> {
        let is_typed = |name: &str| {
            let is = |id: &str| {
                let source = matches.value_source(id);
                source.is_some_and(|source| source != ValueSource::DefaultValue)
            };
            let others = EXCLUSIVE.iter().filter_map(|&(a, b)| match name {
                _ if name == a => Some(b),
                _ if name == b => Some(a),
                _ => None,
            });
            is(&id(name)) || others.into_iter().any(|other| is(&id(other)))
        };
        let table = profile.and_then(|name| self.profile(name));
        let (mut arguments, mut sources) = (Vec::new(), Vec::new());
        if let Some(table) = table {
            (arguments, sources) = self.arguments(table, profile, &is_typed)?;
        }
        let in_profile = |name: &str| {
            let exclusive = EXCLUSIVE.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
            let mut others = exclusive.filter(|(a, _)| *a == name).map(|(_, other)| other);
            // A flag that is off excludes nothing.
            let is_on = |table: &Table, name: &str| {
                table.get(name).is_some_and(|value| *value != Value::Boolean(false))
            };
            table.is_some_and(|table| {
                table.contains_key(name) || others.any(|other| is_on(table, other))
            })
        };
        let hidden = |name: &str| is_typed(name) || in_profile(name);
        let (head, _) = self.arguments(&self.head, None, &hidden)?;
        let whole: Vec<OsString> = typed[..2]
            .iter()
            .cloned()
            .chain(head)
            .chain(arguments)
            .chain(typed[2..].iter().cloned())
            .collect();
        let place = self.place(profile);
        let matches = parse(&place, whole)?;
        let mut args =
            DigestArgs::from_arg_matches(&matches).map_err(|cause| told(&place, &cause))?;
        if profile.is_some() {
            args.inputs = sources;
        }
        Ok(args)
    }

    /// What messages call the file, or a profile in it; nothing where there is none.
    fn place(&self, profile: Option<&str>) -> String {
        match (&self.path, profile) {
            (Some(path), Some(name)) => format!("{}, [digest.{name}]", path.display()),
            (Some(path), None) => path.display().to_string(),
            (None, _) => String::new(),
        }
    }

    /// The arguments that `table` stands for, but for options that are `hidden`, and its sources.
    fn arguments(
        &self,
        table: &Table,
        profile: Option<&str>,
        hidden: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<OsString>, Vec<String>)> {
        let place = self.place(profile);
        let command = digest_command();
        let options: Vec<&Arg> =
            command.get_arguments().filter(|arg| arg.get_long().is_some()).collect();
        let (mut arguments, mut sources) = (Vec::new(), Vec::new());
        for (key, value) in table {
            let refused =
                |what: &str| Error::new(ErrorKind::Usage, format!("{place}: {key} {what}"));
            if key == "sources" && profile.is_some() {
                let is_input = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
                let is_list = match value {
                    Value::Array(values) => !values.is_empty() && values.iter().all(is_input),
                    value => is_input(value),
                };
                let texts = texts(value).filter(|_| is_list);
                sources = texts.ok_or_else(|| refused("is no list of inputs"))?;
                continue;
            }
            let option = options.iter().find(|option| option.get_long() == Some(key));
            let Some(option) = option.filter(|_| !matches!(key.as_str(), "help" | "config")) else {
                let known = options.iter().filter_map(|option| option.get_long());
                let known = known.filter(|name| !matches!(*name, "help" | "config"));
                let known = known.chain(profile.map(|_| "sources"));
                let error = refused("is no option of digest");
                if key == "sources" {
                    return Err(error.hint("sources are a profile's: put them below [digest.NAME]"));
                }
                return Err(match nearest(key, known) {
                    Some(name) => error.hint(format!("did you mean {name}?")),
                    None => error.hint("options are named as in `wenzhai digest --help`"),
                });
            };
            let is_flag = matches!(option.get_action(), ArgAction::SetTrue);
            let is_list = matches!(option.get_action(), ArgAction::Append);
            let flag = format!("--{key}");
            match value {
                _ if hidden(key) => {}
                Value::Boolean(is_set) if is_flag => {
                    arguments.extend(is_set.then(|| OsString::from(&flag)));
                }
                _ if is_flag => return Err(refused("is true or false")),
                Value::Array(_) if !is_list => return Err(refused("is one value, not a list")),
                value => {
                    let texts = texts(value).ok_or_else(|| refused("is of another kind"))?;
                    // With `=`, so that a value may begin with a dash.
                    arguments
                        .extend(texts.iter().map(|text| OsString::from(format!("{flag}={text}"))));
                }
            }
        }
        if let Some(name) = profile
            && sources.is_empty()
        {
            let message = format!("{place}: the profile {name} has no sources");
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("sources = [\"arxiv:cs.CL\"] names files, addresses or categories"));
        }
        Ok((arguments, sources))
    }

    /// The file as it is understood, TOML.
    pub(super) fn shown(&self) -> String {
        let mut whole = self.head.clone();
        let profiles = self.profiles.iter().cloned();
        let profiles: Table =
            profiles.map(|(name, profile)| (name, Value::Table(profile))).collect();
        if !profiles.is_empty() {
            whole.insert("digest".to_owned(), Value::Table(profiles));
        }
        toml::to_string_pretty(&whole).unwrap_or_default()
    }
}

/// The arguments of `digest` alone.
fn digest_command() -> clap::Command {
    let cli = Cli::command();
    cli.find_subcommand("digest").cloned().unwrap_or(cli)
}

/// The matches of `digest`'s own arguments, which come out of `place`; the first two are the program
/// and `digest`.
fn parse(place: &str, arguments: Vec<OsString>) -> Result<ArgMatches> {
    let matches = Cli::command().try_get_matches_from(arguments);
    let matches = matches.map_err(|cause| told(place, &cause))?;
    match Command::from_arg_matches(&matches) {
        Ok(Command::Digest(_)) => {
            Ok(matches.subcommand_matches("digest").cloned().unwrap_or_default())
        }
        _ => Err(Error::new(ErrorKind::Usage, "settings are for digests")),
    }
}

/// What clap says of an argument that came out of the file, at `place`.
fn told(place: &str, cause: &clap::Error) -> Error {
    let text = cause.to_string();
    // Behind the first line stand what may be written, a tip, and how a command line looks.
    let is_of_command_line =
        |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let rest: Vec<&str> = lines.take_while(|line| !is_of_command_line(line)).collect();
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    let hint = match rest.is_empty() {
        true => "see `wenzhai digest --help`".to_owned(),
        false => rest.join("; "),
    };
    Error::new(ErrorKind::Usage, format!("{place}{message}")).hint(hint)
}

/// The id of the option `name`, as clap derives it.
fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// A text, number or day, or a list of these.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Datetime(day) => Some(day.to_string()),
        Value::Boolean(_) | Value::Array(_) | Value::Table(_) => None,
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Some(vec![text(value)?]),
    }
}

/// The most similar of `known`, if one is similar.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (strsim::jaro_winkler(key, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}
