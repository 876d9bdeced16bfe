//! When a field may end: not before it can be whole.
//!
//! The bounds are those of the references and of [`crate::summary`], a little inside of them.

use crate::summary::{Field, Source, TLDR_CHARS};

/// Fewest characters of a paragraph, in per cent of its abstract's. References lie at 20 to 45.
const PARAGRAPH_PERCENT: usize = 18;
/// Fewest characters of a title.
const TITLE_CHARS: usize = 3;

/// How much text a summary needs.
#[derive(Debug)]
pub(super) struct Extent {
    /// Fewest characters of the paragraph.
    paragraph: usize,
}

impl Extent {
    pub(super) fn of(source: &Source<'_>) -> Extent {
        Extent {
            paragraph: (source.abstract_text.chars().count() * PARAGRAPH_PERCENT).div_ceil(100),
        }
    }

    /// Whether `field` may end after `chars`.
    pub(super) fn may_end(&self, field: Field, chars: &[char]) -> bool {
        let least = match field {
            Field::Title => TITLE_CHARS,
            Field::Tldr => *TLDR_CHARS.start(),
            Field::Paragraph => self.paragraph,
        };
        // Blanks at the ends are tidied away.
        let blanks = |chars: &mut dyn Iterator<Item = &char>| {
            chars.take_while(|c| c.is_whitespace()).count()
        };
        let around = blanks(&mut chars.iter()) + blanks(&mut chars.iter().rev());
        chars.len().saturating_sub(around) >= least
    }
}
