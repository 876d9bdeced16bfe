//! The program run as a user runs it, in a folder of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a run of the program left behind.
pub struct Finished {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A folder to run in, with the program's own folders inside of it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// The program, to be run here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command_in(self.path());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run_with(&self, args: &[&str], stdin: &str) -> Finished {
        let mut child = self.command(args).spawn().unwrap();
        // A program that reads nothing closes the pipe early.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Finished {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_with(args, "")
    }
}

/// The program, to be run in `folder` with its own folders inside of it: whoever runs the tests may have
/// settings, a store and a proxy.
pub fn command_in(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wenzhai"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("WENZHAI_HOME", folder.join("cache"))
        .env("NO_PROXY", "127.0.0.1,localhost");
    for name in [
        "COLUMNS",
        "WENZHAI_ARXIV_PAUSE",
        "WENZHAI_ARXIV_TIMEOUT",
        "WENZHAI_ARXIV_TODAY",
        "WENZHAI_ARXIV_TRIES",
        "WENZHAI_ARXIV_URL",
        "WENZHAI_CONTACT",
        "WENZHAI_MODEL",
        "WENZHAI_PYTHON",
        "WENZHAI_STORE",
    ] {
        command.env_remove(name);
    }
    command
}
