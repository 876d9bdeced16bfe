//! Finds out which blocks of activations are large, once, when an engine is made.
//!
//! In a decoder the same channels are large, and the same small, whatever it reads, so a few lines
//! show them. (For Gemma 3 270M a fifth of the blocks takes three quarters of the divergence from
//! the plain forward away; the last tenth of them nearly nothing.) What is found is a property
//! of the model: the same on every machine and in every run, so it changes nothing about who gets
//! which text.

use std::sync::Arc;

use crate::kernels::{BLOCK, Grain, Quantized};

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

/// One in so many blocks is coarse: those of the least power. With a tenth coarse the first choice
/// is that of the plain forward in 99.6 % of positions; see `benches/README.md` for other shares.
const COARSE_ONE_IN: usize = 10;

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

/// The power of each block at each site of each layer, summed over rows.
#[derive(Debug)]
pub struct Census {
    layers: Vec<[Vec<f64>; 4]>,
}

/// The grains of a layer's sites.
#[derive(Debug, Clone)]
pub struct Grains([Arc<Grain>; 4]);

impl Census {
    /// Nothing is known of any layer.
    pub fn new(layers: usize) -> Census {
        Census { layers: vec![Default::default(); layers] }
    }

    /// Counts what a site of a layer is about to multiply.
    pub fn count(&mut self, layer: usize, site: Site, input: &Quantized) {
        let power = &mut self.layers[layer][site as usize];
        power.resize(input.blocks(), 0.0);
        input.add_power(power);
    }

    /// The grains that follow, layer by layer.
    pub fn grains(&self) -> impl Iterator<Item = Grains> {
        self.layers.iter().map(|sites| {
            let grain = |power: &Vec<f64>| {
                Grain::of_power(power, power.len() - power.len() / COARSE_ONE_IN)
            };
            Grains(sites.each_ref().map(|power| Arc::new(grain(power))))
        })
    }
}

impl Grains {
    /// Coarse for inputs of these widths.
    pub fn coarse(hidden: usize, attended: usize, ffn_hidden: usize) -> Grains {
        let grain = |width: usize| Arc::new(Grain::coarse(width.next_multiple_of(BLOCK)));
        Grains([hidden, attended, hidden, ffn_hidden].map(grain))
    }

    /// That of a site.
    pub fn at(&self, site: Site) -> &Arc<Grain> {
        &self.0[site as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_the_least_power_stay_coarse() {
        let mut census = Census::new(1);
        let mut values = [0.5; 2 * COARSE_ONE_IN * BLOCK];
        values[7 * BLOCK..8 * BLOCK].fill(0.1);
        values[13 * BLOCK..14 * BLOCK].fill(0.2);
        let coarse = Arc::new(Grain::coarse(values.len()));
        for site in [Site::Qkv, Site::Output, Site::GateUp, Site::Down] {
            census.count(0, site, &Quantized::from_rows(&coarse, &values));
        }
        let grains: Vec<Grains> = census.grains().collect();
        let fine = Grain::of(values.len(), |block| block != 7 && block != 13);
        assert_eq!(**grains[0].at(Site::Down), fine);
    }
}
