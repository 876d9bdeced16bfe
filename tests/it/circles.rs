//! No source file imports another that imports it, directly or through others.
//!
//! As in `architecture`, the source is read as text. A path leads to the file in which its item is
//! defined, through re-exports; that a module declares or re-exports a child is no import of it,
//! but using the child's items is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below the crate: `["feed", "xml", "atom"]`.
type Module = Vec<String>;

#[test]
fn no_files_import_each_other() {
    let source = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(source.code.len() > 100, "only {} files were found", source.code.len());
    let circles = source.circles();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn circles_are_found_through_re_exports_groups_and_parents() {
    let of = |files: &[(&str, &str)]| {
        let code = files.iter().map(|(path, code)| (module(path), (*code).to_owned())).collect();
        Sources { code }.circles()
    };
    let direct = [("a", "use crate::b::{c, D};\nstruct A;"), ("b", "use crate::a::A;\nstruct D;")];
    assert_eq!(of(&direct), [["a", "b"]]);
    let parent =
        [("p", "mod c;\nfn f() { c::g() }\nstruct P;"), ("p/c", "use super::P;\nfn g() {}")];
    assert_eq!(of(&parent), [["p", "p/c"]]);
    let through = [
        ("p", "mod c;\nmod d;\npub use c::C;"),
        ("p/c", "use super::d::D;\nstruct C;"),
        ("p/d", "use super::C;\nstruct D;"),
    ];
    assert_eq!(of(&through), [["p/c", "p/d"]]);
    let renamed = [("a", "use crate::b::{c as e, D};\nstruct A;"), ("b/c", "use crate::a::A;")];
    assert_eq!(of(&renamed), [["a", "b/c"]]);
    let open = [
        ("p", "mod c;\nmod d;\npub use c::C;\npub use d::D;"),
        ("p/c", "struct C;"),
        ("p/d", "use super::C;\nstruct D;"),
    ];
    assert!(of(&open).is_empty());
}

/// The code of all modules, without comments and unit tests.
struct Sources {
    code: BTreeMap<Module, String>,
}

impl Sources {
    fn read(folder: &Path) -> Sources {
        let mut code = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                if path.is_dir() {
                    folders.push(path);
                } else if !["lib", "main", "tests"].contains(&name) {
                    let below = path.strip_prefix(folder).unwrap().with_extension("");
                    let below = below.to_str().unwrap();
                    let text = std::fs::read_to_string(&path).unwrap();
                    code.insert(module(below.trim_end_matches("/mod")), without_comments(&text));
                }
            }
        }
        Sources { code }
    }

    /// Every set of modules that reach each other, by name.
    fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.code.keys().map(|from| (from, self.reached_from(from))).collect();
        let mut circles = BTreeSet::new();
        for (from, to) in &reached {
            let circle: Vec<String> = to
                .iter()
                .filter(|other| reached[**other].contains(from))
                .map(|module| module.join("/"))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reached_from<'a>(&'a self, from: &'a Module) -> BTreeSet<&'a Module> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            open.extend(self.imports(module).into_iter().filter(|other| reached.insert(*other)));
        }
        reached
    }

    /// The modules whose items `module` uses.
    fn imports(&self, module: &Module) -> Vec<&Module> {
        let code = &self.code[module];
        let mut paths = Vec::new();
        let mut rest = String::new();
        for statement in code.split(';') {
            let line = statement.trim_start_matches(['{', '}', '\n', ' ']);
            let (is_public, line) = match line.strip_prefix("pub") {
                Some(public) => (true, public.trim_start_matches(|c| c != ' ').trim_start()),
                None => (false, line),
            };
            match line.strip_prefix("use ") {
                Some(path) if !is_public => paths.extend(members(path)),
                Some(_) => {}
                None => rest.push_str(statement),
            }
            rest.push(';');
        }
        paths.extend(inline_paths(&rest, &self.children(module)));
        let absolute = paths.iter().filter_map(|path| self.absolute(module, path));
        absolute.filter_map(|path| self.home(&path, 0)).filter(|other| *other != module).collect()
    }

    fn children(&self, module: &Module) -> Vec<&str> {
        let is_child =
            |other: &&Module| other.len() == module.len() + 1 && other.starts_with(module);
        self.code.keys().filter(is_child).map(|child| child[module.len()].as_str()).collect()
    }

    /// `path`, which stands in `module`, from the root of the crate; none where it is another's.
    fn absolute(&self, module: &Module, path: &str) -> Option<Module> {
        let mut parts: Vec<String> = path.split("::").map(str::to_owned).collect();
        if parts[0] == "crate" {
            return Some(parts.split_off(1));
        }
        let mut base = module.clone();
        let mut is_ours = self.children(module).contains(&parts[0].as_str());
        while let Some(first @ ("super" | "self")) = parts.first().map(String::as_str) {
            is_ours = true;
            if first == "super" {
                base.pop();
            }
            parts.remove(0);
        }
        is_ours.then(|| [base, parts].concat())
    }

    /// The module in which the item at `path` is defined.
    fn home(&self, path: &[String], depth: usize) -> Option<&Module> {
        let length = (1..=path.len()).rev().find(|end| self.code.contains_key(&path[..*end]))?;
        let (module, code) = self.code.get_key_value(&path[..length])?;
        let Some(item) = path.get(length).filter(|item| *item != "self") else {
            return Some(module);
        };
        let keywords = ["struct", "enum", "trait", "fn", "const", "static", "type"];
        let is_here = keywords.iter().any(|word| has_words(code, word, item));
        if is_here || depth > 8 {
            return Some(module);
        }
        let from_elsewhere = code.split(';').filter_map(|statement| statement.split_once("use "));
        from_elsewhere
            .flat_map(|(_, path)| members(path))
            .filter(|path| path.rsplit("::").next() == Some(item))
            .filter_map(|path| self.absolute(module, &path))
            .find_map(|path| self.home(&path, depth + 1))
            .or(Some(module))
    }
}

fn module(path: &str) -> Module {
    path.split('/').map(str::to_owned).collect()
}

fn without_comments(text: &str) -> String {
    let program = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{}\n", line.split(" // ").next().unwrap_or_default())).collect()
}

/// The paths that `a::{b, c::{D, e}}` stands for.
fn members(path: &str) -> Vec<String> {
    let Some((before, group)) = path.split_once('{') else {
        let path = path.split(" as ").next().unwrap_or_default();
        return vec![path.split_whitespace().collect()];
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(members(&format!("{before}{}", &group[start..at])));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|path| !path.ends_with("::"));
    found
}

/// Paths in expressions and types that begin with `crate`, `super`, `self` or a child's name.
fn inline_paths(code: &str, children: &[&str]) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_path(c)).filter(|word| word.contains("::"));
    let begins = |word: &&str| {
        let first = word.split("::").next().unwrap_or_default();
        ["crate", "super", "self"].contains(&first) || children.contains(&first)
    };
    // `pub(in crate::feed)` says who may see an item.
    let seen_by: BTreeSet<&str> =
        code.split("pub(in ").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    words
        .filter(begins)
        .filter(|word| !seen_by.contains(word))
        .map(|word| word.trim_end_matches(':').to_owned())
        .collect()
}

/// Whether `word` stands in `code` with `item` behind it.
fn has_words(code: &str, word: &str, item: &str) -> bool {
    code.match_indices(&format!("{word} {item}")).any(|(at, found)| {
        let after = code[at + found.len()..].chars().next();
        !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}
