//! The examples of a digest every morning, run as far as this machine can.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::place::Place;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/daily").join(name)
}

/// Puts a program of this name, which answers with what it was given, before all others.
#[cfg(unix)]
fn with_program(place: &Place, name: &str, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    place.write(name, script);
    let path = place.path().join(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap())
}

#[cfg(unix)]
#[test]
fn mail_has_the_page_and_a_subject_in_utf8() {
    let place = Place::new();
    place.write("page.html", "<p>数羊</p>");
    let path = with_program(&place, "msmtp", "#!/bin/sh\ncat > sent; echo \"$@\" > to\n");
    let run = Command::new(example("mail.sh"))
        .args(["page.html", "me@example.org"])
        .env("PATH", path)
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let sent = place.read("sent");
    assert!(sent.starts_with("To: me@example.org\nSubject: =?UTF-8?B?5paH5pGY"), "{sent}");
    // `<p>数羊</p>` in Base64.
    assert!(sent.contains("\n\nPHA+5pWw576KPC9wPg=="), "{sent}");
    assert_eq!(place.read("to").trim(), "-- me@example.org");
}

#[cfg(unix)]
#[test]
fn a_webhook_gets_every_summary_once() {
    if Command::new("jq").arg("--version").output().is_err() {
        crate::support::skipped("there is no jq here");
        return;
    }
    let place = Place::new();
    let record = |number: u32| {
        format!(
            r#"{{"title":"t","abstract":"a","link":"l{number}","zh_title":"题{number}","zh_tldr":"一句\"话\"{number}"}}"#
        )
    };
    let failed = r#"{"title":"t","abstract":"a","link":"l99","error":"no"}"#.to_owned();
    let records: Vec<String> = (0..23).map(record).chain([failed]).collect();
    place.write("r.jsonl", &records.join("\n"));
    let curl = "#!/bin/sh\ncat >> address\nwhile [ $# -gt 1 ]; do [ \"$1\" = --data ] && printf '%s\\n' \"$2\" >> sent; shift; done\n";
    let path = with_program(&place, "curl", curl);
    let run = Command::new(example("webhook.sh"))
        .arg("r.jsonl")
        .env("WENZHAI_WEBHOOK", "http://localhost/hook")
        .env("PATH", path)
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let sent = place.read("sent");
    assert_eq!(sent.lines().count(), 3);
    assert_eq!(place.read("address"), "url = \"http://localhost/hook\"\n".repeat(3));
    let texts: String = sent
        .lines()
        .map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            message["text"].as_str().unwrap().to_owned() + "\n\n"
        })
        .collect();
    for number in 0..23 {
        let summary = format!("题{number}: 一句\"话\"{number}\nl{number}\n");
        assert_eq!(texts.matches(&summary).count(), 1, "{summary}");
    }
    assert!(!texts.contains("l99"));
}

#[test]
fn what_the_examples_run_is_understood() {
    // Every line of the program in them, with its options.
    let mut lines = 0;
    for name in ["README.md", "crontab", "wenzhai.service", "workflow.yml"] {
        let text = std::fs::read_to_string(example(name)).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for part in line.split("&&").filter_map(|part| part.split("wenzhai ").nth(1)) {
                let command = part.split('>').next().unwrap().split("||").next().unwrap();
                let words: Vec<&str> = command.split_whitespace().collect();
                let known = ["digest", "config", "models", "doctor", "site"];
                if !words.first().is_some_and(|word| known.contains(word)) {
                    continue;
                }
                lines += 1;
                let run = Place::new().run(&[&words[..], &["--help"]].concat());
                assert_eq!(run.status, 0, "{name}: {line}\n{}", run.stderr);
            }
        }
    }
    assert!(lines >= 7, "{lines}");
}
