//! Where the time of the steps goes.

use std::time::{Duration, Instant};

use crate::generate::Profile;

/// A phase of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Residuals, norms and quantization.
    Norm,
    /// The query, key and value products.
    Qkv,
    /// Head norms, rotation, and storing of keys and values.
    Rope,
    /// Attention itself.
    Attention,
    /// The output product and the quantization before it.
    Output,
    /// The gate and up products with their activation.
    GateUp,
    /// The down product.
    Down,
    /// The head, and picking.
    Head,
}

const NAMES: [&str; 8] = ["norm", "qkv", "rope", "attention", "output", "gate_up", "down", "head"];

/// Adds up the time of each phase.
#[derive(Debug, Default)]
pub struct Clock {
    last: Option<Instant>,
    spent: [Duration; NAMES.len()],
}

impl Clock {
    /// A step begins.
    pub fn start(&mut self) {
        self.last = Some(Instant::now());
    }

    /// The phase since the last call was `phase`.
    pub fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.spent[phase as usize] += now - last;
        }
    }

    /// Takes what another clock has measured over, as one of `beside` that ran at the same time.
    pub fn absorb(&mut self, other: &mut Clock, beside: u32) {
        for (spent, other) in self.spent.iter_mut().zip(&mut other.spent) {
            *spent += std::mem::take(other) / beside;
        }
    }

    /// What was measured so far.
    pub fn profile(&self) -> Profile {
        Profile { phases: NAMES.into_iter().zip(self.spent).collect() }
    }
}
