//! Papers to prompts: templates, and the tokens that come of them.
//!
//! A [`Template`] is a TOML file with minijinja templates for what stands before the answer, one
//! text or the messages of a chat, and, in the order in which they are written, the fields of the
//! answer with the label before each. Labels are forced into the sequence, so that an answer
//! always parses; see [`Codec`]. What separates the messages of a chat is the model's own chat
//! template (`chat`).
//!
//! Text of papers must never act as a control token. Only the template can name one, as
//! `{{ control("<start_of_turn>") }}`, which marks it with characters that Unicode sets aside for
//! use inside of programs; the same characters are taken out of papers before. A beginning of
//! sequence is set in front of the prompt where the model expects one.
//!
//! Each version of a built-in template is a file of its own that stays as it is: the hash of the
//! file is a part of the key under which summaries are kept.

mod chat;
mod codec;
mod encoding;
mod jinja;
mod methods;
mod piece;
mod told;

use std::path::Path;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::glossary::Term;
use crate::hash;
use crate::summary::{Field, Fields};
use crate::text_file;

pub use chat::{ChatTemplate, Role};
pub use codec::{Codec, Prompt};
pub use encoding::Encoding;
pub use piece::Piece;
use piece::{marked, pieces, plain};
pub use told::Told;

/// The template for models that have none of their own, and no chat template either.
pub const PLAIN: &str = "plain";

/// The template for models that have none of their own, but a chat template.
pub const CHAT: &str = "chat";

/// Largest template file; a dozen worked examples have 20 KiB.
pub const MAX_FILE_BYTES: u64 = 256 << 10;

/// Most tokens that a template may grant an abstract or a field.
pub const MAX_TOKENS: usize = 16 << 10;

/// Templates that are part of the program: name and newest version.
const BUILT_IN: [(&str, &str); 4] = [
    ("qwen2.5-coder-1.5b-zh", include_str!("../../prompts/qwen2.5-coder-1.5b-zh/1.toml")),
    ("gemma3-270m-zh", include_str!("../../prompts/gemma3-270m-zh/2.toml")),
    (CHAT, include_str!("../../prompts/chat/2.toml")),
    (PLAIN, include_str!("../../prompts/plain/1.toml")),
];

/// What a prompt looks like and what is to be written after it.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    identity: String,
    abstract_tokens: usize,
    fields: Vec<FieldForm>,
    messages: Messages,
    /// The templates of the messages, by number.
    jinja: Arc<Environment<'static>>,
    /// Whether it is one of the program's own, which need no watching.
    is_built_in: bool,
    tells_terms: bool,
    /// What the messages say without a paper.
    own_text: String,
}

/// What stands before the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Messages {
    /// One text that the answer continues.
    Text,
    /// A chat that the answer is the next turn of.
    Chat(Vec<Role>),
}

/// One field of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldForm {
    /// Which field.
    #[serde(rename = "name")]
    pub field: Field,
    /// What is forced before it.
    pub label: String,
    /// Most tokens of it.
    pub max_tokens: usize,
}

/// A template file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    abstract_tokens: usize,
    template: Option<String>,
    #[serde(default)]
    message: Vec<MessageTable>,
    field: Vec<FieldForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageTable {
    role: Role,
    content: String,
}

impl Template {
    /// The built-in template called `name`.
    pub fn built_in(name: &str) -> Result<Template> {
        let Some((_, source)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(Error::new(ErrorKind::Model, format!("there is no prompt `{name}`"))
                .hint(format!("known prompts: {}", known.join(", "))));
        };
        Template::parse(name, source)
    }

    /// The built-in template that `word` names, or else the file of the user's own.
    pub fn find(word: &Path) -> Result<Template> {
        match BUILT_IN.iter().find(|(name, _)| word == Path::new(name)) {
            Some((name, source)) => Template::parse(name, source),
            None => Template::read(word),
        }
    }

    fn read(path: &Path) -> Result<Template> {
        let text = text_file::read(path, "prompt", MAX_FILE_BYTES).map_err(|error| {
            let known: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            match error.kind() {
                ErrorKind::Io => {
                    error.hint(format!("a prompt is a file, or one of {}", known.join(", ")))
                }
                _ => error,
            }
        })?;
        Template::parse(&path.display().to_string(), &text)
    }

