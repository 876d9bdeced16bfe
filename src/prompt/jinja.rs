//! What templates may take: steps, bytes, depth, time and memory.
//!
//! A chat template comes with a model from anywhere, and a prompt may be another person's. minijinja
//! counts the steps of a template and the bytes that it makes (its fuel). Three things it does not
//! bound, and each is seen to here:
//!
//! * Its parser calls itself for each word of a chain such as `not not not x`, until the stack ends.
//!   So [`checked`] refuses long tags before it sees them. The scan follows minijinja's own lexer to
//!   the letter: a tag that one sees and the other does not would be a way around it.
//! * A namespace that is put into itself is written without end. A namespace can have a name and be
//!   asked for what it holds, and nothing else, so none gets into another.
//! * Lists that are put into lists twice, again and again, are small, and endless where they are
//!   compared or become text. So templates run under [`watched`], which leaves them behind where
//!   they take long or memory grows.
//!
//! The scan renames a tag, too: transformers marks what the model is trained to write with
//! `{% generation %}`, and prints what stands inside. That is what `{% with %}` does here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use minijinja::{Environment, ErrorKind};

use crate::error::plain;
use crate::system;

/// What a template may take: a step costs 1, and so do 64 bytes that it makes or writes. Chats of
/// four messages take up to 300, a prompt with an abstract of 16,000 tokens some thousands. It also
/// bounds how deep lists can be put into lists, to a depth that any thread's stack has room for.
const FUEL: u64 = 10_000;

/// Calls of macros in macros, each of which costs 4, and loops in loops.
const MAX_RECURSION: usize = 100;

/// Most tokens of a tag. The longest in published chat templates have some 60.
const MAX_TAG_TOKENS: usize = 1_000;

/// Most `elif` of a template, in each of which the parser calls itself.
const MAX_ELIFS: usize = 200;

/// Longest time that a template is waited for. A chat of four messages takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most memory that the program may take while it waits. Fuel allows a template some 2 MiB.
const MAX_GROWTH_BYTES: u64 = 256 << 20;

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An engine that stops templates which take too much.
pub(super) fn environment<'a>() -> Environment<'a> {
    let mut jinja = Environment::new();
    jinja.set_fuel(Some(FUEL));
    jinja.set_recursion_limit(MAX_RECURSION);
    jinja
}

/// Why a template failed, in words for people.
pub(super) fn reason(error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => format!(
            "it takes more than {FUEL} steps, or writes more than {} KiB, which is the limit",
            FUEL * 64 / 1024
        ),
        // It ends with the number of the message and the line in there.
        _ => match error.to_string().rsplit_once(" (in ") {
            Some((what, _)) => match error.line() {
                Some(line) => format!("{what}, in line {line} of the template"),
                None => what.to_owned(),
            },
            None => error.to_string(),
        },
    }
}

/// What `work` comes to, which runs a template, on a thread of its own. It is left behind where it
/// takes too much: it holds nothing that anybody waits for, and ends with the program.
///
/// # Errors
/// What it takes too much of, in words.
pub(super) fn watched<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    watched_for(PATIENCE, MAX_GROWTH_BYTES, work)
}

fn watched_for<T: Send + 'static>(
    patience: Duration,
    growth_bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let started = Instant::now();
    // Nobody hears it where it took too long.
    let thread = std::thread::Builder::new().spawn(move || drop(sender.send(work())));
    let thread =
        thread.map_err(|cause| format!("there is no thread for it ({})", plain(&cause)))?;
    let mut before = None;
    loop {
        let outcome = receiver.recv_timeout(LOOK_EVERY.min(patience));
        if !matches!(outcome, Err(RecvTimeoutError::Timeout)) {
            // It ends now; nothing of it is left when the next one begins.
            let _ = thread.join();
            return outcome.map_err(|_| "it makes the engine fail".into());
        }
        let now = system::resident_memory();
        let before = *before.get_or_insert(now);
        if now.zip(before).is_some_and(|(now, before)| now > before + growth_bytes) {
            return Err(format!("it takes more than {} MiB of memory", growth_bytes >> 20));
        }
        if started.elapsed() >= patience {
            return Err(format!("it takes longer than {} seconds", patience.as_secs_f32()));
        }
    }
}

