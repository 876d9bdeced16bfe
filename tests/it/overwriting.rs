//! An output never takes the place of what must not be lost, and is found impossible before the work.

use std::path::PathBuf;

use crate::support::place::Place;

const RECORD: &str = r#"{"link":"http://a/1","title":"Counting Sheep","abstract":"We count sheep.","zh_title":"数羊","zh_tldr":"我们数羊，以此入睡。","zh_abstract":"我们数羊。"}"#;

fn place() -> Place {
    let place = Place::new();
    place.write("in.jsonl", &format!("{RECORD}\n"));
    place.write("mine.tsv", "sheep\t羊\n");
    assert_eq!(place.run(&["digest", "in.jsonl", "--store", "s.sqlite", "-o", "d.md"]).status, 0);
    place
}

#[test]
fn no_output_replaces_an_input_the_store_or_what_is_read_besides() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    std::fs::hard_link(path("s.sqlite"), path("hard")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("s.sqlite", path("soft")).unwrap();
    std::fs::create_dir(path("sub")).unwrap();
    let soft: &[&str] = if cfg!(unix) { &["soft"] } else { &[] };
    let names =
        ["s.sqlite", "sub/../s.sqlite", "s.sqlite.lock", "s.sqlite-wal", "hard", "in.jsonl"];
    let files = ["s.sqlite", "in.jsonl", "mine.tsv"];
    let before = files.map(|file| std::fs::read(path(file)).unwrap());
    for output in names.iter().chain(soft).chain(&["mine.tsv"]) {
        let digest = ["digest", "in.jsonl", "--store", "s.sqlite", "-o", output];
        let run = place.run(&[&digest[..], &["--glossary", "mine.tsv"]].concat());
        assert_eq!(run.status, 1, "{output}");
        let refused = format!("error: {output} is ");
        assert!(run.stderr.starts_with(&refused), "{}", run.stderr);
        assert!(run.stderr.contains("and would be written over"), "{}", run.stderr);
    }
    assert_eq!(files.map(|file| std::fs::read(path(file)).unwrap()), before);
    for command in [
        &["render", "in.jsonl", "-o", "in.jsonl"][..],
        &["eval", "in.jsonl", "d.md", "--json", "in.jsonl"],
        &["models", "export", "in.jsonl", "-o", "in.jsonl"],
        &["plan", "--model", "./in.jsonl", "--json", "in.jsonl"],
        &["bench", "./in.jsonl", "--json", "in.jsonl"],
    ] {
        let run = place.run(command);
        assert_eq!(run.status, 1, "{command:?}");
        assert!(run.stderr.contains("would be written over"), "{command:?}: {}", run.stderr);
    }
}

#[test]
fn no_output_replaces_the_file_of_settings() {
    let place = place();
    let settings = "[digest.mine]\nsources = [\"in.jsonl\"]\noutput = [\"wenzhai.toml\"]\n";
    place.write("wenzhai.toml", settings);
    for command in [&["config", "check"][..], &["digest", "mine", "--no-store"]] {
        let run = place.run(command);
        assert_eq!(run.status, 1, "{command:?}");
        let refused = "wenzhai.toml is the file of settings, and would be written over";
        assert!(run.stderr.contains(refused), "{command:?}: {}", run.stderr);
    }
    assert_eq!(place.read("wenzhai.toml"), settings);
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_anything_is_read() {
    let place = place();
    // The feed is not there, which would be told first if it were read first.
    for (output, why) in [("no/such/d.md", "its folder is not there"), (".", "is a folder")] {
        let run = place.run(&["digest", "missing.xml", "--no-store", "-o", output]);
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert!(!run.stderr.contains("missing.xml"), "{}", run.stderr);
    }
    let left: Vec<PathBuf> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_folder_that_is_missing_is_made() {
    let place = place();
    let run = place.run(&["render", "in.jsonl", "-o", "days/{date}.md"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let days = std::fs::read_dir(place.path().join("days")).unwrap();
    assert_eq!(days.count(), 1, "the digest and no temporary file");
}

#[test]
#[cfg(unix)]
fn a_link_whose_target_is_yet_to_be_made_stays_one() {
    let place = place();
    std::os::unix::fs::symlink("new/target.md", place.path().join("link.md")).unwrap();
    let run = place.run(&["render", "in.jsonl", "-o", "link.md"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(place.path().join("link.md").symlink_metadata().unwrap().is_symlink());
    assert_eq!(place.read("new/target.md"), place.read("d.md"));
}

#[cfg(unix)]
#[test]
fn two_outputs_are_one_file_also_by_a_link_that_leads_to_nothing_yet() {
    let place = place();
    std::os::unix::fs::symlink("real.md", place.path().join("page.md")).unwrap();
    let run = place.run(&["digest", "in.jsonl", "--no-store", "-o", "page.md", "-o", "real.md"]);
    let refused = "error: real.md is named for two outputs";
    assert!(run.status == 1 && run.stderr.starts_with(refused), "{}", run.stderr);
}

#[test]
fn what_a_killed_run_left_behind_is_removed_and_what_a_living_one_holds_is_not() {
    let place = place();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let temporary = |name: &str| {
        let file = std::fs::File::create(place.path().join(name)).unwrap();
        file.set_modified(old).unwrap();
        file
    };
    drop(temporary(".wenzhai-dead.tmp"));
    let held = temporary(".wenzhai-held.tmp");
    held.lock().unwrap();
    drop(temporary("other.tmp"));
    // Opening a named pipe would wait for its writer.
    #[cfg(unix)]
    {
        let pipe = place.path().join(".wenzhai-pipe.tmp");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        let mut touch = std::process::Command::new("touch");
        let aged = touch.args(["-t", "200001010000"]).arg(&pipe).status().unwrap();
        assert!(made.success() && aged.success());
    }
    assert_eq!(place.run(&["render", "in.jsonl", "-o", "d.md"]).status, 0);
    let is_there = [".wenzhai-dead.tmp", ".wenzhai-held.tmp", "other.tmp"].map(|n| place.has(n));
    assert_eq!(is_there, [false, true, true]);
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_written_to_and_not_waited_for() {
    let place = place();
    let pipe = place.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    let mut run = place.command(&["render", "in.jsonl", "-o", "pipe"]).spawn().unwrap();
    let began = std::time::Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if began.elapsed().as_secs() > 30 {
            run.kill().unwrap();
            panic!("it waits for ever");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(status.success());
    assert_eq!(reader.join().unwrap(), place.read("d.md"));
}
