//! Threads that go through the layers together, and what they need for it.

use std::sync::Arc;
use std::time::Duration;

use super::calibration::{Calibration, Site};
use super::profile::{Clock, Phase};
use crate::kernels::attention::AttentionScratch;
use crate::kernels::gemm::Scratch;
use crate::kernels::rows::{self, Norm};
use crate::kernels::{Executor, Isa, Precision, Quantized, Tiled};

/// Some threads with buffers of their own.
pub struct Team {
    pub exec: Executor,
    pub work: Workspace,
    pub clock: Clock,
    /// How long the last pass took.
    pub took: Duration,
}

/// Buffers that live from step to step, so that a step allocates nothing once they have grown.
#[derive(Default)]
pub struct Workspace {
    /// The residual stream, (rows, hidden).
    pub hidden: Vec<f32>,
    /// Input of the product at hand.
    pub input: Quantized,
    /// Result of the product at hand.
    pub product: Tiled,
    /// Gated activations, input of the down product.
    pub gated: Quantized,
    pub queries: Vec<f32>,
    pub attended: Vec<f32>,
    pub gemm: Scratch,
    pub attention: AttentionScratch,
    /// A row of the embedding, as the file has it.
    pub bytes: Vec<u8>,
    /// Observes activations while an engine is made.
    pub calibration: Option<Calibration>,
}

impl Team {
    pub fn new(isa: Isa, threads: usize) -> Team {
        Team {
            exec: Executor::new(isa, threads),
            work: Workspace::default(),
            clock: Clock::default(),
            took: Duration::ZERO,
        }
    }

    /// Adds the last product to the residual stream, through the norm that `before` has, and puts
    /// the normed sum where the next product takes it from.
    pub fn add_and_norm(
        &mut self,
        before: Option<Option<Norm<'_>>>,
        next: Option<(Norm<'_>, &Arc<Precision>)>,
    ) {
        let Team { exec, work, clock, .. } = self;
        let update = before.map(|norm| (&work.product, norm));
        let next = next.map(|(norm, precision)| (norm, precision, &mut work.input));
        rows::add_and_norm(exec, &mut work.hidden, update, next);
        clock.lap(Phase::Norm);
    }
}

impl Workspace {
    /// Forgets all of `count` rows of the residual stream and of the queries but `kept`, which ascend.
    pub fn keep_rows(&mut self, kept: &[usize], count: usize) {
        for values in [&mut self.hidden, &mut self.queries] {
            let width = values.len() / count;
            for (to, from) in kept.iter().enumerate() {
                values.copy_within(from * width..(from + 1) * width, to * width);
            }
            values.truncate(kept.len() * width);
        }
    }

    /// Lets the calibration, if there is one, see what a site of a layer is about to multiply.
    pub fn observe(&mut self, layer: usize, site: Site) {
        if let Some(calibration) = &mut self.calibration {
            let down = site == Site::Down;
            calibration.observe(layer, site, if down { &self.gated } else { &self.input });
        }
    }
}
