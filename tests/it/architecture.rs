//! The invariants of ARCHITECTURE.md that can be read off the source: who imports whom, who may
//! use what, how files begin and end, and that the documents speak of the code as it is.
//!
//! The source is read as text; comments and unit tests are left out first. That is enough for
//! code that hides nothing, and needs no parser. Rules are functions from files to complaints, so
//! that a test can show that they find what they are there to find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest source file, in lines, its tests included.
const MAX_LINES: usize = 500;

/// What each module may import. A module imports only those that stand above it, so that this
/// table shows by itself that imports point one way.
const IMPORTS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("atomic", &["error"]),
    ("hash", &[]),
    ("text", &[]),
    ("json", &[]),
    ("system", &[]),
    ("http", &["error", "text"]),
    ("paper", &["hash"]),
    ("summary", &["error", "text", "json"]),
    ("record", &["error", "json", "paper", "summary"]),
    ("eval", &["json", "paper", "record", "text", "summary"]),
    ("digest", &["error", "hash", "text", "paper", "record", "summary"]),
    ("store", &["error", "atomic", "hash", "paper", "record", "summary", "digest"]),
    ("feed", &["error", "atomic", "hash", "text", "system", "http", "paper", "summary", "record"]),
    ("text_file", &["error"]),
    ("glossary", &["error", "hash", "text", "text_file"]),
    ("select", &["error", "hash", "text", "paper", "summary", "feed", "text_file", "glossary"]),
    ("card", &["error"]),
    ("gguf", &[]),
    ("fetch", &["error", "atomic", "hash", "http", "card", "gguf", "system"]),
    ("generate", &["error"]),
    ("tokens", &["error"]),
    ("shortlist", &["error", "generate", "tokens"]),
    ("kernels", &["error"]),
    ("model", &["error", "atomic", "gguf", "tokens", "kernels"]),
    ("guard", &["error", "text", "generate", "summary"]),
    ("engine", &["error", "generate", "model", "kernels", "shortlist"]),
    (
        "prompt",
        &[
            "error",
            "hash",
            "text",
            "paper",
            "summary",
            "text_file",
            "glossary",
            "system",
            "generate",
            "tokens",
            "guard",
        ],
    ),
    ("batch", &["generate", "model"]),
    (
        "pipeline",
        &[
            "error", "hash", "text", "paper", "record", "summary", "digest", "store", "feed",
            "select", "generate", "prompt",
        ],
    ),
    (
        "writer",
        &[
            "error",
            "hash",
            "text",
            "summary",
            "card",
            "fetch",
            "system",
            "generate",
            "glossary",
            "guard",
            "tokens",
            "shortlist",
            "model",
            "engine",
            "prompt",
            "store",
            "pipeline",
            "batch",
        ],
    ),
    ("plan", &["error", "kernels", "generate", "model", "engine", "batch"]),
    (
        "cli",
        &[
            "error",
            "atomic",
            "hash",
            "text",
            "paper",
            "record",
            "summary",
            "eval",
            "digest",
            "http",
            "kernels",
            "text_file",
            "select",
            "store",
            "feed",
            "glossary",
            "card",
            "fetch",
            "system",
            "generate",
            "tokens",
            "shortlist",
            "model",
            "guard",
            "engine",
            "prompt",
            "pipeline",
            "batch",
            "writer",
            "plan",
        ],
    ),
];

/// What may be used only in some places.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("print!", &["src/cli/"]),
    ("println!", &["src/cli/"]),
    ("eprint!", &["src/cli/"]),
    ("eprintln!", &["src/cli/"]),
    ("stdout()", &["src/cli/"]),
    ("stderr()", &["src/cli/"]),
    ("dbg!", &[]),
    // One call turns off what several streams of a card would need.
    ("unsafe", &["src/kernels/", "src/engine/candle/device.rs"]),
    ("ureq", &["src/http/"]),
    ("crate::http", &["src/http/", "src/feed/", "src/fetch/", "src/cli/doctor.rs"]),
    ("hf_hub", &["src/fetch/"]),
    ("encoding_rs", &["src/feed/"]),
    ("html5gum", &["src/feed/html/"]),
    ("std::net", &[]),
    ("candle_core", &["src/model/", "src/tokens/", "src/engine/"]),
    ("candle_nn", &["src/engine/candle/", "src/engine/transformers/"]),
    ("candle_transformers", &["src/engine/transformers/"]),
    ("Tensor", &["src/model/", "src/engine/"]),
    ("rayon", &["src/engine/", "src/select/", "src/model/", "src/writer/"]),
    ("rusqlite", &["src/store/"]),
    ("tokenizers", &["src/tokens/"]),
    ("clap", &["src/cli/"]),
    ("minijinja", &["src/prompt/", "src/digest/"]),
    ("indicatif", &["src/cli/"]),
];

