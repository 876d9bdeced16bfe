//! The turns of a chat, by the template that the model's own GGUF file carries.
//!
//! Which tokens open and close a turn, and what stands at the beginning of an answer, differs from
//! model to model, and a model writes well only in the form that it was taught. The template is
//! rendered once for a prompt, with a mark in place of each message, and cut at the marks. So no
//! text of a paper ever reaches it: nothing that an abstract says can steer the template, and
//! only what the template itself wrote is looked through for control tokens; see [`super::Codec`].
//!
//! Templates are written for Jinja2 as Python's transformers sets it up; what that has beyond
//! minijinja is added here. Thinking is switched off where a template knows the switch, since the
//! answer's labels are forced. Where a template knows no system message, or refuses one, it is put
//! before the first message of the user, as Gemma's templates do by themselves.
//!
//! What a template may take is bounded ([`super::jinja`]).
//!
//! `strftime_now` is left out at first: a prompt that holds the day would not write the same digest
//! tomorrow, and many templates ask whether the function is there, and name a fixed day where it
//! is not. Those that do not ask get a fixed day of ours.
//!
//! Where the template of a model that always thinks begins a thought, it is ended there at once.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind as JinjaErrorKind, Value, context};
use serde::Deserialize;

use super::jinja;
use super::methods::method;
use crate::error::{Error, ErrorKind, Result};

/// Largest chat template. The longest in use, with tools and all, have 20 KiB.
const MAX_SOURCE_BYTES: usize = 256 << 10;

/// Noncharacters (Unicode 16, section 23.7) that enclose the number of a message.
const MESSAGE_BEGIN: char = '\u{fdd2}';
const MESSAGE_END: char = '\u{fdd3}';

/// What begins a thought in the templates of models that think.
const THINKING: &str = "<think>";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever sets the task.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// A chat template, and what it is told of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct ChatTemplate<'a> {
    /// The template (Jinja).
    pub source: &'a str,
    /// Name of the token that begins a sequence; empty where there is none.
    pub beginning: &'a str,
    /// Name of the token that ends a sequence; empty where there is none.
    pub end: &'a str,
}

/// A stretch of a rendered chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// What the template wrote, names of control tokens included.
    Frame(String),
    /// The message of this number.
    Message(usize),
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// What is wrong with the order of `roles`, if something is.
pub(super) fn order_fault(roles: &[Role]) -> Option<&'static str> {
    let turns = match roles {
        [Role::System, turns @ ..] => turns,
        turns => turns,
    };
    let expected = [Role::User, Role::Assistant].into_iter().cycle();
    if turns.len().is_multiple_of(2) {
        Some("the last message is not the user's")
    } else if turns.iter().zip(expected).any(|(role, expected)| *role != expected) {
        Some("messages of user and assistant do not take turns, or the system's is not the first")
    } else {
        None
    }
}

/// The chat of messages by `roles`, up to where the model is to answer.
pub(super) fn render(template: &ChatTemplate<'_>, roles: &[Role]) -> Result<Vec<Part>> {
    let failed = |what: String| {
        Error::new(ErrorKind::Model, format!("the model's chat template cannot be used: {what}"))
            .hint("use --prompt plain, or a prompt of your own")
    };
    if template.source.len() > MAX_SOURCE_BYTES {
        let bytes = template.source.len();
        return Err(failed(format!("{bytes} bytes, the limit is {MAX_SOURCE_BYTES}")));
    }
    let own = |text: &str| text.to_owned();
    let (source, roles) = (own(template.source), roles.to_vec());
    let (beginning, end) = (own(template.beginning), own(template.end));
    let rendered = jinja::watched(move || {
        let template = ChatTemplate { source: &source, beginning: &beginning, end: &end };
        render_watched(&template, &roles)
    });
    rendered.and_then(|rendered| rendered).map_err(failed)
}

