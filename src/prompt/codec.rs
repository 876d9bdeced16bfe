//! Papers to requests, and finished requests back to summaries.
//!
//! Text around a paper is encoded together with it, because vocabularies merge across the seam
//! (the space after `Title:` belongs to the title's first token). What all prompts have in common
//! is therefore found out on tokens and not on text.

use std::sync::Arc;

use super::{Encoding, Piece, Template, Told, chat};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{self, Ending, Finished, Request, RequestId, Sampling, TokenFilter, TokenId};
use crate::glossary::Glossary;
use crate::guard::{FieldGuard, PaperGuard, Pieces, Rules};
use crate::paper::Paper;
use crate::summary::{self, Field, Fields, Flaw, Source, Summary};
use crate::text::cut_at_sentence;
use crate::tokens::Stretch;

/// A template in the tokens of one model.
pub struct Codec<'a> {
    template: &'a Template,
    encoding: &'a dyn Encoding,
    fields: Vec<generate::Field>,
    frame: Vec<Part>,
    prefix: Vec<TokenId>,
    glossary: Option<&'a Glossary>,
    /// The rules that summaries are written by, and what tokens they judge by.
    guards: Option<(Rules, Arc<Pieces>)>,
    /// Most positions of a request; see [`generate::Limits::max_context`].
    max_positions: usize,
    /// How tokens are picked in a first attempt at a paper.
    first: Sampling,
}

/// A part of every prompt.
enum Part {
    /// What stands between messages: text, or a control token.
    Frame(Stretch),
    /// The template's message of this number.
    Message(usize),
}

/// The prompt for one paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// The title.
    pub title: String,
    /// The abstract as far as it is in there.
    pub abstract_text: String,
    /// Whether that is not all of it.
    pub cut: bool,
    /// What is told beside them.
    pub told: Told,
}

impl<'a> Codec<'a> {
    /// A codec for requests of up to `max_positions` positions.
    ///
    /// # Errors
    /// Where the model has no chat template, or none that can be used, for a prompt that needs one,
    /// and where no paper at all would fit.
    pub fn new(
        template: &'a Template,
        encoding: &'a dyn Encoding,
        max_positions: usize,
    ) -> Result<Self> {
        let line_ends = Arc::new(encoding.line_ends());
        let field = |form: &super::FieldForm| generate::Field {
            label: encoding.encode_behind(&form.label),
            stop: Arc::clone(&line_ends),
            max_tokens: form.max_tokens,
            filter: None,
        };
        let fields = template.fields().iter().map(field).collect();
        let frame = frame(template, encoding)?;
        let mut codec = Codec {
            template,
            encoding,
            fields,
            frame,
            prefix: Vec::new(),
            glossary: None,
            guards: None,
            max_positions,
            first: Sampling::Greedy,
        };
        codec.prefix = codec.common_prefix()?;
        // With one more, which a title has.
        let (before, answer) = (codec.prefix.len() + 1, codec.answer_positions());
        if before + answer > max_positions {
            let message = format!(
                "prompt {}: {before} tokens before the paper and up to {answer} for the answer, in a \
                 context of {max_positions}",
                template.name()
            );
            return Err(Error::new(ErrorKind::Usage, message).hint(
                "take a shorter prompt of your own with --prompt, or a model of a longer context",
            ));
        }
        Ok(codec)
    }

    /// The same codec, whose prompts tell the terms of `glossary` that a paper has, if the
    /// template has a place for them.
    #[must_use]
    pub fn with_glossary(mut self, glossary: &'a Glossary) -> Self {
        self.glossary = Some(glossary).filter(|_| self.template.tells_terms());
        self
    }

    /// The same codec, whose papers are first written about by `sampling`.
    #[must_use]
    pub fn sampled_by(self, sampling: Sampling) -> Self {
        Codec { first: sampling, ..self }
    }

    /// How tokens are picked in a first attempt at a paper.
    pub fn first_sampling(&self) -> Sampling {
        self.first
    }

    /// The same codec, whose requests are held to `rules` while they write.
    #[must_use]
    pub fn guarded(mut self, rules: Rules) -> Self {
        self.guards = Some((rules, Arc::new(self.encoding.pieces())))
            .filter(|(rules, pieces)| *rules != Rules::NONE && !pieces.is_empty());
        self
    }

