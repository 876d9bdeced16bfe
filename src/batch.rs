//! How many papers are written at a time: as many as what is free of memory has room for, up to a number beyond
//! which there is little to gain. And how much a step computes.

use crate::generate::{Beside, Limits};
use crate::model::Config;

/// Most positions of one sequence: the longest prompt that templates ask for and its answer, with
/// room for a worked example or two.
pub(crate) const MAX_CONTEXT: usize = 4096;
/// Positions that are reserved for each sequence on average: 28 MB with the default model. A paper takes
/// up to 1,100 with the default prompt (380 of prompt, 720 for the answer at its bounds); where a batch has longer
/// ones, fewer of them run at a time.
pub(crate) const POSITIONS_PER_SEQUENCE: usize = 1024;
/// Most papers at a time where the user says nothing; more gain little, and take memory.
const MAX_BATCH: usize = 64;
/// The same on a card, where a step reads the weights once for all of them.
const MAX_CARD_BATCH: usize = 256;
/// The share of the memory that is free once a model is loaded which keys and values may take.
const SHARE_FOR_KEYS_AND_VALUES: f64 = 0.7;
/// Most rows of a step. Prefill is bound by arithmetic at a few hundred rows; more would only
/// keep the sequences that write waiting.
pub(crate) const ROWS_PER_STEP: usize = 512;
/// Most rows of prompts beside sequences that write, on a processor: products are as fast with these
/// as with more (`benches/README.md`). On a card a step takes as many as it can.
pub(crate) const PREFILL_ROWS: usize = 64;

/// How many papers are written at a time, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Papers at a time.
    pub papers: usize,
    /// The memory that decided it: bytes that are free, and bytes that a paper takes at most;
    /// `None` where the user did, or the system does not tell.
    pub memory: Option<(u64, u64)>,
}

impl Batch {
    /// So many papers, whatever the memory.
    pub(crate) fn of(papers: usize) -> Batch {
        Batch { papers, memory: None }
    }

    /// On a processor that has loaded the model: as many papers of `each` bytes as `free` bytes have room for, where
    /// that is known, and `asked` of them or else a usual number at most. Texts of a paper's beam take `beside`.
    pub(crate) fn on_processor(
        free: Option<u64>,
        each: u64,
        asked: Option<usize>,
        beside: Beside,
    ) -> Batch {
        let most = asked.unwrap_or(most_on_processor(beside));
        match free {
            Some(free) => Batch::that_fits(free, each, most),
            None => Batch::of(most),
        }
    }

    /// The same on a card, which takes memory for `lanes` papers at a time: whole blocks of them where nobody asked
    /// for a number, and there is room for more than one.
    pub(crate) fn on_card(
        free: u64,
        each: u64,
        lanes: usize,
        asked: Option<usize>,
        beside: Beside,
    ) -> Batch {
        if let Some(asked) = asked {
            return Batch::that_fits(free, each, asked);
        }
        let Batch { papers, memory } = Batch::that_fits(free, each, most_on_card(beside));
        let papers = if papers > lanes { papers - papers % lanes } else { papers };
        Batch { papers, memory }
    }

    /// As many papers as go into the share of `free` bytes that is theirs: at least one, and at most `most`.
    fn that_fits(free: u64, each: u64, most: usize) -> Batch {
        let room = (free as f64 * SHARE_FOR_KEYS_AND_VALUES) as u64 / each;
        let papers = usize::try_from(room).unwrap_or(most).clamp(1, most);
        Batch { papers, memory: Some((free, each)) }
    }
}

/// So many papers that all take no more memory than [`MAX_BATCH`] without a beam.
fn most_on_processor(beside: Beside) -> usize {
    let each = POSITIONS_PER_SEQUENCE + beside.positions;
    (MAX_BATCH * POSITIONS_PER_SEQUENCE / each).max(1)
}

/// So many that a step has a row for each of their texts.
fn most_on_card(beside: Beside) -> usize {
    MAX_CARD_BATCH.min(ROWS_PER_STEP / beside.slots.max(1)).max(1)
}

/// The bounds of steps on a processor for `sequences` at a time that reserve `positions` each, with
/// the decoder that `config` describes.
pub(crate) fn limits_of(config: &Config, sequences: usize, positions: usize) -> Limits {
    let max_context = MAX_CONTEXT.min(config.context_length);
    Limits {
        max_sequences: sequences,
        rows_per_step: ROWS_PER_STEP,
        prefill_rows: PREFILL_ROWS,
        max_context,
        kv_positions: (sequences * positions).max(max_context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: u64 = 28 << 20;
    const ALONE: Beside = Beside { slots: 0, positions: 0 };

    #[test]
    fn as_many_papers_at_a_time_as_there_is_memory_for() {
        for (free, papers) in [(0, 1), (EACH, 1), (10 * EACH, 7), (1 << 40, MAX_BATCH)] {
            let batch = Batch::on_processor(Some(free), EACH, None, ALONE);
            assert_eq!(batch, Batch { papers, memory: Some((free, EACH)) }, "{free} bytes");
        }
        for (free, papers) in [(0, 1), (41 * EACH, 28), (50 * EACH, 32), (1 << 40, MAX_CARD_BATCH)]
        {
            let batch = Batch::on_card(free, EACH, 32, None, ALONE);
            assert_eq!(batch.papers, papers, "{free} bytes of a card");
        }
        assert_eq!(Batch::on_card(51 * EACH, EACH, 32, Some(40), ALONE).papers, 35);
    }

    #[test]
    fn papers_of_several_texts_are_fewer() {
        // A prompt of one's own may bound its fields by anything.
        let most = |positions| most_on_processor(Beside { slots: 1, positions });
        assert_eq!([0, 4 * 560, 16 * 16384].map(most), [MAX_BATCH, 20, 1]);
        let most = |slots| most_on_card(Beside { slots, positions: 560 * slots });
        assert_eq!([0, 2, 4, 600].map(most), [256, 256, 128, 1]);
    }
}