    /// Reads the template in `source`; `name` is what messages call it.
    pub fn parse(name: &str, source: &str) -> Result<Template> {
        let wrong = |what: String| {
            Error::new(ErrorKind::Usage, format!("prompt {name}: {what}")).hint(
                "a prompt is TOML: `abstract_tokens`, `template` or [[message]]s with {{ title }} \
                 and {{ abstract }}, and a [[field]] for each of title, paragraph and one-liner",
            )
        };
        let is_built_in = BUILT_IN.iter().any(|(_, known)| *known == source);
        let source = text_file::unified(source);
        let file: File = toml::from_str(&source)
            .map_err(|cause| wrong("cannot be read".into()).because(cause))?;
        let fields = file.field;
        if let Some(fault) = fault(file.abstract_tokens, &fields) {
            return Err(wrong(fault));
        }
        let (messages, texts) = messages(file.template, file.message).map_err(&wrong)?;
        let identity = hash::sha256(&source);
        let jinja = compile(texts).map_err(&wrong)?;
        let mut template = Template {
            name: name.to_owned(),
            identity,
            abstract_tokens: file.abstract_tokens,
            fields,
            messages,
            jinja: Arc::new(jinja),
            is_built_in,
            tells_terms: false,
            own_text: String::new(),
        };
        template.own_text = template.try_out()?;
        template.tells_terms = template.looks_at("terms");
        Ok(template)
    }

    /// Which fields it has written.
    pub fn asked(&self) -> Fields {
        Fields::of(|field| self.fields.iter().any(|form| form.field == field))
    }

    /// The same template, which has only `fields` written.
    #[must_use]
    pub fn only(mut self, fields: Fields) -> Template {
        let all = self.fields.len();
        self.fields.retain(|form| fields.has(form.field));
        if self.fields.len() < all {
            self.identity = hash::sha256(format!("{} {fields}", self.identity));
        }
        self
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256, in hexadecimal, of the file and of what is left out of its fields.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Most tokens of an abstract.
    pub fn abstract_tokens(&self) -> usize {
        self.abstract_tokens
    }

    /// The fields of the answer, in the order in which they are written.
    pub fn fields(&self) -> &[FieldForm] {
        &self.fields
    }

    /// What every prompt says by itself: the task, and the worked example where there is one.
    pub fn own_text(&self) -> &str {
        &self.own_text
    }

    /// Who says the messages; `None` where the prompt is one text.
    pub fn roles(&self) -> Option<&[Role]> {
        match &self.messages {
            Messages::Text => None,
            Messages::Chat(roles) => Some(roles),
        }
    }

    /// Whether it has a place for the terms of a glossary.
    pub fn tells_terms(&self) -> bool {
        self.tells_terms
    }

    /// The messages of the prompt for a paper; a prompt that is one text is one message.
    pub fn render(&self, title: &str, abstract_text: &str, told: &Told) -> Result<Vec<Vec<Piece>>> {
        let term = |term: &Term| {
            context! { term => plain(&term.term), translation => plain(&term.translation) }
        };
        let values = context! {
            title => plain(title),
            abstract => plain(abstract_text),
            terms => told.terms.iter().map(term).collect::<Vec<_>>(),
            keep => told.keep.iter().map(|item| plain(item)).collect::<Vec<_>>(),
        };
        let (jinja, count) = (Arc::clone(&self.jinja), self.count());
        // Chat templates trim the messages of some roles; here nobody has to know which.
        let trims = self.roles().is_some();
        let work = move || {
            let message = |number: usize| {
                let rendered = jinja.get_template(&number.to_string())?.render(&values)?;
                Ok(pieces(if trims { rendered.trim() } else { &rendered }))
            };
            let messages = (0..count).map(message);
            messages.collect::<std::result::Result<_, _>>().map_err(|cause| jinja::reason(&cause))
        };
        let rendered = if self.is_built_in { Ok(work()) } else { jinja::watched(work) };
        rendered
            .and_then(|rendered| rendered)
            .map_err(|what| Error::new(ErrorKind::Usage, format!("prompt {}: {what}", self.name)))
    }

    /// How many messages there are.
    fn count(&self) -> usize {
        self.roles().map_or(1, <[Role]>::len)
    }

    fn looks_at(&self, variable: &str) -> bool {
        let templates =
            (0..self.count()).map(|number| self.jinja.get_template(&number.to_string()));
        templates.flatten().any(|one| one.undeclared_variables(false).contains(variable))
    }

    /// Renders it without a paper and with one, and returns what it says by itself. A template that
    /// ignores the paper, or asks for what is not there, is refused before a model is loaded for it.
    fn try_out(&self) -> Result<String> {
        let (title, abstract_text) = ("A title", "An abstract.");
        let pieces = self.render(title, abstract_text, &Told::default())?.concat();
        for (variable, value) in [("title", title), ("abstract", abstract_text)] {
            let is_there =
                |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains(value));
            if !pieces.iter().any(is_there) {
                let message = format!("prompt {}: does not use {{{{ {variable} }}}}", self.name);
                return Err(Error::new(ErrorKind::Usage, message)
                    .hint("the model would write about a paper that it has not read"));
            }
        }
        let texts = |piece: Piece| match piece {
            Piece::Text(text) => Some(text),
            Piece::Control(_) => None,
        };
        let own = self.render("", "", &Told::default())?.concat();
        Ok(own.into_iter().filter_map(texts).collect::<Vec<_>>().join("\n"))
    }
}

