//! Calibration: finds out which blocks of activations are large, once, when an engine is made.
//!
//! In a decoder the same channels are large, and the same small, whatever it reads, so a few lines
//! show them. (For Gemma 3 270M, 14 bits for a fifth of the blocks take three quarters of the
//! divergence from the plain forward away; for the last tenth of them nearly nothing.) What is found
//! is a property of the model: the same on every machine and in every run, so it changes nothing
//! about who gets which text.
//!
//! The error that rounding a block makes in a product grows with the power of its activations times
//! that of the weights they meet, and matters as far as it is a share of the product. The second
//! plane of 14 bits costs a multiply-add for every output. So blocks get it in the order of that
//! share over the outputs, whichever layer and site they belong to.

use std::sync::Arc;

use crate::kernels::packed::Packed;
use crate::kernels::{BLOCK, Precision, Quantized};

/// What is read for it: both languages, a name, and numbers, in the form of the work to come.
pub const TEXT: &str = "Title: Listening to Ice: Counting Cracks in Lake Ice with Buried Microphones
Abstract: Lake ice breaks in small steps that cannot be seen. We bury 24 microphones and train a \
network, IceNet, that tells cracks from wind and footsteps with an F1 score of 0.91, 3.5 points \
above the best baseline. Over two winters, the number of cracks a night predicts the day of the \
thaw within four days.
标题：聆听冰层：用埋设的麦克风统计湖冰裂缝
摘要：湖冰以肉眼看不见的小步破裂。我们埋设了24个麦克风，并训练了一个名为IceNet的网络，用于区分裂缝声、风声和脚步声，\
F1分数为0.91。";

/// Most tokens that are read of it.
pub const TOKENS: usize = 256;

/// The share of all multiply-adds whose activations have 14 bits, for a model of width `hidden`
/// whose channels are `equalised` or not.
///
/// With it the first choice is that of the plain forward in 99.5 % of positions, for both models
/// whose channels are equalised: the one 640 wide needs half for that, the one 1,536 wide a tenth
/// (99.35 % with none); see `benches/README.md` for other shares. Of other models little is known, so
/// all of theirs have: SmolLM2-135M would have the same first choice in 98.9 % with half of them, in
/// 99.3 % with four fifths, and has it in 99.96 %.
pub fn int14_share(equalised: bool, hidden: usize) -> f64 {
    match (equalised, hidden) {
        (false, _) => 1.0,
        (true, ..1024) => 0.5,
        (true, _) => 0.1,
    }
}

/// A place where activations are rounded: the input of a layer's product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// Query, key and value.
    Qkv,
    /// The output of attention.
    Output,
    /// Gate and up.
    GateUp,
    /// Down.
    Down,
}

/// The power of each group of blocks at each site of each layer, summed over rows.
#[derive(Debug)]
pub struct Calibration {
    layers: Vec<[Vec<f64>; 4]>,
}

/// What the inputs of a site are multiplied with.
#[derive(Debug)]
pub struct Weights {
    outputs: usize,
    /// Blocks of inputs that share scales.
    group: usize,
    /// Of each group of inputs.
    power: Vec<f64>,
}

/// The precision at each site of a layer.
#[derive(Debug, Clone)]
pub struct LayerPrecision([Arc<Precision>; 4]);

impl Calibration {
    /// Nothing is known of any layer.
    pub fn new(layers: usize) -> Calibration {
        Calibration { layers: vec![Default::default(); layers] }
    }

    /// Observes what a site of a layer is about to multiply.
    pub fn observe(&mut self, layer: usize, site: Site, input: &Quantized) {
        let power = &mut self.layers[layer][site as usize];
        power.resize(input.precision().groups(), 0.0);
        input.add_power(power);
    }