fn render_watched(
    template: &ChatTemplate<'_>,
    roles: &[Role],
) -> std::result::Result<Vec<Part>, String> {
    let source = jinja::checked(template.source)?;
    let jinja = compile(&source).map_err(|cause| jinja::reason(&cause))?;
    let asks_blindly = |cause: &minijinja::Error| {
        cause.kind() == JinjaErrorKind::UnknownFunction
            && jinja::reason(cause).contains("strftime_now")
    };
    let attempt = |messages: Vec<(Role, String)>| {
        let mut rendered = fill(&jinja, template, &messages);
        if rendered.as_ref().is_err_and(asks_blindly) {
            let mut jinja = jinja.clone();
            jinja.add_function("strftime_now", |format: String| on_a_fixed_day(&format));
            rendered = fill(&jinja, template, &messages);
        }
        let rendered = rendered.map_err(|cause| jinja::reason(&cause))?;
        Ok(without_thinking(cut(&rendered, roles.len())?))
    };
    let numbered = || (0..).zip(roles).map(|(number, role)| (*role, mark(number)));
    match (attempt(numbered().collect()), roles) {
        (Err(reason), [Role::System, _, ..]) => {
            let mut messages: Vec<_> = numbered().skip(1).collect();
            messages[0].1 = format!("{}\n\n{}", mark(0), messages[0].1);
            attempt(messages).map_err(|_| reason)
        }
        (outcome, _) => outcome,
    }
}

fn compile(source: &str) -> std::result::Result<Environment<'_>, minijinja::Error> {
    let mut jinja = jinja::environment();
    jinja.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    jinja.set_unknown_method_callback(method);
    jinja.add_function(
        "raise_exception",
        |message: String| -> std::result::Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(JinjaErrorKind::InvalidOperation, message))
        },
    );
    jinja.add_template("chat", source)?;
    Ok(jinja)
}

fn fill(
    jinja: &Environment<'_>,
    template: &ChatTemplate<'_>,
    messages: &[(Role, String)],
) -> std::result::Result<String, minijinja::Error> {
    let message = |(role, content): &(Role, String)| context! { role => role.name(), content };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    jinja.get_template("chat")?.render(context! {
        messages,
        add_generation_prompt => true,
        enable_thinking => false,
        bos_token => template.beginning,
        eos_token => template.end,
    })
}

/// The first day of 2025, which was a Wednesday, in the form of C's `strftime`.
fn on_a_fixed_day(format: &str) -> String {
    let parts = [
        ("%Y", "2025"),
        ("%m", "01"),
        ("%d", "01"),
        ("%B", "January"),
        ("%b", "Jan"),
        ("%A", "Wednesday"),
        ("%a", "Wed"),
        ("%H", "00"),
        ("%M", "00"),
        ("%S", "00"),
        ("%y", "25"),
        ("%-d", "1"),
        ("%-m", "1"),
        ("%e", " 1"),
        ("%F", "2025-01-01"),
    ];
    parts.iter().fold(format.to_owned(), |text, (part, value)| text.replace(part, value))
}

/// Ends the thinking that a template has begun, as the templates do that can be told not to think.
fn without_thinking(mut parts: Vec<Part>) -> Vec<Part> {
    if let Some(Part::Frame(last)) = parts.last_mut()
        && last.trim_end().ends_with(THINKING)
    {
        last.truncate(last.trim_end().len());
        last.push_str("\n\n</think>\n\n");
    }
    parts
}

fn mark(number: usize) -> String {
    format!("{MESSAGE_BEGIN}{number}{MESSAGE_END}")
}