#[test]
fn imports_point_one_way() {
    for (at, (module, imports)) in IMPORTS.iter().enumerate() {
        let above = |import: &&str| IMPORTS[..at].iter().any(|(other, _)| other == import);
        let below: Vec<_> = imports.iter().filter(|import| !above(import)).collect();
        assert!(below.is_empty(), "{module} stands above {below:?} in the table");
    }
    check(bad_imports);
}

#[test]
fn printing_networking_and_unsafe_code_have_their_places() {
    check(misplaced);
}

#[test]
fn files_are_short_and_open_with_what_they_are() {
    check(badly_formed);
}

/// A rule that finds nothing in anything would pass all of the above.
#[test]
fn the_rules_find_what_they_are_for() {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let found = |rule: fn(&SourceFile) -> Vec<String>, path: &str, text: &str| {
        !rule(&file(path, text)).is_empty()
    };
    let import = |path, text| found(bad_imports, path, text);
    assert!(import("src/generate/request.rs", "use crate::tokens::Tokenizer;"));
    assert!(import(
        "src/engine/plain.rs",
        "use crate::{Error,\n    model::{self, Config}, store};"
    ));
    assert!(import("src/store/run.rs", "fn f(paper: &crate::feed::Item) {}"));
    assert!(import("src/feed/raw.rs", "use super::super::cli::main;"));
    assert!(import("src/hash.rs", "use super::model::Model;"));
    assert!(import("src/unheard_of.rs", "use crate::error::Error;"));
    assert!(!import("src/feed/raw.rs", "use super::text::fold;\nuse crate::{Error, Result};"));
    assert!(!import("src/hash.rs", "/// See [`crate::cli`].\nfn f() {} // as crate::cli does"));
    assert!(!import("src/hash.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}"));

    let misplaced = |path, text| found(misplaced, path, text);
    assert!(misplaced("src/store/run.rs", "fn f() { println!(\"done\"); }"));
    assert!(misplaced("src/model/mod.rs", "let map = unsafe { Mmap::map(&file) };"));
    assert!(misplaced("src/generate/scheduler.rs", "use candle_core::Device;"));
    assert!(misplaced("src/feed/reader.rs", "use ureq::Agent;"));
    assert!(!misplaced("src/http/exchange.rs", "use ureq::Agent;"));
    assert!(!misplaced("src/fetch/pypi.rs", "command.stdout(Stdio::piped());"));
    assert!(!misplaced("src/model/mod.rs", "#![deny(unsafe_op_in_unsafe_fn)]"));

    let formed = |text: &str| !found(badly_formed, "src/hash.rs", text);
    assert!(formed("//! What this is.\n"));
    assert!(!formed("use std::io;\n"));
    assert!(!formed(&"//! Long.\n".repeat(MAX_LINES + 1)));
}

#[test]
fn the_map_of_the_code_shows_every_module_and_no_other() {
    let map = read("ARCHITECTURE.md");
    for (module, _) in IMPORTS.iter().filter(|(module, _)| exists(module)) {
        let forms = [format!("`src/{module}/`"), format!("`src/{module}.rs`")];
        assert!(forms.iter().any(|form| map.contains(form)), "ARCHITECTURE.md lacks {module}");
    }
    let named =
        map.split('`').filter(|text| text.starts_with("src/") || text.starts_with("tests/"));
    let gone: Vec<_> = named.filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names {gone:?}, which are not there");
}

#[test]
fn tests_and_fuzz_targets_that_documents_name_are_there() {
    let security = read("SECURITY.md");
    let rows = security.lines().filter(|line| line.starts_with("| ")).skip(1);
    let tests = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | "));
    let names = tests.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2));
    let is_there = |name: &str| match name.rsplit_once("::") {
        Some((module, function)) => {
            let path = root().join(format!("tests/it/{}.rs", module.replace("::", "/")));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.contains(&format!("fn {function}("))
        }
        None if name.contains('/') => root().join(name).exists(),
        None => root().join(format!("fuzz/fuzz_targets/{name}.rs")).exists(),
    };
    let (there, gone): (Vec<&str>, Vec<&str>) = names.partition(|name| is_there(name));
    assert!(gone.is_empty(), "SECURITY.md names {gone:?}, which are not there");
    assert!(there.len() > 30, "only {there:?} were found");

    let (fuzzing, manifest) = (read("fuzz/README.md"), read("fuzz/Cargo.toml"));
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let target = name.trim_end_matches(".rs");
        assert!(fuzzing.contains(&format!("| `{target}` |")), "fuzz/README.md lacks {target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "no binary is {target}");
        assert!(root().join("fuzz/seeds").join(target).is_dir(), "{target} has no seeds");
    }
}