    /// The precision that follows, layer by layer, where a `share` of all multiply-adds may have
    /// 14 bits; `weights` are those of each layer's sites.
    pub fn precision(&self, weights: &[[Weights; 4]], share: f64) -> Vec<LayerPrecision> {
        let sites = || self.layers.iter().flatten().zip(weights.iter().flatten());
        let gains: Vec<Vec<f64>> = sites().map(|(power, weights)| weights.gains(power)).collect();
        // (gain, multiply-adds of a row) of every group of every site.
        let mut groups: Vec<(f64, f64)> = gains
            .iter()
            .zip(sites())
            .flat_map(|(gains, (_, w))| gains.iter().map(|&gain| (gain, w.cost())))
            .collect();
        groups.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut left = share * groups.iter().map(|(_, cost)| cost).sum::<f64>();
        let unpaid = groups.iter().find(|(_, cost)| {
            left -= cost;
            left < 0.0
        });
        let limit = unpaid.map_or(f64::NEG_INFINITY, |(gain, _)| *gain);
        let sites: Vec<Arc<Precision>> = gains
            .iter()
            .zip(weights.iter().flatten())
            .map(|(gains, Weights { group, .. })| {
                let width = gains.len() * group * BLOCK;
                Arc::new(Precision::grouped(width, *group, |group| gains[group] > limit))
            })
            .collect();
        sites.as_chunks().0.iter().map(|sites| LayerPrecision(sites.clone())).collect()
    }
}

impl Weights {
    /// Of matrices side by side.
    pub fn of(matrices: &[&Packed]) -> Weights {
        let outputs = matrices.iter().map(|matrix| matrix.outputs()).sum();
        let group = matrices[0].group();
        let mut power = vec![0.0; matrices[0].inputs() / (group * BLOCK)];
        for matrix in matrices {
            power.iter_mut().zip(matrix.power()).for_each(|(sum, power)| *sum += power);
        }
        Weights { outputs, group, power }
    }

    /// The multiply-adds that a group takes of a row.
    fn cost(&self) -> f64 {
        (self.outputs * self.group) as f64
    }

    /// What it gains to give a group 14 bits: the share that its rounding has in the error of the
    /// product, over the multiply-adds that it takes.
    fn gains(&self, activations: &[f64]) -> Vec<f64> {
        let errors: Vec<f64> = activations.iter().zip(&self.power).map(|(a, w)| a * w).collect();
        let all = (errors.iter().sum::<f64>() * self.cost()).max(f64::MIN_POSITIVE);
        errors.iter().map(|error| error / all).collect()
    }
}

impl LayerPrecision {
    /// 8 bits for what these matrices, one for each site, are multiplied with.
    pub fn int8(weights: [&Packed; 4]) -> LayerPrecision {
        let int8 = |w: &Packed| Arc::new(Precision::grouped(w.inputs(), w.group(), |_| false));
        LayerPrecision(weights.map(int8))
    }

    /// That of a site.
    pub fn at(&self, site: Site) -> &Arc<Precision> {
        &self.0[site as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Executor, Isa, blocks::BlockType};

    #[test]
    fn blocks_get_14_bits_where_that_takes_the_most_error_away_for_its_price() {
        // Of equal weights and twenty blocks each, but the last site has ten times the outputs.
        let weights = |outputs| Weights { outputs, group: 1, power: vec![1.0; 20] };
        let weights = [[weights(10), weights(10), weights(10), weights(100)]];
        let mut values = [0.5; 20 * BLOCK];
        values[7 * BLOCK..8 * BLOCK].fill(50.0);
        values[13 * BLOCK..14 * BLOCK].fill(0.02);
        let int8 = Arc::new(Precision::int8(values.len()));
        let even = Quantized::from_rows(&int8, &[0.5; 20 * BLOCK]);
        let mut calibration = Calibration::new(1);
        for site in [Site::Qkv, Site::Output, Site::GateUp, Site::Down] {
            let values = Quantized::from_rows(&int8, &values);
            calibration.observe(0, site, if site == Site::Output { &even } else { &values });
        }
        let precision = &calibration.precision(&weights, 0.5)[0];
        let int14 = |site| {
            let precision = precision.at(site);
            (0..20).filter(|&block| precision.low(block).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(int14(Site::Output), Vec::from_iter(0..20), "each is a twentieth of the error");
        let all_but_the_least = Vec::from_iter((0..20).filter(|block| *block != 13));
        assert_eq!(int14(Site::Qkv), all_but_the_least, "the large one makes nearly all of it");
        assert_eq!(int14(Site::GateUp), all_but_the_least);
        assert_eq!(int14(Site::Down), [7], "the others cost ten times as much");
    }

    #[test]
    fn weights_that_are_zero_gain_nothing() {
        let mut exec = Executor::new(Isa::SCALAR, 1);
        let packed = Packed::from_blocks(&mut exec, BlockType::F32, &[0; 32 * 64 * 4], 32, 64);
        let weights = Weights::of(&[&packed, &packed]);
        assert_eq!((weights.outputs, weights.gains(&[1.0, 2.0])), (64, vec![0.0, 0.0]));
    }
}