/// The template in `source` as minijinja is to have it.
///
/// # Errors
/// What is too long in it or cannot be bounded, in words.
pub(super) fn checked(source: &str) -> Result<Cow<'_, str>, String> {
    let mut scan = Scan { source: source.as_bytes(), at: 0, balance: 0 };
    let (mut tags, mut renamed, mut elifs) = (Vec::new(), Vec::new(), 0);
    let (mut line, mut counted) = (1, 0);
    while let Some(tag) = scan.next_tag() {
        line += source[counted..tag.start].matches('\n').count();
        counted = tag.start;
        if tag.tokens.len() > MAX_TAG_TOKENS {
            return Err(format!(
                "a tag in line {line} has more than {MAX_TAG_TOKENS} words and signs"
            ));
        }
        let words: Vec<&str> = tag.tokens.iter().map(|token| &source[token.clone()]).collect();
        elifs += usize::from(tag.is_block && words.first() == Some(&"elif"));
        if elifs > MAX_ELIFS {
            return Err(format!("it has more than {MAX_ELIFS} elif"));
        }
        match words[..] {
            ["generation"] if tag.is_block => renamed.push((tag.tokens[0].clone(), "with")),
            ["endgeneration"] if tag.is_block => renamed.push((tag.tokens[0].clone(), "endwith")),
            _ => {}
        }
        if has_unnamed_namespace(&words, tag.is_block) {
            return Err(format!("line {line} makes a namespace without a name"));
        }
        tags.push((line, words, tag.is_block));
    }
    let namespaces: BTreeSet<&str> =
        tags.iter().filter(|tag| tag.2).flat_map(|(_, words, _)| set_through(words)).collect();
    for (line, words, _) in &tags {
        if let Some(name) = used_as_value(words, &namespaces) {
            return Err(format!(
                "line {line} uses the namespace `{name}` as a value, which could contain itself"
            ));
        }
    }
    if renamed.is_empty() {
        return Ok(Cow::Borrowed(source));
    }
    let mut text = String::with_capacity(source.len());
    let mut copied = 0;
    for (place, name) in renamed {
        text.push_str(&source[copied..place.start]);
        text.push_str(name);
        copied = place.end;
    }
    text.push_str(&source[copied..]);
    Ok(Cow::Owned(text))
}

/// Whether a tag makes a namespace other than as `{% set name = namespace(…) %}`.
fn has_unnamed_namespace(words: &[&str], is_block: bool) -> bool {
    let count = words.iter().filter(|word| **word == "namespace").count();
    let named = match words {
        ["set", _, "=", "namespace", "(", inside @ .., ")"] if is_block => {
            // The last bracket is the one that closes the first.
            let mut open = 1;
            inside.iter().all(|word| {
                open += i32::from(matches!(*word, "(" | "[" | "{"));
                open -= i32::from(matches!(*word, ")" | "]" | "}"));
                open > 0
            })
        }
        _ => false,
    };
    count > usize::from(named)
}

/// The names before a dot that a `set` tag assigns through.
fn set_through<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let ["set", targets @ ..] = words else { return Vec::new() };
    let end = targets.iter().position(|word| *word == "=").unwrap_or(targets.len());
    let pairs = targets[..end].windows(2);
    pairs.filter(|pair| pair[1] == ".").map(|pair| pair[0]).collect()
}

