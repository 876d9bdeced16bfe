//! What a writer is put together from: a model and what goes with it.

use std::num::NonZero;
use std::path::PathBuf;

use crate::card::{self, Card};
use crate::engine::candle::Devices;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, ModelRef};
use crate::generate::Sampling;
use crate::glossary::Glossary;
use crate::guard::Rules;
use crate::prompt::Template;
use crate::summary::Fields;

/// Most texts of a paper that are written side by side.
pub const MAX_BEAMS: u32 = 16;
/// Most papers at a time.
pub const MAX_PAPERS: u32 = 1024;

/// A model and what is merged into it.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// The base model.
    pub model: ModelRef,
    /// What is merged into it.
    pub adapter: AdapterChoice,
}

/// Which adapter is merged into a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The one that the model's card names, if it does.
    Own,
    /// None.
    None,
    /// A safetensors file.
    File(PathBuf),
}

/// Which terms prompts tell.
#[derive(Debug, Clone)]
pub enum GlossaryChoice {
    /// Those of the glossary that the model's card names, if it does.
    Own,
    /// None.
    None,
    /// The user's, and then those.
    File(Glossary),
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// The CPU engine on a CPU, candle elsewhere.
    #[default]
    Auto,
    /// The CPU engine.
    Cpu,
    /// candle's.
    Candle,
}

/// What computes, and how.
#[derive(Debug, Clone, Default)]
pub struct EngineChoice {
    /// The engine.
    pub kind: EngineKind,
    /// Where it computes.
    pub devices: Devices,
    /// Whether all of the vocabulary is scored where a shortlist would do.
    pub full_vocabulary: bool,
    /// Threads; `None`: as many as there are cores. No more than that are started: they would only
    /// wait for one another.
    pub threads: Option<usize>,
}

impl EngineChoice {
    /// The threads that this comes to.
    pub fn thread_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or(cores, |threads| threads.min(cores))
    }

    /// Whether the engine computes on the devices that were chosen.
    pub(crate) fn check(&self) -> Result<()> {
        if self.kind == EngineKind::Cpu && !self.devices.is_cpu() {
            let message = format!("the engine cpu does not run on {}", self.devices);
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("leave out --engine, or use --device cpu"));
        }
        Ok(())
    }
}

/// Everything that a writer is put together from.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The model.
    pub model: ModelChoice,
    /// A prompt instead of the model's own.
    pub prompt: Option<Template>,
    /// The terms that prompts tell.
    pub glossary: GlossaryChoice,
    /// What is written about a paper.
    pub fields: Fields,
    /// What holds the text while it is written.
    pub guards: Rules,
    /// How many texts of a paper are written side by side, of which the likeliest is kept, up to
    /// [`MAX_BEAMS`]; one is greedy. `None`: as many as the model's card says.
    pub beams: Option<usize>,
    /// What computes.
    pub engine: EngineChoice,
    /// Papers at a time, up to [`MAX_PAPERS`]; `None`: as many as memory allows.
    pub batch: Option<usize>,
}

impl Choices {
    /// The model that `spec` names, and everything as it is made for it. `spec` is the name of a
    /// card or its alias, a path to a GGUF file, or `hf:OWNER/NAME:FILE[@REVISION]`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where `spec` names nothing.
    pub fn new(spec: &str) -> Result<Self> {
        Ok(Choices {
            model: ModelChoice { model: fetch::resolve(spec)?, adapter: AdapterChoice::Own },
            prompt: None,
            glossary: GlossaryChoice::Own,
            fields: Fields::ALL,
            guards: Rules::ALL,
            beams: None,
            engine: EngineChoice::default(),
            batch: None,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        self.engine.check()?;
        let bounds = [
            ("papers at a time", self.batch, MAX_PAPERS as usize),
            ("texts of a paper", self.beams, MAX_BEAMS as usize),
            ("threads", self.engine.threads, usize::MAX),
        ];
        for (what, number, most) in bounds {
            if number.is_some_and(|number| number == 0 || number > most) {
                let number = number.unwrap_or_default();
                return Err(Error::new(ErrorKind::Usage, format!("{number} {what} cannot be")));
            }
        }
        Ok(())
    }

    /// How many texts of a paper are written side by side.
    pub fn beams(&self) -> usize {
        let of_card = || self.model.card().and_then(|card| card.beams);
        self.beams.or_else(of_card).unwrap_or(1)
    }

    /// How tokens are picked in a first attempt at a paper.
    pub fn sampling(&self) -> Sampling {
        match self.beams() {
            0 | 1 => Sampling::Greedy,
            width => Sampling::Beam { width },
        }
    }
}

impl ModelChoice {
    /// The model's card, if it has one.
    pub fn card(&self) -> Option<&'static Card> {
        match &self.model {
            ModelRef::Card(card) => Some(card),
            ModelRef::Path(_) | ModelRef::Hub(_) => None,
        }
    }

    /// The adapter that the card names.
    pub(super) fn own_adapter(&self) -> Option<&'static card::BuiltIn> {
        self.card()?.adapter.as_ref()
    }

    /// The glossary whose terms `prompt` is to tell.
    pub(super) fn glossary(
        &self,
        choice: &GlossaryChoice,
        prompt: &Template,
    ) -> Result<Option<Glossary>> {
        let own = || {
            let text = self.card().and_then(Card::glossary_text);
            text.map(|text| Glossary::parse("of the model", text)).transpose()
        };
        match choice {
            GlossaryChoice::None => Ok(None),
            GlossaryChoice::Own if prompt.tells_terms() => own(),
            GlossaryChoice::Own => Ok(None),
            GlossaryChoice::File(file) if prompt.tells_terms() => {
                Ok(Some(file.clone().over(own()?.unwrap_or_default())))
            }
            GlossaryChoice::File(_) => {
                let message = format!("the prompt {} has no place for terms", prompt.name());
                Err(Error::new(ErrorKind::Usage, message)
                    .hint("leave out --glossary, or use a prompt with `{% for t in terms %}`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_side_by_side_are_those_of_the_card_unless_asked_for() {
        let default = Choices::new(card::DEFAULT).unwrap();
        assert_eq!(default.sampling(), Sampling::Beam { width: 4 });
        assert_eq!(Choices::new(card::SMALL).unwrap().sampling(), Sampling::Greedy);
        let asked = Choices { beams: Some(1), ..default.clone() };
        assert_eq!(asked.sampling(), Sampling::Greedy);
    }
}