    /// The tokens with which (nearly) every prompt begins.
    pub fn prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// The prompt for `paper`. An abstract that is too long is cut at a sentence; it is an error
    /// when not even the title fits.
    pub fn prompt(&self, paper: &Paper) -> Result<Prompt> {
        let title = &paper.plain_title;
        // What could fail apart from its length fails here, whatever the abstract.
        let without = self.tokens(title, "", &Told::default())?.len();
        let most = self.max_positions.saturating_sub(self.answer_positions());
        let too_long = || {
            let message = format!(
                "too long: {without} tokens without the abstract, and a prompt has at most {most}"
            );
            Err(Error::new(ErrorKind::Input, message))
        };
        if without > most {
            return too_long();
        }
        // Of what is cut off nothing is told.
        let told = |text: &str| Told::of(title, text, self.glossary);
        let fits = |text: &str| {
            self.encoding.encode(text).len() <= self.template.abstract_tokens()
                && self.tokens(title, text, &told(text)).is_ok_and(|tokens| tokens.len() <= most)
        };
        let (abstract_text, cut) = cut_at_sentence(&paper.plain_abstract, fits);
        if cut && abstract_text.is_empty() {
            return too_long();
        }
        let told = told(&abstract_text);
        let tokens = self.tokens(title, &abstract_text, &told)?;
        Ok(Prompt { tokens, abstract_text, title: title.clone(), told, cut })
    }

    /// Which fields of a summary are asked for.
    pub fn asked(&self) -> Fields {
        self.template.asked()
    }

    /// The request to answer `prompt`.
    pub fn request(&self, id: RequestId, prompt: &Prompt, sampling: Sampling) -> Request {
        let mut fields = self.fields.clone();
        if let Some((rules, pieces)) = &self.guards {
            let translations = prompt.told.translations();
            let source = self.source(prompt, &translations);
            let paper = Arc::new(PaperGuard::new(&source, *rules));
            for field in &mut fields {
                let (paper, pieces) = (Arc::clone(&paper), Arc::clone(pieces));
                let guard = FieldGuard::new(paper, pieces, Arc::clone(&field.stop));
                field.filter = Some(Arc::new(guard) as Arc<dyn TokenFilter>);
            }
        }
        Request { id, prompt: prompt.tokens.clone(), fields, sampling }
    }

    /// What was written, and which fields ran into their bounds.
    pub fn summary(&self, finished: &Finished) -> (Summary, Vec<Field>) {
        let mut summary = Summary::default();
        let mut bounded = Vec::new();
        for (form, written) in self.template.fields().iter().zip(&finished.fields) {
            let text = self.encoding.decode(&written.tokens);
            *summary.field_mut(form.field) = text.lines().next().unwrap_or_default().to_owned();
            if written.ending == Ending::Bound {
                bounded.push(form.field);
            }
        }
        (summary.tidied(), bounded)
    }

    /// Everything that is wrong with `summary`, which was written after `prompt`; see
    /// [`summary::check`].
    pub fn check(&self, prompt: &Prompt, summary: &Summary, bounded: &[Field]) -> Vec<Flaw> {
        summary::check(&self.source(prompt, &prompt.told.translations()), summary, bounded)
    }