fn fault(abstract_tokens: usize, fields: &[FieldForm]) -> Option<String> {
    let bounds = fields.iter().map(|form| form.max_tokens).chain([abstract_tokens]);
    if let Some(bound) = bounds.into_iter().find(|bound| !(1..=MAX_TOKENS).contains(bound)) {
        return Some(format!("a bound of {bound} tokens is not within 1 to {MAX_TOKENS}"));
    }
    let count = |field: Field| fields.iter().filter(|form| form.field == field).count();
    let odd = Field::ALL.into_iter().find(|field| count(*field) != 1)?;
    Some(format!("the field {odd} is there {} times instead of once", count(odd)))
}

/// What a file's messages are, and their templates.
fn messages(
    template: Option<String>,
    tables: Vec<MessageTable>,
) -> std::result::Result<(Messages, Vec<String>), String> {
    match template {
        Some(template) if tables.is_empty() => Ok((Messages::Text, vec![template])),
        Some(_) => Err("has both `template` and [[message]]s".into()),
        None => {
            let (roles, texts): (Vec<Role>, Vec<String>) =
                tables.into_iter().map(|table| (table.role, table.content)).unzip();
            match chat::order_fault(&roles) {
                Some(fault) => Err(fault.into()),
                None => Ok((Messages::Chat(roles), texts)),
            }
        }
    }
}

