//! Ctrl-C and SIGTERM: the step ends, and what is finished is kept.

use super::*;

/// How many papers the store has.
fn finished(place: &Place) -> Option<i64> {
    let store = rusqlite::Connection::open(place.path().join("s.sqlite")).ok()?;
    store.query_row("SELECT count(*) FROM summary", [], |row| row.get::<_, i64>(0)).ok()
}

/// The first Ctrl-C lets the step end and tells what is kept; the run goes on when it is called
/// again.
#[test]
fn a_signal_ends_a_run_after_its_step_and_what_is_finished_is_kept() {
    let place = Place::new();
    tiny::write_model(&place.path().join("tiny.gguf"), "gemma3", 1);
    place.write("prompt.toml", SHORT_PROMPT);
    place.write("papers.jsonl", &(0..400).map(bare).collect::<String>());
    let digest = |more: &[&str]| {
        let start = ["digest", "papers.jsonl", "--model", "tiny.gguf", "--prompt", "prompt.toml"];
        let model = ["--store", "s.sqlite", "--batch", "1", "-o", "d.md"];
        place.command(&[&start[..], &model, more].concat())
    };
    let anew = "the same command begins anew, because of --redo";
    let on = "run the same command again to go on";
    for (signal, status, more, how) in
        [("-INT", 130, &["--redo"][..], anew), ("-TERM", 143, &[], on)]
    {
        let before = finished(&place).unwrap_or_default();
        let mut run = digest(more).spawn().unwrap();
        while finished(&place).unwrap_or_default() <= before {
            assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([signal, &run.id().to_string()]).status().unwrap().success());
        let run = run.wait_with_output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(status), "{said}");
        let kept = finished(&place).unwrap();
        let rest = 400 - kept;
        let told = format!("stopped: {kept} papers are finished and kept, {rest} are not; {how}");
        assert_eq!(said.lines().last(), Some(told.as_str()));
        assert!(!place.has("d.md"), "no digest of a part");
    }
    // The papers are equally long, so that those that were read first are finished first.
    let again = digest(&["--limit", "1"]).output().unwrap();
    let account = "read 400 = summarised 0 + reused 1 + skipped 399 + failed 0\n";
    assert_eq!(String::from_utf8(again.stderr).unwrap(), account);
}

/// Each profile is ended like a run of its own, also behind one that has written.
#[test]
fn a_signal_ends_a_later_profile_after_its_step() {
    let place = Place::new();
    tiny::write_model(&place.path().join("tiny.gguf"), "gemma3", 1);
    place.write("prompt.toml", SHORT_PROMPT);
    place.write("one.jsonl", &bare(1));
    place.write("papers.jsonl", &(2..400).map(bare).collect::<String>());
    let profile = |name: &str, file: &str| {
        format!("[digest.{name}]\nsources = [\"{file}\"]\noutput = [\"{name}.md\"]\n")
    };
    let head = "model = \"tiny.gguf\"\nprompt = \"prompt.toml\"\nstore = \"s.sqlite\"\n\
                batch = 1\n";
    let profiles = profile("a", "one.jsonl") + &profile("b", "papers.jsonl");
    place.write("wenzhai.toml", &format!("{head}{profiles}"));
    let mut run = place.command(&["digest", "--config", "wenzhai.toml"]).spawn().unwrap();
    while finished(&place).unwrap_or_default() < 3 {
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let run = run.wait_with_output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(130), "{said}");
    assert!(said.contains("papers are finished and kept"), "{said}");
}