    fn source<'p>(&'p self, prompt: &'p Prompt, translations: &'p str) -> Source<'p> {
        Source {
            title: &prompt.title,
            abstract_text: &prompt.abstract_text,
            translations,
            prompt: self.template.own_text(),
            fields: self.asked(),
        }
    }

    fn answer_positions(&self) -> usize {
        self.fields.iter().map(|field| field.label.len() + field.max_tokens).sum()
    }

    fn tokens(&self, title: &str, abstract_text: &str, told: &Told) -> Result<Vec<TokenId>> {
        let messages = self.template.render(title, abstract_text, told)?;
        let mut run = Run { encoding: self.encoding, text: String::new(), tokens: Vec::new() };
        for part in &self.frame {
            match part {
                Part::Frame(Stretch::Text(text)) => run.text.push_str(text),
                Part::Frame(Stretch::Control(token)) => run.control(*token),
                Part::Message(number) => {
                    for piece in &messages[*number] {
                        match piece {
                            Piece::Text(text) => run.text.push_str(text),
                            Piece::Control(name) => run.control(self.control(name)?),
                        }
                    }
                }
            }
        }
        let mut tokens = run.finish();
        match self.encoding.beginning() {
            Some(beginning) if tokens.first() != Some(&beginning) => tokens.insert(0, beginning),
            _ => {}
        }
        Ok(tokens)
    }

    fn control(&self, name: &str) -> Result<TokenId> {
        self.encoding.control(name).ok_or_else(|| {
            let message =
                format!("prompt {}: the model has no control token `{name}`", self.template.name());
            Error::new(ErrorKind::Usage, message).hint("use a prompt that was made for the model")
        })
    }

    /// The longest beginning that prompts for titles of all sorts share. Vocabularies merge the
    /// title's first characters with what stands before, hence the odd ones.
    fn common_prefix(&self) -> Result<Vec<TokenId>> {
        const TITLES: [&str; 12] =
            ["A", "the", "2", "$x$", "(", "\"Q\"", "-", "中", "é", "\u{1f600}", "\\", "<b>"];
        let mut prefix: Option<Vec<TokenId>> = None;
        for title in TITLES {
            let tokens = self.tokens(title, title, &Told::default())?;
            let shared = prefix.map_or(tokens.len(), |prefix| {
                prefix.iter().zip(&tokens).take_while(|(a, b)| a == b).count()
            });
            prefix = Some(tokens[..shared].to_vec());
        }
        Ok(prefix.unwrap_or_default())
    }
}

/// What all prompts by `template` have in common, in the tokens of `encoding`.
fn frame(template: &Template, encoding: &dyn Encoding) -> Result<Vec<Part>> {
    let Some(roles) = template.roles() else { return Ok(vec![Part::Message(0)]) };
    let chat_template = encoding.chat_template().ok_or_else(|| {
        let message = format!("prompt {}: the model has no chat template", template.name());
        Error::new(ErrorKind::Usage, message)
            .hint("use --prompt plain, or a prompt of your own with a `template`")
    })?;
    let stretches = |part| match part {
        chat::Part::Frame(text) => encoding.stretches(&text).into_iter().map(Part::Frame).collect(),
        chat::Part::Message(number) => vec![Part::Message(number)],
    };
    Ok(chat::render(&chat_template, roles)?.into_iter().flat_map(stretches).collect())
}

/// Tokens in the making. Text waits until a control token or the end comes, because vocabularies
/// merge across the seam of what a template wrote and what a paper says.
struct Run<'a> {
    encoding: &'a dyn Encoding,
    text: String,
    tokens: Vec<TokenId>,
}

