//! `wenzhai doctor`, completions and manual pages.

use std::process::Command;

use crate::support::arxiv_server::ArxivServer;
use crate::support::place::Place;

#[test]
fn a_machine_that_lacks_only_the_model_is_told_how_to_get_it() {
    let run = Place::new().run(&["doctor", "--offline", "--store", "s.sqlite"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let find = |what: &str| lines.iter().position(|line| line[4..].trim_start().starts_with(what));
    for what in ["processor: ", "memory: ", "model: ", "store: ", "disk: "] {
        assert!(find(what).is_some(), "{what} in {}", run.stdout);
    }
    let model = find("model: ").unwrap();
    assert!(lines[model].starts_with("look") && lines[model].contains("is not here yet"));
    assert!(lines[model + 1].contains("wenzhai models fetch default"), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[test]
fn what_is_bad_is_told_with_a_hint_and_a_status() {
    let place = Place::new();
    place.write("s.sqlite", &"no database ".repeat(100));
    let run = place.run(&["doctor", "--offline", "--store", "s.sqlite", "--model", "./m.gguf"]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    let model = "bad   model: there is no model file ./m.gguf\n        hint: a file on the hub is ";
    assert!(run.stdout.contains(model), "{}", run.stdout);
    place.write("pointer.gguf", "version https://git-lfs.github.com/spec/v1\n");
    let run = place.run(&["doctor", "--offline", "--store", "s.sqlite", "--model", "pointer.gguf"]);
    assert!(run.stdout.contains("bad   model: ") && run.status == 2, "{}", run.stdout);
    let store = "bad   store: the store s.sqlite is damaged, or no store at all: file is not a database\n        \
         hint: move";
    assert!(run.stdout.contains(store), "{}", run.stdout);
}

#[test]
fn what_is_looked_at_is_what_a_digest_would_use() {
    let place = Place::new();
    let settings = "model = \"./mine.gguf\"\nstore = \"mine.sqlite\"\ndevice = \"metal\"\n";
    place.write("wenzhai.toml", settings);
    let run = place.run(&["doctor", "--offline"]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    for what in [
        "ok    settings: wenzhai.toml\n",
        "there is no model file ./mine.gguf\n",
        "store: mine.sqlite is made by the first digest\n",
        "metal: ",
    ] {
        assert!(run.stdout.contains(what), "{what} in {}", run.stdout);
    }
    let typed = ["--model", "small", "--store", "s.sqlite", "--device", "cpu"];
    let told = place.run(&[&["doctor", "--offline"][..], &typed].concat()).stdout;
    assert!(told.contains("gemma3-270m-zh is not here yet"), "{told}");
    assert!(told.contains("store: s.sqlite is made") && !told.contains("metal"), "{told}");
    let mut command = place.command(&["doctor", "--offline"]);
    command.env("WENZHAI_MODEL", "small").env("WENZHAI_STORE", "e.sqlite");
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(told.contains("gemma3-270m-zh") && told.contains("store: e.sqlite is"), "{told}");
    let none = place.run(&["doctor", "--offline", "--config", "none"]).stdout;
    assert!(!none.contains("settings: ") && !none.contains("mine."), "{none}");
    place.write("wenzhai.toml", "modell = \"small\"\n");
    let run = place.run(&["doctor", "--offline"]);
    let bad = "bad   settings: wenzhai.toml: modell is no option of digest\n        hint: did you";
    assert!(run.status == 2 && run.stdout.contains(bad), "{}", run.stdout);
}

#[test]
fn a_store_that_cannot_be_made_is_bad() {
    let place = Place::new();
    place.write("file", "");
    let doctor = |store: &str| place.run(&["doctor", "--offline", "--store", store]);
    let run = doctor("file/folder/s.sqlite");
    let start = "bad   store: file/folder/s.sqlite cannot be made: ";
    let line = run.stdout.lines().find(|line| line.starts_with(start));
    assert!(line.is_some_and(|line| line.ends_with("file is no folder")), "{}", run.stdout);
    assert_eq!(run.status, 2);
    if cfg!(target_os = "linux") {
        let told = doctor("/proc/folder/s.sqlite").stdout;
        let what = "/proc/folder/s.sqlite cannot be made: no file can be made in /proc: ";
        assert!(told.contains(what), "{told}");
    }
    let told = doctor("new/folder/s.sqlite").stdout;
    assert!(told.contains("ok    store: new/folder/s.sqlite is made by"), "{told}");
    assert!(!place.has("new"), "nothing is made");
}

#[test]
fn arxiv_is_asked_in_turn_and_told_who_asks() {
    let server = ArxivServer::start();
    let place = Place::new();
    place.write("wenzhai.toml", "contact = \"ida@pond.example\"\n");
    let mut command = server.command(&place, "2026-11-26", &["doctor", "--store", "s.sqlite"]);
    let closed = "http://127.0.0.1:9";
    command.envs([("PIP_INDEX_URL", closed), ("HF_ENDPOINT", closed)]);
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(told.contains(&format!("ok    arXiv: {} answers", server.address(""))), "{told}");
    let agents: Vec<String> = server.asked().into_iter().map(|asked| asked.user_agent).collect();
    assert_eq!(agents.len(), 1);
    assert!(agents[0].ends_with("(digest for one reader; ida@pond.example)"), "{agents:?}");
    assert!(place.has("cache/arxiv/turns"), "the turn that digests take, too");
}

#[test]
fn places_that_papers_and_models_come_from_are_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1024];
            std::io::Read::read(&mut stream, &mut head).unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, answer).unwrap();
        }
    });
    let closed = "http://me:secret@127.0.0.1:9";
    let place = Place::new();
    let run = place
        .command(&["doctor", "--store", "s.sqlite"])
        .envs([("WENZHAI_ARXIV_URL", address.as_str()), ("HF_ENDPOINT", &address)])
        .env("PIP_INDEX_URL", closed)
        .output()
        .unwrap();
    let told = String::from_utf8(run.stdout).unwrap();
    for name in ["arXiv", "the hub"] {
        assert!(told.contains(&format!("ok    {name}: {address} answers")), "{told}");
    }
    assert!(told.contains("look  PyPI: http://") && told.contains("cannot be reached"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn shells_can_complete_every_command() {
    let place = Place::new();
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef wenzhai"), ("fish", "complete -c wenzhai")]
    {
        let script = place.run(&["completions", shell]).stdout;
        assert!(script.contains(sign), "{shell}");
        for command in ["digest", "render", "models", "doctor"] {
            assert!(script.contains(command), "{shell} {command}");
        }
    }
    place.write("c.bash", &place.run(&["completions", "bash"]).stdout);
    // What bash itself makes of it.
    let typed = "source c.bash; COMP_WORDS=(wenzhai dig); COMP_CWORD=1; _wenzhai wenzhai dig; \
                 echo \"${COMPREPLY[*]}\"";
    match Command::new("bash").args(["-c", typed]).current_dir(place.path()).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "digest"),
        Err(_) => crate::support::skipped("there is no bash here"),
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    assert_eq!(place.run(&["man", "pages"]).status, 0);
    for name in ["wenzhai", "wenzhai-digest", "wenzhai-models-fetch", "wenzhai-config-check"] {
        let page = place.read(&format!("pages/{name}.1"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(place.read("pages/wenzhai-digest.1").contains("Exit status"), "notes are there, too");
}

/// What a machine without a card is told; one with a card has other tests to pass.
#[test]
fn without_a_driver_the_card_is_missing_and_the_status_says_so() {
    let place = Place::new();
    let doctor = ["doctor", "--offline", "--store", "s.sqlite", "--device"];
    let unknown = place.run(&[&doctor[..], &["tpu"]].concat());
    assert_eq!(unknown.status, 1);
    assert!(unknown.stderr.contains("unknown device \"tpu\""), "{}", unknown.stderr);
    if ["/dev/nvidiactl", "/dev/dxg"].iter().any(|node| std::path::Path::new(node).exists()) {
        crate::support::skipped("there is a card here");
        return;
    }
    let run = place.run(&[&doctor[..], &["cuda:1"]].concat());
    assert_eq!((run.status, run.stderr.as_str()), (2, ""));
    assert!(
        run.stdout.contains(
            "bad   card: there is no /dev/nvidia1\n        hint: install NVIDIA's driver"
        ),
        "{}",
        run.stdout
    );
    let whole = run.stdout.lines().find(|line| line.starts_with("bad   cuda: ")).unwrap();
    assert!(whole.contains("--device cuda cannot work here: ") && whole.ends_with(" missing"));
    let of_two = place.run(&[&doctor[..], &["cuda:0,1"]].concat()).stdout;
    for card in ["/dev/nvidia0", "/dev/nvidia1"] {
        assert!(of_two.contains(&format!("bad   card: there is no {card}\n")), "{of_two}");
    }
    assert_eq!(of_two.matches("the card").count(), 1, "{of_two}");
    // Of the processor nothing of it is asked.
    assert!(!place.run(&[&doctor[..], &["cpu"]].concat()).stdout.contains("nvidia"));
}
