//! The `wenzhai` program: parses the arguments, runs, and turns the outcome into an exit status.

fn main() -> std::process::ExitCode {
    wenzhai::cli::main()
}