impl Run<'_> {
    fn control(&mut self, token: TokenId) {
        self.tokens.extend(self.encoding.encode(&self.text));
        self.text.clear();
        self.tokens.push(token);
    }

    fn finish(mut self) -> Vec<TokenId> {
        self.tokens.extend(self.encoding.encode(&self.text));
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::TokenSet;

    /// A token for every two characters, so that merging across seams shows.
    struct Pairs;

    const BEGINNING: TokenId = 1;

    impl Encoding for Pairs {
        fn encode(&self, text: &str) -> Vec<TokenId> {
            let chars: Vec<TokenId> = text.chars().map(|c| c as TokenId % 4096).collect();
            chars.chunks(2).map(|pair| pair.iter().fold(0, |id, c| id * 4096 + c)).collect()
        }
        fn control(&self, name: &str) -> Option<TokenId> {
            (name == "<s>").then_some(BEGINNING)
        }
        fn decode(&self, tokens: &[TokenId]) -> String {
            let chars = tokens.iter().flat_map(|id| [id / 4096, id % 4096]).filter(|c| *c > 0);
            chars.filter_map(char::from_u32).collect()
        }
        fn beginning(&self) -> Option<TokenId> {
            Some(BEGINNING)
        }
        fn line_ends(&self) -> TokenSet {
            TokenSet::default()
        }
    }

    fn template(text: &str) -> Template {
        let fields: String = ["title", "paragraph", "one-liner"]
            .map(|name| format!("[[field]]\nname = '{name}'\nlabel = 'la'\nmax_tokens = 4\n"))
            .concat();
        Template::parse("t", &format!("abstract_tokens = 30\ntemplate = '{text}'\n{fields}"))
            .unwrap()
    }

    fn paper(title: &str, abstract_text: &str) -> Paper {
        Paper {
            plain_title: title.into(),
            plain_abstract: abstract_text.into(),
            ..Paper::default()
        }
    }

    #[test]
    fn the_prefix_ends_before_tokens_that_titles_merge_with() {
        let template = template("Read: {{ title }}. {{ abstract }}");
        let codec = Codec::new(&template, &Pairs, 100).unwrap();
        let mut expected = vec![BEGINNING];
        expected.extend(Pairs.encode("Read: "));
        assert_eq!(codec.prefix(), expected);
        let merging = self::template("Read:{{ title }}. {{ abstract }}");
        let codec = Codec::new(&merging, &Pairs, 100).unwrap();
        assert_eq!(
            codec.prefix(),
            &expected[..3],
            "the colon's token holds the title's first letter"
        );
        let prompt = codec.prompt(&paper("Sheep", "We count.")).unwrap();
        assert_eq!(Pairs.decode(&prompt.tokens[1..]), "Read:Sheep. We count.");
    }

    #[test]
    fn the_beginning_is_set_once() {
        for text in
            ["{{ title }} {{ abstract }}", "{{ control(\"<s>\") }}{{ title }} {{ abstract }}"]
        {
            let template = template(text);
            let codec = Codec::new(&template, &Pairs, 100).unwrap();
            let tokens = codec.prompt(&paper("Sheep", "We count.")).unwrap().tokens;
            assert_eq!(tokens.iter().filter(|token| **token == BEGINNING).count(), 1, "{text}");
        }
        let unknown = template("{{ control(\"<user>\") }}{{ title }} {{ abstract }}");
        let error = Codec::new(&unknown, &Pairs, 100).err().unwrap();
        assert_eq!(error.to_string(), "prompt t: the model has no control token `<user>`");
    }

    #[test]
    fn abstracts_are_cut_to_the_templates_bound_and_to_the_context() {
        let template = template("{{ title }} {{ abstract }}");
        let abstract_text = "We count sheep. ".repeat(10);
        let check = |max_positions: usize, sentences: usize| {
            let codec = Codec::new(&template, &Pairs, max_positions).unwrap();
            let prompt = codec.prompt(&paper("On sheep", &abstract_text)).unwrap();
            let kept = "We count sheep. ".repeat(sentences);
            assert_eq!((prompt.abstract_text.as_str(), prompt.cut), (kept.trim_end(), true));
            let request = codec.request(1, &prompt, Sampling::Greedy);
            assert!(request.max_positions() <= max_positions);
        };
        // A sentence takes eight tokens, of which 30 are granted. With three of them a prompt
        // has 1 + 28 tokens, and an answer has 15 at most.
        check(100, 3);
        check(44, 3);
        check(43, 2);
        let codec = Codec::new(&template, &Pairs, 20).unwrap();
        let error = codec.prompt(&paper("On sheep in a meadow", "We count.")).unwrap_err();
        let expected = "too long: 12 tokens without the abstract, and a prompt has at most 5";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_was_written_is_cut_at_the_line_and_bounded_fields_are_named() {
        let template = template("{{ title }} {{ abstract }}");
        let codec = Codec::new(&template, &Pairs, 100).unwrap();
        let written = |text: &str, ending| generate::Written { tokens: Pairs.encode(text), ending };
        let fields = vec![
            written("a title\nmore", Ending::Stopped),
            written(" some  text", Ending::Bound),
            written("", Ending::Stopped),
        ];
        let (summary, bounded) = codec.summary(&Finished { id: 1, prompt_tokens: 1, fields });
        let expected = Summary {
            zh_title: "a title".into(),
            zh_abstract: "some text".into(),
            zh_tldr: String::new(),
        };
        assert_eq!((summary, bounded), (expected, vec![Field::Paragraph]));
    }
}
