//! The file of settings: profiles, what comes before what, and what is refused.

use crate::support::place::{Finished, Place};

/// Two papers with summaries, so that no model is needed.
const PAPERS: &str = concat!(
    r#"{"id":"2699.00001","link":"https://arxiv.org/abs/2699.00001","title":"Sheep","abstract":"We count sheep.","zh_title":"羊","zh_tldr":"数羊。","zh_abstract":"我们数羊。"}"#,
    "\n",
    r#"{"id":"2699.00002","link":"https://arxiv.org/abs/2699.00002","title":"Goats","abstract":"We count goats.","zh_title":"山羊","zh_tldr":"数山羊。","zh_abstract":"我们数山羊。"}"#,
    "\n"
);

fn place(settings: &str) -> Place {
    let place = Place::new();
    place.write("papers.jsonl", PAPERS);
    place.write("wenzhai.toml", settings);
    place
}

const PROFILES: &str = r#"
no-store = true
format = "jsonl"
[digest.sheep]
sources = ["papers.jsonl"]
keep = ["sheep"]
output = "sheep.jsonl"
[digest.goats]
sources = ["papers.jsonl"]
keep = ["goat"]
output = "goats.jsonl"
"#;

#[test]
fn profiles_run_by_name_or_all_of_them() {
    let place = place(PROFILES);
    let run = place.run(&["digest", "goats"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stderr.starts_with("profile goats:"), "{}", run.stderr);
    assert!(place.read("goats.jsonl").contains("2699.00002") && !place.has("sheep.jsonl"));
    let run = place.run(&["digest", "-q"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(place.read("sheep.jsonl").contains("2699.00001"));
}

#[test]
fn what_is_typed_comes_before_the_profile_and_that_before_the_head() {
    let place = place(
        "no-store = true\nformat = \"jsonl\"\n[digest.a]\nsources = [\"papers.jsonl\"]\nlimit = 1\n",
    );
    let lines = |arguments: &[&str]| place.run(arguments).stdout.lines().count();
    assert_eq!(lines(&["digest", "a"]), 1);
    assert_eq!(lines(&["digest", "a", "--limit", "2"]), 2);
    assert_eq!(lines(&["digest", "papers.jsonl"]), 2, "the head holds for inputs as well");
    assert!(place.run(&["digest", "a", "--format", "md"]).stdout.starts_with("# 摘要"));
    // Of two that exclude each other the typed one counts.
    let run = place.run(&["digest", "a", "--store", "s.sqlite"]);
    assert_eq!((run.status, place.has("s.sqlite")), (0, true), "{}", run.stderr);
    assert_eq!(place.run(&["digest", "a", "--config", "none"]).status, 1);
}

#[test]
fn one_profile_that_fails_does_not_keep_the_others_from_running() {
    let broken = PROFILES.replacen("papers.jsonl", "nowhere.jsonl", 1);
    let place = place(&broken);
    let run = place.run(&["digest"]);
    assert!(run.stderr.contains("nowhere.jsonl"), "{}", run.stderr);
    assert_eq!(run.status, 2);
    assert!(place.read("goats.jsonl").contains("2699.00002"));
}

#[test]
fn a_flag_that_is_off_in_a_profile_excludes_nothing() {
    let profile = "[digest.a]\nsources = [\"papers.jsonl\"]\nno-store = false\ndry-run = false\n";
    let place = place(&format!("store = \"s.sqlite\"\noutput = \"d.md\"\n{profile}"));
    let run = place.run(&["digest", "a"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    assert!(place.has("s.sqlite") && place.has("d.md"));
}

#[cfg(target_os = "linux")]
#[test]
fn where_all_profiles_fail_one_that_may_pass_tells_to_run_again() {
    let profile = |name: &str, source: &str, output: &str| {
        format!("[digest.{name}]\nsources = [\"{source}\"]\noutput = [\"{output}\"]\n")
    };
    let full = profile("full", "papers.jsonl", "/dev/full");
    let missing = profile("missing", "nothing.xml", "d.md");
    for settings in [format!("{full}{missing}"), format!("{missing}{full}")] {
        let run = place(&format!("no-store = true\nformat = \"md\"\n{settings}")).run(&["digest"]);
        assert_eq!(run.status, 75, "{}", run.stderr);
        assert!(run.stderr.contains("/dev/full") && run.stderr.contains("nothing.xml"));
    }
}

/// One that had nothing to write has written nothing.
#[cfg(target_os = "linux")]
#[test]
fn where_no_profile_writes_and_one_fails_that_one_counts() {
    let profile = |name: &str, source: &str, output: &str, keep: &str| {
        format!(
            "[digest.{name}]\nsources = [\"{source}\"]\noutput = [\"{output}\"]\nkeep = [\"{keep}\"]\n"
        )
    };
    let nothing = profile("nothing", "papers.jsonl", "n.md", "zebra");
    for (other, status) in [
        (profile("full", "papers.jsonl", "/dev/full", "sheep"), 75),
        (profile("missing", "nothing.xml", "d.md", "sheep"), 1),
        (profile("good", "papers.jsonl", "d.md", "sheep"), 0),
    ] {
        for profiles in [format!("{nothing}{other}"), format!("{other}{nothing}")] {
            let place = place(&format!("no-store = true\nformat = \"md\"\n{profiles}"));
            let run = place.run(&["digest"]);
            assert_eq!(run.status, status, "{other}: {}", run.stderr);
            assert!(!place.has("n.md"));
        }
    }
}

/// Two profiles of standard input.
fn place_of_stdin() -> Place {
    place("no-store = true\n[digest.a]\nsources = [\"-\"]\n[digest.b]\nsources = [\"-\"]\n")
}

#[test]
fn profiles_do_not_write_over_each_other() {
    let settings = PROFILES.replace("goats.jsonl", "sheep.jsonl");
    for arguments in [&["config", "check"][..], &["digest"]] {
        let place = place(&settings);
        let Finished { status, stderr, .. } = place.run(arguments);
        assert_eq!(status, 1, "{stderr}");
        let what = "sheep.jsonl is an output of both profiles sheep and goats";
        assert!(stderr.contains(what), "{stderr}");
        assert!(!place.has("sheep.jsonl"), "nothing is written");
        let new = self::place(&settings.replace("sheep.jsonl", "new/{date}.jsonl")).run(arguments);
        assert_eq!(new.status, 1, "nor where the folder is yet to be made: {}", new.stderr);
        let asked = place_of_stdin().run(arguments);
        assert!(asked.status == 1 && asked.stderr.contains("both profiles a and b read standard"));
    }
    // One of them alone may, and both may extend an archive.
    assert_eq!(place(&settings).run(&["digest", "goats"]).status, 0);
    let place = place(&settings.replace("no-store", "skip-existing = true\nno-store"));
    let run = place.run(&["digest"]);
    assert_eq!((run.status, place.read("sheep.jsonl").lines().count()), (0, 2), "{}", run.stderr);
    let listed = place.run(&["digest", "sheep", "--dry-run"]);
    assert_eq!(listed.status, 0, "the typed one counts: {}", listed.stderr);
}

/// What is extended keeps what an earlier profile wrote; a page beside it does not.
#[test]
fn profiles_that_extend_one_archive_still_need_pages_of_their_own() {
    let settings = PROFILES.replace("goats.jsonl", "sheep.jsonl");
    let settings = settings.replace("no-store", "skip-existing = true\nno-store");
    let settings = settings.replace("\"sheep.jsonl\"", "[\"sheep.jsonl\", \"today.html\"]");
    assert_eq!(settings.matches("today.html").count(), 2, "{settings}");
    let run = place(&settings).run(&["config", "check"]);
    let what = "today.html is an output of both profiles sheep and goats";
    assert!(run.status == 1 && run.stderr.contains(what), "{}", run.stderr);
}

/// Each error stands below the profile that it is of, also where nothing else is said.
#[test]
fn errors_are_told_when_they_happen_and_of_which_profile() {
    let settings =
        PROFILES.replacen("keep = ", "since = 2027-01-01\nuntil = 2026-01-01\nkeep = ", 1);
    assert_ne!(settings, PROFILES);
    for quiet in [false, true] {
        let place = place(&settings);
        let arguments = if quiet { vec!["digest", "-q"] } else { vec!["digest"] };
        let run = place.run(&arguments);
        assert_eq!(run.status, 2, "{}", run.stderr);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert!(lines[0] == "profile sheep:" && lines[1].starts_with("error: "), "{}", run.stderr);
        assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
        assert_eq!(lines.contains(&"profile goats:"), !quiet, "{}", run.stderr);
    }
    let all = settings.replacen(
        "keep = [\"goat",
        "since = 2027-01-01\nuntil = 2026-01-01\nkeep = [\"goat",
        1,
    );
    assert_ne!(all, settings);
    let run = place(&all).run(&["digest"]);
    assert_eq!((run.status, run.stderr.matches("error: ").count()), (1, 2), "{}", run.stderr);
}

#[test]
fn what_holds_for_every_digest_is_checked_without_profiles() {
    let run = place("keep = [\"/(/\"]\n").run(&["config", "check"]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("error: wenzhai.toml: "), "{}", run.stderr);
    let run = place("limit = 5\n").run(&["config", "check"]);
    assert!(run.status == 0 && run.stderr.contains("no profiles"), "{}", run.stderr);
}

#[test]
fn what_the_environment_says_is_no_fault_of_the_file() {
    let place = place("[digest.a]\nsources = [\"papers.jsonl\"]\n");
    for (name, value, what) in [
        ("WENZHAI_MODEL", "heron", "there is no model `heron`"),
        ("WENZHAI_ARXIV_TODAY", "soon", "WENZHAI_ARXIV_TODAY: `soon` is no day"),
    ] {
        let output = place.command(&["config", "check"]).env(name, value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("error: the environment: {what}")), "{said}");
    }
}

/// `--top` is typed to see less of a profile that has a library.
#[test]
fn a_profile_can_have_the_library_that_top_needs() {
    let profile = "sources = [\"papers.jsonl\"]\n";
    let settings = format!(
        "no-store = true\nformat = \"jsonl\"\n[digest.a]\n{profile}like = [\"mine.bib\"]\n\
         [digest.b]\n{profile}"
    );
    let place = place(&settings);
    place.write("mine.bib", "@misc{a, title={Goats at Night}, abstract={We count goats.}}");
    let run = place.run(&["digest", "a", "--top", "1"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains("2699.00002") && run.stdout.lines().count() == 1);
    let run = place.run(&["digest", "b", "--top", "1"]);
    let error = "error: --top 1 keeps the papers most like a library, and there is none\n  hint: ";
    assert!(run.status == 1 && run.stderr.contains(error), "{}", run.stderr);
}

#[test]
fn a_profile_that_cannot_be_is_named_by_the_check() {
    let refused = |goats: &str, what: &str| {
        let settings = PROFILES.replace("keep = [\"goat\"]", goats);
        let run = place(&settings).run(&["config", "check"]);
        let error = format!("error: wenzhai.toml, [digest.goats]: {what}");
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(run.stderr.starts_with(&error) && run.stderr.contains("hint: "), "{}", run.stderr);
    };
    refused("since = 2027-01-01\nuntil = 2026-01-01", "--since 2027-01-01 is later than");
    refused("top = 3", "--top 3 keeps the papers most like a library");
    refused("device = \"tpu\"", "unknown device \"tpu\"");
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let place = place("store = \"s.sqlite\"\n");
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("WENZHAI_STORE", "").env("WENZHAI_MODEL", "").output().unwrap()
    };
    let digest = run(&["digest", "papers.jsonl", "-q"]);
    assert!(digest.status.success(), "{}", String::from_utf8_lossy(&digest.stderr));
    assert!(place.has("s.sqlite"), "what the file says holds");
    let told = String::from_utf8(run(&["doctor", "--offline"]).stdout).unwrap();
    assert!(told.contains("store: s.sqlite, "), "{told}");
}

#[test]
fn no_store_comes_before_the_environment() {
    let place = place("");
    let mut command = place.command(&["digest", "papers.jsonl", "--no-store", "-q"]);
    let status = command.env("WENZHAI_STORE", place.path().join("s.sqlite")).status().unwrap();
    assert!(status.success() && !place.has("s.sqlite"));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let refused = |settings: &str, what: &str| {
        for arguments in [&["config", "check"][..], &["digest", "papers.jsonl"]] {
            let Finished { status, stderr, .. } = place(settings).run(arguments);
            assert_eq!(status, 1, "{settings}");
            assert!(stderr.contains(what), "{settings}: {stderr}");
        }
    };
    refused(
        "kep = [\"a\"]",
        "wenzhai.toml: kep is no option of digest\n  hint: did you mean keep?",
    );
    refused("[digest.a]\nsources = [\"x\"]\nmodell = \"m\"", "wenzhai.toml, [digest.a]: modell");
    refused("[digest.a]\nsource = [\"x\"]", "did you mean sources?");
    refused("[digest.a]\nkeep = [\"x\"]", "the profile a has no sources");
    refused("limit = [1, 2]", "limit is one value, not a list");
    refused("redo = 1", "redo is true or false");
    refused("sort = \"size\"", "wenzhai.toml: invalid value 'size' for '--sort <BY>'");
    refused("sort = \"size\"", "\n  hint: [possible values: ");
    refused("config = \"x\"", "config is no option of digest\n");
    refused("a =", "wenzhai.toml: line 1");
    refused("digest = 3", "digest is no table");
    for sources in ["\"\"", "[\"\"]", "[1]"] {
        refused(&format!("[digest.a]\nsources = {sources}"), "sources is no list of inputs");
    }
    for (name, what) in
        [("-", "an option, and"), ("arxiv:cs.CL", "an input, and"), ("", "an empty name")]
    {
        refused(&format!("[digest.\"{name}\"]\nsources = [\"x\"]"), what);
    }
}

#[test]
fn a_profile_and_another_input_are_not_mixed() {
    let run = place(PROFILES).run(&["digest", "sheep", "papers.jsonl"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("sheep is a profile"), "{}", run.stderr);
}

#[test]
fn the_example_is_good_and_shown_as_it_is_understood() {
    let example = Place::new().run(&["config", "example"]);
    let place = place(&example.stdout);
    let run = place.run(&["config", "check"]);
    assert_eq!(
        (run.status, run.stderr.as_str()),
        (0, "wenzhai.toml is good; profiles: nlp, vision\n")
    );
    let shown = place.run(&["config", "show"]).stdout;
    let read = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    assert_eq!(read(&shown), read(&example.stdout));
    let none = Place::new().run(&["config", "show"]);
    assert!(none.stderr.contains("there is no file of settings"), "{}", none.stderr);
}

#[test]
fn nothing_named_and_no_profile_is_told() {
    let run = Place::new().run(&["digest"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("nothing is named to make a digest of"), "{}", run.stderr);
}