#[test]
fn every_dependency_is_argued_for() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let names = |table: &str| manifest[table].as_table().unwrap().keys().cloned();
    let declared: BTreeSet<String> =
        names("dependencies").chain(names("dev-dependencies")).collect();
    let design = read("DESIGN.md");
    let (_, tables) = design.split_once("## Dependencies").expect("a chapter on dependencies");
    let argued: BTreeSet<String> = tables
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .flat_map(|(crates, _)| crates.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| name != "crate")
        .collect();
    assert_eq!(argued, declared);
}

/// A file below `src`, by its path from the root of the repository.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    /// The text without comments and unit tests.
    fn code(&self) -> String {
        let program = self.text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
        let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| line.split(" // ").next().unwrap_or_default()).fold(
            String::new(),
            |mut code, line| {
                code.push_str(line);
                code.push('\n');
                code
            },
        )
    }

    /// The path below `src`, and without `mod.rs`: `engine/candle`, `hash`.
    fn module_path(&self) -> &str {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod")
    }
}

/// Holds all source files against `rule`.
fn check(rule: fn(&SourceFile) -> Vec<String>) {
    let files = source_files();
    assert!(files.len() > 50, "only {} source files were found", files.len());
    let found: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Imports that [`IMPORTS`] does not allow.
fn bad_imports(file: &SourceFile) -> Vec<String> {
    let path = file.module_path();
    let module = path.split('/').next().unwrap_or_default();
    let is_root = ["lib", "main"].contains(&module);
    let is_test = path.ends_with("/tests");
    if is_root || is_test {
        return Vec::new();
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: the table of imports lacks {module}", file.path)];
    };
    let code = file.code();
    let mut found: Vec<String> = imported(&code)
        .into_iter()
        .filter(|import| import != module && !allowed.contains(&import.as_str()))
        .map(|import| format!("{}: {module} must not import {import}", file.path))
        .collect();
    if code.contains(&"super::".repeat(path.split('/').count())) {
        found.push(format!("{}: `super` leads out of {module}; write `crate::`", file.path));
    }
    found
}

/// The modules that `code` names behind `crate::`, in groups or alone.
fn imported(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (start, key) in code.match_indices("crate::") {
        let rest = &code[start + key.len()..];
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(group_members(group)),
            None => modules.extend(first_name(rest)),
        }
    }
    modules
}

/// The first names of the members of a group that was opened before `text`.
fn group_members(text: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = first_name(text);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.extend(first_name(&text[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// The module that a path begins with; the crate itself re-exports only those of `error`.
fn first_name(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let end = path.find(|c: char| !is_word(c)).unwrap_or(path.len());
    match &path[..end] {
        "" => vec![],
        "Error" | "Result" => vec!["error".into()],
        name => vec![name.into()],
    }
}

/// Uses of what [`ONLY_IN`] reserves for other places.
fn misplaced(file: &SourceFile) -> Vec<String> {
    let code = file.code();
    ONLY_IN
        .iter()
        .filter(|(what, places)| {
            !places.iter().any(|place| file.path.starts_with(place)) && has_word(&code, what)
        })
        .map(|(what, places)| format!("{}: {what} belongs into {places:?}", file.path))
        .collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn badly_formed(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.path));
    }
    if !file.text.starts_with("//! ") {
        found.push(format!("{}: does not open with `//!` and what it is", file.path));
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn exists(module: &str) -> bool {
    let source = root().join("src");
    source.join(module).is_dir() || source.join(format!("{module}.rs")).is_file()
}

fn source_files() -> Vec<SourceFile> {
    let mut paths = Vec::new();
    list(&root().join("src"), &mut paths);
    paths.sort();
    let file = |path: PathBuf| {
        let below: Vec<_> =
            path.strip_prefix(root()).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
        let path = below.join("/");
        SourceFile { text: read(&path), path }
    };
    paths.into_iter().map(file).collect()
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
