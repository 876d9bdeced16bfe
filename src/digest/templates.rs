//! The templates of pages and feeds, which stand in files beside the code and are part of the program.
//!
//! Every value is escaped: `&`, `<`, `>` and both quotes become references, which is what text and
//! quoted attributes of HTML and XML need. (The engine's own function escapes `/`, too, which would
//! leave no address readable.)
//! Nothing but our own style and script passes unescaped, and no paper is ever near those.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Output, State, UndefinedBehavior, Value, escape_formatter};

use crate::error::{Error, ErrorKind, Result};

const FILES: [(&str, &str); 8] = [
    ("page-head.html", include_str!("templates/page-head.html")),
    ("paper.html", include_str!("templates/paper.html")),
    ("page-tail.html", include_str!("templates/page-tail.html")),
    ("index-head.html", include_str!("templates/index-head.html")),
    ("index-day.html", include_str!("templates/index-day.html")),
    ("feed-head.xml", include_str!("templates/feed-head.xml")),
    ("entry.xml", include_str!("templates/entry.xml")),
    ("content.html", include_str!("templates/content.html")),
];

/// The templates, compiled.
pub(super) struct Templates(Environment<'static>);

impl Templates {
    pub(super) fn new() -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_formatter(write_escaped);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        environment.set_syntax(syntax.build().expect("a syntax that differs in white space only"));
        for (name, source) in FILES {
            environment.add_template(name, source).map_err(|cause| failed(name, cause))?;
        }
        Ok(Templates(environment))
    }

    /// The template called `name`, filled in.
    pub(super) fn fill(&self, name: &str, values: Value) -> Result<String> {
        let template = self.0.get_template(name).map_err(|cause| failed(name, cause))?;
        template.render(values).map_err(|cause| failed(name, cause))
    }
}

/// Writes a value of a template: what is marked as safe as it is, texts escaped.
fn write_escaped(
    out: &mut Output,
    state: &mut State,
    value: &Value,
) -> std::result::Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => Ok(out.write_str(&escaped(text))?),
        _ => escape_formatter(out, state, value),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn failed(name: &str, cause: minijinja::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot fill in {name}"))
        .because(cause)
        .hint("this is a bug of wenzhai; please report it")
}