/// A namespace that a tag uses for itself and not for what it holds.
fn used_as_value<'a>(words: &[&'a str], namespaces: &BTreeSet<&str>) -> Option<&'a str> {
    let is_use = |at: &usize| {
        let before = at.checked_sub(1).map(|at| words[at]);
        let after = words.get(at + 1).copied();
        // An attribute of that name, something it holds, the name of an argument, a test of whether
        // it is there, or where it gets its name.
        before != Some(".") && !matches!(after, Some("." | "[" | "=" | "is"))
    };
    let places = (0..words.len()).filter(|at| namespaces.contains(words[*at]));
    places.filter(is_use).map(|at| words[at]).next()
}

/// A place in a template's source.
struct Scan<'a> {
    source: &'a [u8],
    at: usize,
    /// Brackets that are open; as in minijinja's lexer it outlives a tag.
    balance: isize,
}

/// `{{ … }}` or `{% … %}`.
struct Tag {
    start: usize,
    is_block: bool,
    /// Where its words, texts and signs are.
    tokens: Vec<Range<usize>>,
}

impl Scan<'_> {
    /// The next tag, if there is one.
    fn next_tag(&mut self) -> Option<Tag> {
        loop {
            let found = self.source[self.at..]
                .windows(2)
                .position(|two| two[0] == b'{' && matches!(two[1], b'{' | b'%' | b'#'))?;
            let start = self.at + found;
            let kind = self.source[start + 1];
            self.at = start + 2;
            self.at += usize::from(matches!(self.source.get(self.at), Some(b'-' | b'+')));
            match kind {
                b'#' => self.at = find(self.source, self.at, b"#}")? + 2,
                b'%' if self.basic_tag(self.at, b"raw").is_some() => self.skip_raw()?,
                b'%' => return Some(self.tag(start, b"%}")),
                _ => return Some(self.tag(start, b"}}")),
            }
        }
    }

    /// Goes behind a raw block, of which the beginning is known to stand here.
    fn skip_raw(&mut self) -> Option<()> {
        self.at = self.basic_tag(self.at, b"raw")?;
        loop {
            let inside = find(self.source, self.at, b"{%")? + 2;
            self.at = inside;
            let marked = matches!(self.source.get(inside), Some(b'-' | b'+'));
            if let Some(end) = self.basic_tag(inside + usize::from(marked), b"endraw") {
                self.at = end;
                return Some(());
            }
        }
    }

    /// Behind the end of a tag that begins before `at` and is nothing but `name`.
    fn basic_tag(&self, at: usize, name: &[u8]) -> Option<usize> {
        let at = self.behind_space(at);
        let rest = self.source[at..].strip_prefix(name)?;
        let at = self.behind_space(self.source.len() - rest.len());
        let marked = matches!(self.source.get(at), Some(b'-' | b'+'));
        let end = at + usize::from(marked);
        self.source[end..].starts_with(b"%}").then_some(end + 2)
    }

    fn behind_space(&self, at: usize) -> usize {
        let space = self.source[at..].iter().take_while(|byte| byte.is_ascii_whitespace());
        at + space.count()
    }

    /// Goes behind a tag that ends with `end`, or to the end of the source.
    fn tag(&mut self, start: usize, end: &[u8]) -> Tag {
        let mut tag = Tag { start, is_block: end == b"%}", tokens: Vec::new() };
        while let Some(&byte) = self.source.get(self.at) {
            if byte.is_ascii_whitespace() {
                self.at += 1;
                continue;
            }
            if self.balance == 0 {
                let marked = usize::from(matches!(byte, b'-' | b'+'));
                if self.source[self.at + marked..].starts_with(end) {
                    self.at += marked + end.len();
                    break;
                }
            }
            let begin = self.at;
            self.balance += isize::from(matches!(byte, b'(' | b'[' | b'{'));
            self.balance -= isize::from(matches!(byte, b')' | b']' | b'}'));
            match byte {
                b'\'' | b'"' => self.skip_string(byte),
                _ => self.at = self.behind_token(),
            }
            tag.tokens.push(begin..self.at);
        }
        tag
    }

    /// Behind a word or a sign: two signs where they are one operator, and a whole character where
    /// it is none of a template.
    fn behind_token(&self) -> usize {
        let rest = &self.source[self.at..];
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        let length = match word.count() {
            0 if [b"//", b"**", b"==", b"!=", b">=", b"<="]
                .iter()
                .any(|two| rest.starts_with(*two)) =>
            {
                2
            }
            0 => 1 + rest[1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count(),
            length => length,
        };
        self.at + length
    }

    fn skip_string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.source.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                break;
            }
        }
        self.at = self.at.min(self.source.len());
        // A backslash at the very end may stand before a character of several bytes.
        while self.source.get(self.at).is_some_and(|byte| byte & 0xc0 == 0x80) {
            self.at += 1;
        }
    }
}