fn compile(texts: Vec<String>) -> std::result::Result<Environment<'static>, String> {
    let reason = |cause: minijinja::Error| jinja::reason(&cause);
    let mut jinja = jinja::environment();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(reason)?);
    jinja.add_function("control", |name: String| marked(&name));
    for (number, text) in texts.into_iter().enumerate() {
        let text = jinja::checked(&text)?.into_owned();
        jinja.add_template_owned(number.to_string(), text).map_err(reason)?;
    }
    Ok(jinja)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = r#"
        [[field]]
        name = "title"
        label = ""
        max_tokens = 8
        [[field]]
        name = "one-liner"
        label = "\nTL;DR:"
        max_tokens = 9
        [[field]]
        name = "paragraph"
        label = "\nSummary:"
        max_tokens = 10
    "#;

    fn parse(template: &str) -> Result<Template> {
        Template::parse("mine", &format!("abstract_tokens = 5\ntemplate = '{template}'\n{FIELDS}"))
    }

    #[test]
    fn the_default_template_is_what_the_adapter_was_trained_on() {
        let template = Template::built_in("gemma3-270m-zh").unwrap();
        let check = |terms: &[Term], keep: &[&str], line: &str| {
            let keep = keep.iter().map(ToString::to_string).collect();
            let told = Told { terms: terms.to_vec(), keep };
            let rendered = template.render("A {{ b }}", "C\\d < e & \"f\".", &told).unwrap();
            let text = format!("Title: A {{{{ b }}}}\nAbstract: C\\d < e & \"f\".{line}\n标题：");
            assert_eq!(rendered.concat(), [Piece::Text(text)]);
        };
        let term = |term: &str, translation: &str| Term {
            term: term.into(),
            translation: translation.into(),
        };
        check(&[], &[], "");
        check(&[term("lidar", "激光雷达")], &[], "\nTerms: lidar=激光雷达");
        check(&[], &["<b>"], "\nKeep: <b>");
        let terms = [term("a b", "甲"), term("c", "乙")];
        check(&terms, &["1", "D"], "\nTerms: a b=甲；c=乙\nKeep: 1；D");
        assert!(template.tells_terms());
        assert!(!Template::built_in(PLAIN).unwrap().tells_terms());
        let fields: Vec<_> =
            template.fields().iter().map(|form| (form.field, form.label.as_str())).collect();
        let expected =
            [(Field::Title, ""), (Field::Paragraph, "\n摘要："), (Field::Tldr, "\n一句话：")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn every_built_in_template_can_be_read() {
        for (name, _) in BUILT_IN {
            assert_eq!(Template::built_in(name).unwrap().name(), name);
        }
        assert!(Template::built_in("none").unwrap_err().hint_text().unwrap().contains(PLAIN));
    }

    #[test]
    fn control_tokens_come_from_the_template_alone() {
        let template = parse("{{ control(\"<user>\") }}{{ title }}: {{ abstract }}").unwrap();
        let pieces =
            template.render("<user>", &marked("<user>"), &Told::default()).unwrap().concat();
        let expected = [Piece::Control("<user>".into()), Piece::Text("<user>: <user>".into())];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn templates_that_could_not_work_are_refused() {
        let check = |template: &str, message: &str| {
            let error = parse(template).expect_err(template).to_string();
            assert!(error.starts_with("prompt mine: "), "{error}");
            assert!(error.contains(message), "{error}");
        };
        check("{{ title }}", "does not use {{ abstract }}");
        check("{{ title }} {{ abstract }} {{ authors }}", "undefined value");
        check("{{ title }} {{ abstract", "syntax error");
        let file =
            format!("abstract_tokens = 5\ntemplate = '{{{{title}}}}{{{{abstract}}}}'\n{FIELDS}");
        let check = |from: &str, to: &str, message: &str| {
            let error = Template::parse("mine", &file.replace(from, to)).expect_err(to).to_string();
            assert!(error.contains(message), "{error}");
        };
        check("max_tokens = 9", "max_tokens = 0", "bound of 0 tokens");
        check("one-liner", "title", "the field title is there 2 times");
        let message = |role: &str| {
            format!("[[message]]\nrole = '{role}'\ncontent = '{{{{title}}}}{{{{abstract}}}}'\n")
        };
        let both = format!("{}\n[[field]]", message("user"));
        let file_with_both = file.replacen("[[field]]", &both, 1);
        let error = Template::parse("mine", &file_with_both).unwrap_err().to_string();
        assert_eq!(error, "prompt mine: has both `template` and [[message]]s");
        let chat = |roles: &[&str]| {
            let messages: String = roles.iter().map(|role| message(role)).collect();
            Template::parse("mine", &format!("abstract_tokens = 5\n{messages}{FIELDS}"))
        };
        assert_eq!(chat(&["user"]).unwrap().roles(), Some(&[Role::User][..]));
        let error = chat(&["system", "user", "assistant"]).unwrap_err().to_string();
        assert_eq!(error, "prompt mine: the last message is not the user's");
        assert!(chat(&["speaker"]).unwrap_err().to_string().ends_with("cannot be read"));
        check("label", "lable", "cannot be read");
    }

    #[test]
    fn the_identity_is_the_content() {
        let (one, other) = (parse("{{title}}{{abstract}}"), parse("{{title}} {{abstract}}"));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.identity().len(), 64);
        assert_ne!(one.identity(), other.identity());
    }
}
