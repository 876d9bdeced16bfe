//! `--device cuda` on machines without a card: what the program says, and whether one that was built
//! for cards works without them.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::place::Place;
use crate::support::tiny;

/// A program that `scripts/build-cuda` made.
const PROGRAM: &str = "WENZHAI_TEST_CUDA";

fn has_card() -> bool {
    ["/dev/nvidiactl", "/dev/dxg"].iter().any(|node| std::path::Path::new(node).exists())
}

/// A place with a tiny model and a feed.
fn place() -> Place {
    let place = Place::new();
    tiny::write_model_for(&place.path().join("tiny.gguf"), "gemma3", 3, 2048);
    place.write(
        "in.jsonl",
        "{\"link\":\"http://a/1\",\"title\":\"the t\",\"abstract\":\"the he the\"}\n",
    );
    place
}

const DIGEST: [&str; 10] = [
    "digest",
    "in.jsonl",
    "--no-store",
    "-q",
    "--model",
    "./tiny.gguf",
    "--prompt",
    "gemma3-270m-zh",
    "--format",
    "jsonl",
];

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
}

#[test]
fn a_program_without_the_feature_says_so_before_anything_is_read() {
    if cfg!(feature = "cuda") {
        crate::support::skipped("this is built with the feature cuda");
        return;
    }
    let place = place();
    // The model is not there: the device is asked for first.
    std::fs::write(place.path().join("tiny.gguf"), "damaged").unwrap();
    let run = place.run(&[&DIGEST[..], &["--device", "cuda"]].concat());
    let said = "error: device cuda:0 cannot be used: this program was built without cuda\n  \
                hint: `scripts/build-cuda` builds one that can; --device cpu needs nothing\n";
    assert_eq!((run.stderr.as_str(), run.status), (said, 1));
}

#[test]
fn a_program_for_cards_starts_without_one_and_says_what_is_missing() {
    let Some(program) = std::env::var_os(PROGRAM).map(PathBuf::from) else {
        crate::support::skipped(format_args!(
            "it needs {PROGRAM}, a program that scripts/build-cuda made"
        ));
        return;
    };
    if has_card() {
        crate::support::skipped("there is a card here");
        return;
    }
    let place = place();
    let run = |program: &std::path::Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(place.path()).env("WENZHAI_HOME", place.path());
        command.env_remove("LD_LIBRARY_PATH").output().unwrap()
    };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_wenzhai"));
    let version = run(&program, &["--version"]);
    assert!(version.status.success(), "{:?}", lines(&version));
    // On the processor it writes what this one writes.
    for engine in ["cpu", "candle"] {
        let args = [&DIGEST[..], &["--engine", engine]].concat();
        let [here, there] = [&ours, &program].map(|program| run(program, &args));
        assert!(there.status.success() == here.status.success(), "{:?}", lines(&there));
        assert!(!there.stdout.is_empty(), "{:?}", lines(&there));
        assert_eq!(String::from_utf8_lossy(&there.stdout), String::from_utf8_lossy(&here.stdout));
    }
    let on_card = run(&program, &[&DIGEST[..], &["--device", "cuda:1"]].concat());
    assert_eq!(
        lines(&on_card),
        [
            "error: device cuda:1 cannot be used: NVIDIA's driver is not here (its library \
             libcuda cannot be loaded)",
            "  hint: `wenzhai doctor --device cuda:1` tells what is missing; --device cpu needs \
             nothing",
        ]
    );
    assert_eq!(on_card.status.code(), Some(1));
    let doctor = ["doctor", "--offline", "--store", "s.sqlite", "--device", "cuda:1"];
    let told = String::from_utf8(run(&program, &doctor).stdout).unwrap();
    assert!(told.contains("ok    program for cuda: built with the feature cuda"), "{told}");
    assert!(told.contains("bad   driver: its library libcuda.so.1 is nowhere"), "{told}");
}