fn find(source: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = source.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(source: &str) -> Result<String, String> {
        let source = checked(source)?.into_owned();
        let mut jinja = environment();
        jinja.add_template_owned("t", source).map_err(|error| reason(&error))?;
        let template = jinja.get_template("t").map_err(|error| reason(&error))?;
        template.render(minijinja::context! { x => 1 }).map_err(|error| reason(&error))
    }

    #[test]
    fn the_tag_of_transformers_prints_its_body() {
        let check = |source: &str, expected: &str| assert_eq!(rendered(source).unwrap(), expected);
        check("a{% generation %}{{ x }}{% endgeneration %}b", "a1b");
        check("a {%- generation -%} {{ x }} {%- endgeneration +%} b", "a1 b");
        check("{% set y = 2 %}{%generation%}{% set y = 3 %}{{ y }}{%endgeneration%}{{ y }}", "32");
        check("{# {% generation %} #}{{ '{% generation %}' }}", "{% generation %}");
        check("{% raw %}{% generation %}{% endraw %}", "{% generation %}");
        check("{{ generation }}{{ x }}", "1");
        assert!(rendered("{% generation x %}").unwrap_err().contains("unknown statement"));
    }

    #[test]
    fn what_does_not_end_or_grows_is_stopped() {
        let check = |source: &str, expected: &str| {
            let found = rendered(source).unwrap_err();
            assert!(found.contains(expected), "{found}");
        };
        let limit = "it takes more than 10000 steps, or writes more than 625 KiB";
        let doubled = |how: &str| {
            format!(
                "{{% set n = namespace(v='{}') %}}{{% for i in range(60) %}}{{% set n.v = {how} %}}\
                 {{% endfor %}}{{{{ n.v }}}}",
                "a".repeat(16)
            )
        };
        for how in ["n.v ~ n.v", "n.v + n.v", "n.v * 2", "n.v|replace('a', n.v)"] {
            check(&doubled(how), limit);
        }
        check("{% for i in range(99999) %}{{ i }}{% endfor %}", limit);
        check("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit");
        check("{{ 'x' * 99999999 }}", limit);
    }

    #[test]
    fn a_namespace_gets_into_nothing() {
        let check = |source: &str, expected: &str| {
            assert_eq!(checked(source).map(|_| ()).unwrap_err(), expected, "{source}");
        };
        let used = "line 1 uses the namespace `n` as a value, which could contain itself";
        let made = "{% set n = namespace(a=1) %}{% set n.b = 2 %}";
        for value in ["n", "[n]", "n|list", "x if n", "f(n)", "n ~ ''", "(n)", "not n"] {
            check(&format!("{made}{{% set n.c = {value} %}}"), used);
            check(&format!("{made}{{{{ {value} }}}}"), used);
        }
        check("{% set l = [namespace()] %}", "line 1 makes a namespace without a name");
        check("a\n{{ namespace() }}", "line 2 makes a namespace without a name");
        check("{% set n = (namespace()) %}", "line 1 makes a namespace without a name");
        check("{% set n = namespace(a=namespace()) %}", "line 1 makes a namespace without a name");
        check("{% set n = namespace(), (1) %}", "line 1 makes a namespace without a name");
        check("{% set x, n.a = 1, n %}", used);
        let sound = "{% set n = namespace(n=[1, (2)], a={'n': 3}) %}{%- set n.a = n.a ~ n['n'] -%}\
                     {% if n is defined and n.a == 1 or x.n == 'n' %}{% endif %}{{ f(n=n.a) }}n";
        assert_eq!(checked(sound).unwrap(), sound);
    }

    #[test]
    fn what_takes_too_long_or_too_much_memory_is_left_behind() {
        assert_eq!(watched(|| 1), Ok(1));
        let nap = || std::thread::sleep(Duration::from_secs(20));
        let late: Result<(), String> = watched_for(Duration::from_millis(20), u64::MAX / 2, nap);
        assert_eq!(late, Err("it takes longer than 0.02 seconds".into()));
        let failed: Result<(), String> = watched(|| panic!("as a defect would"));
        assert_eq!(failed, Err("it makes the engine fail".into()));
        if system::resident_memory().is_none() {
            eprintln!("skipped: this system does not tell what a process holds");
            return;
        }
        let grown = watched_for(Duration::from_secs(60), 32 << 20, || {
            let mut memory = Vec::new();
            // Begins before the first look, and goes on behind it.
            for _ in 0..200 {
                memory.extend(std::iter::repeat_n(1u8, 1 << 20));
                std::thread::sleep(Duration::from_millis(2));
            }
            memory.len()
        });
        assert_eq!(grown, Err("it takes more than 32 MiB of memory".into()));
    }

    #[test]
    fn long_chains_are_refused_and_shorter_ones_fit_the_stack() {
        let chains: [fn(usize) -> String; 9] = [
            |n| format!("{{{{ {}x }}}}", "not ".repeat(n)),
            |n| format!("{{{{ {}x }}}}", "-".repeat(n)),
            |n| format!("{{{{ x{} }}}}", "+x".repeat(n / 2)),
            |n| format!("{{{{ x{} }}}}", ".x".repeat(n / 2)),
            |n| format!("{{{{ x{} }}}}", "|e".repeat(n / 2)),
            |n| format!("{{{{ x{} }}}}", " if x else x".repeat(n / 4)),
            |n| format!("{{% if {}x %}}{{% endif %}}", "not ".repeat(n)),
            |n| format!("{{{{ {{'}}}}': [{}x]}} }}}}", "not ".repeat(n)),
            |n| format!("{{% raw %}}{{% endraw %}}{{# #}}{{{{ '\\'' ~ {}x }}}}", "not ".repeat(n)),
        ];
        for (at, chain) in chains.iter().enumerate() {
            let found = rendered(&chain(200_000)).unwrap_err();
            assert_eq!(found, "a tag in line 1 has more than 1000 words and signs", "{at}");
            // Whatever they come to, they come back.
            let _ = rendered(&chain(MAX_TAG_TOKENS - 20));
        }
        let elifs = |n: usize| format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(n));
        assert_eq!(rendered(&elifs(MAX_ELIFS)).unwrap(), "");
        assert_eq!(rendered(&elifs(20_000)).unwrap_err(), "it has more than 200 elif");
        let lists = "{% set n = namespace(v=[]) %}{% for i in range(9000) %}{% set n.v = [n.v] %}\
                     {% endfor %}";
        assert!(rendered(lists).is_err());
        let lists = lists.replace("9000", "1000") + "{{ n.v == n.v }}{{ n.v|string|length }}";
        assert_eq!(rendered(&lists).unwrap(), "True2002");
    }

    proptest! {
        /// Tags of short words are seen as minijinja sees them, so that what is accepted here is
        /// never a long tag there; and nothing that is not the tag of transformers is changed.
        #[test]
        fn nothing_else_is_changed(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{{", "}}", "{%", "%}", "{#", "#}", "-", "raw", "endraw", "'", "\"", "\\", "x",
                    " ", "(", "]", "{", "if", "\n",
                ]),
                0..24,
            ),
        ) {
            let source = parts.concat();
            prop_assert_eq!(checked(&source).unwrap(), source.as_str());
        }
    }
}
