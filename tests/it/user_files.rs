//! Prompts and glossaries that a user wrote, as editors save them, by the program itself.

use std::path::Path;
use std::process::Output;

use crate::support::place::command_in;
use crate::support::tiny;

const PROMPT: &str = r#"# 一个提示
abstract_tokens = 40
template = "{{ title }}: {{ abstract }}{% for t in terms %} {{ t.term }}={{ t.translation }}{% endfor %} "
[[field]]
name = "title"
label = ""
max_tokens = 3
[[field]]
name = "paragraph"
label = " a "
max_tokens = 3
[[field]]
name = "one-liner"
label = " b "
max_tokens = 3
"#;

const GLOSSARY: &str = "# 词表\nsheep\t绵羊\nmeadow\t草地\n";

const PAPER: &str = "{\"id\":\"2401.00001\",\"link\":\"http://arxiv.org/abs/2401.00001\",\
                     \"title\":\"Counting sheep\",\"abstract\":\"We count sheep in a meadow.\"}\n";

fn digest(folder: &Path, prompt: &str, glossary: &str) -> Output {
    command_in(folder)
        .args(["digest", "paper.jsonl", "--model", "tiny.gguf", "--format", "jsonl"])
        .args(["--prompt", prompt, "--glossary", glossary])
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_model(&folder.path().join("tiny.gguf"), "gemma3", 1);
    std::fs::write(folder.path().join("paper.jsonl"), PAPER).unwrap();
    folder
}

/// As editors of Windows save it, and others.
fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let windows = text.replace('\n', "\r\n");
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{windows}").encode_utf16().flat_map(bytes).collect()
    };
    vec![
        ("unix", text.into()),
        ("windows", windows.clone().into()),
        ("marked", format!("\u{feff}{text}").into()),
        ("utf16le", utf16(u16::to_le_bytes)),
        ("utf16be", utf16(u16::to_be_bytes)),
    ]
}

/// A summary is found again only where model, prompt and glossary are the same as before.
#[test]
fn a_prompt_and_a_glossary_are_the_same_however_they_were_saved() {
    let folder = place();
    for (form, bytes) in forms(PROMPT) {
        std::fs::write(folder.path().join(format!("{form}.toml")), bytes).unwrap();
    }
    for (form, bytes) in forms(GLOSSARY) {
        std::fs::write(folder.path().join(format!("{form}.tsv")), bytes).unwrap();
    }
    let first = digest(folder.path(), "unix.toml", "unix.tsv");
    assert!(stderr(&first).starts_with("read 1 = summarised 1 + reused 0"), "{}", stderr(&first));
    for form in ["windows", "marked", "utf16le", "utf16be"] {
        let again = digest(folder.path(), &format!("{form}.toml"), &format!("{form}.tsv"));
        let account = "read 1 = summarised 0 + reused 1 + skipped 0 + failed 0\n";
        assert_eq!(
            (stderr(&again).as_str(), again.stdout),
            (account, first.stdout.clone()),
            "{form}"
        );
    }
    std::fs::write(folder.path().join("other.tsv"), GLOSSARY.replace("绵羊", "羊")).unwrap();
    let other = digest(folder.path(), "unix.toml", "other.tsv");
    assert!(stderr(&other).starts_with("read 1 = summarised 1 + reused 0"), "{}", stderr(&other));
}

#[test]
fn a_file_in_another_encoding_is_refused_with_its_name_and_the_place() {
    let folder = place();
    let hint = "  hint: save it as UTF-8, as the editor's \"Save with encoding\" does, or `iconv -f \
                GB18030 -t UTF-8`, where GB18030 is the encoding that it has now\n";
    std::fs::write(folder.path().join("p.toml"), PROMPT).unwrap();
    // 点云 in GB18030.
    std::fs::write(folder.path().join("g.tsv"), b"sheep\tyang\npoint cloud\t\xb5\xe3\xd4\xc6\n")
        .unwrap();
    let finished = digest(folder.path(), "p.toml", "g.tsv");
    let message =
        "error: the glossary g.tsv cannot be read as text: line 2, byte 13 (0xB5) is not UTF-8\n";
    assert_eq!(stderr(&finished), format!("{message}{hint}"));
    assert_eq!(finished.status.code(), Some(1));
    // Schrödinger in Latin-1.
    std::fs::write(folder.path().join("latin1.toml"), b"# Schr\xf6dinger\n").unwrap();
    let finished = digest(folder.path(), "latin1.toml", "none");
    let message = "error: the prompt latin1.toml cannot be read as text: line 1, byte 7 (0xF6) is not UTF-8\n";
    assert_eq!(stderr(&finished), format!("{message}{hint}"));
}

#[cfg(unix)]
#[test]
fn what_does_not_end_is_read_up_to_the_limit() {
    let folder = place();
    let finished = digest(folder.path(), "/dev/zero", "none");
    let message = "error: /dev/zero is larger than a prompt may be: 262144 bytes\n";
    assert_eq!(stderr(&finished), message);
    std::fs::write(folder.path().join("p.toml"), PROMPT).unwrap();
    let finished = digest(folder.path(), "p.toml", "/dev/zero");
    let message = "error: /dev/zero is larger than a glossary may be: 8388608 bytes\n";
    assert_eq!(stderr(&finished), message);
}

#[test]
fn a_prompt_is_bounded_as_chat_templates_are() {
    let folder = place();
    let check = |template: &str, message: &str| {
        let prompt = PROMPT.replace("{{ title }}: {{ abstract }}", template);
        std::fs::write(folder.path().join("p.toml"), prompt).unwrap();
        let said = stderr(&digest(folder.path(), "p.toml", "none"));
        assert!(said.starts_with(&format!("error: prompt p.toml: {message}")), "{said}");
    };
    check(
        &format!("{{{{ {}title }}}}", "not ".repeat(40_000)),
        "a tag in line 1 has more than 1000",
    );
    let loop_of = |body: &str| {
        format!("{{{{ title }}}}{{{{ abstract }}}}{{% for i in range(9000) %}}{body}{{% endfor %}}")
    };
    check(
        &loop_of("{{ title * 100 }}"),
        "it takes more than 10000 steps, or writes more than 625 KiB",
    );
    check(&loop_of("{% for j in range(9000) %}{% endfor %}"), "it takes more than 10000 steps");
}

/// Where the environment asks for stack traces, messages are what they always are.
#[test]
fn no_stack_trace_gets_into_a_message() {
    let folder = place();
    let model = folder.path().join("tiny.gguf");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(folder.path().join("p.toml"), PROMPT).unwrap();
    for damaged in [&bytes[..4], &bytes[..3000], &bytes[..bytes.len() - 5000], b"<html>", &[]] {
        std::fs::write(&model, damaged).unwrap();
        let said = |trace: &str| {
            let output = command_in(folder.path())
                .args(["digest", "paper.jsonl", "--model", "tiny.gguf", "--prompt", "p.toml"])
                .args(["--no-store"])
                .env("RUST_BACKTRACE", trace)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1));
            stderr(&output)
        };
        let usual = said("0");
        assert!(usual.starts_with("error: cannot load tiny.gguf\n  because: "), "{usual}");
        assert_eq!(said("full"), usual);
    }
}