/// Cuts at the marks. A template that leaves a message out, or says one twice, would have the
/// model answer to something else than was asked.
fn cut(rendered: &str, messages: usize) -> std::result::Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut found = Vec::new();
    let mut rest = rendered;
    while let Some((before, marked)) = rest.split_once(MESSAGE_BEGIN) {
        let number = marked.split_once(MESSAGE_END).and_then(|(number, after)| {
            rest = after;
            number.parse().ok()
        });
        let number = number.ok_or("it changes the text of messages")?;
        parts.extend([Part::Frame(before.to_owned()), Part::Message(number)]);
        found.push(number);
    }
    parts.push(Part::Frame(rest.to_owned()));
    parts.retain(|part| *part != Part::Frame(String::new()));
    match found.iter().copied().eq(0..messages) {
        true => Ok(parts),
        false => Err(format!("of messages 0 to {} it says {found:?}", messages - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::Role::{Assistant, System, User};
    use super::*;

    fn rendered(source: &str, roles: &[Role]) -> Result<String> {
        let template = ChatTemplate { source, beginning: "<s>", end: "</s>" };
        let shown = |part| match part {
            Part::Frame(text) => text,
            Part::Message(number) => format!("[{number}]"),
        };
        Ok(render(&template, roles)?.into_iter().map(shown).collect())
    }

    #[test]
    fn a_system_message_that_is_refused_or_left_out_goes_before_the_first_question() {
        const TURNS: &str = "{% for m in messages if m.role != 'system' %}{{ m.role }}: \
                             {{ m.content }}\n{% endfor %}";
        let refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}";
        let expected = "user: [0]\n\n[1]\nassistant: [2]\nuser: [3]\n";
        for source in [TURNS.to_owned(), format!("{refuses}\n{TURNS}")] {
            let found = rendered(&source, &[System, User, Assistant, User]).unwrap();
            assert_eq!(found, expected, "{source}");
        }
    }

    #[test]
    fn templates_that_cannot_say_the_messages_are_refused() {
        let check = |source: &str, reason: &str| {
            let error = rendered(source, &[System, User]).expect_err(source);
            assert_eq!(error.kind(), ErrorKind::Model);
            let start = "the model's chat template cannot be used: ";
            assert!(error.to_string().starts_with(start), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        };
        check("{{ messages[1].content }}{{ messages[1].content }}", "it says [1, 1]");
        check("{{ messages[0].content[:2] }}", "it changes the text of messages");
        check("{{ raise_exception('not for this') }}", "not for this");
        check("{% for m in messages %}", "syntax error");
        check("{{ strftime_then('%d') }}", "strftime_then is unknown");
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        check(endless, "it takes more than 10000 steps");
        check(&" ".repeat(MAX_SOURCE_BYTES + 1), "bytes, the limit is 262144");
    }

    #[test]
    fn a_day_that_a_template_must_have_is_always_the_same() {
        let day =
            "{% set today = strftime_now('%d %B %Y') %}{{ today }}: {{ messages[0].content }}";
        assert_eq!(rendered(day, &[User]).unwrap(), "01 January 2025: [0]");
        let refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}\
                       {{ strftime_now('%F') }}: {{ messages[0].content }}";
        assert_eq!(rendered(refuses, &[System, User]).unwrap(), "2025-01-01: [0]\n\n[1]");
        let asks = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024\
                    {% endif %}: {{ messages[0].content }}";
        assert_eq!(rendered(asks, &[User]).unwrap(), "26 Jul 2024: [0]");
    }

    #[test]
    fn a_thought_that_the_template_begins_is_ended() {
        let template = "{{ messages[0].content }}<|Assistant|><think>\n";
        let expected = "[0]<|Assistant|><think>\n\n</think>\n\n";
        assert_eq!(rendered(template, &[User]).unwrap(), expected);
    }

    #[test]
    fn the_order_of_turns_is_checked() {
        assert_eq!(order_fault(&[System, User, Assistant, User]), None);
        assert_eq!(order_fault(&[User]), None);
        for roles in [&[][..], &[System], &[User, Assistant], &[User, User, User], &[User, System]]
        {
            assert!(order_fault(roles).is_some(), "{roles:?}");
        }
    }
}
