//! Cards, as their makers describe them.

/// What a maker says of a card: peaks, which nothing reaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    /// What `--device` calls it.
    pub name: &'static str,
    /// What the maker calls it.
    pub full_name: &'static str,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes a second from memory.
    pub bandwidth: f64,
    /// Operations of int8 a second, dense: a multiply-add is two.
    pub int8_ops: f64,
    /// Operations of bf16 a second, dense (of f16 where there is no bf16).
    pub bf16_ops: f64,
    /// Watts of board power at most.
    pub watts: f64,
}

/// All that are known, the fastest first.
///
/// Sources, all NVIDIA's: the data sheets "H200 Tensor Core GPU", "H100 Tensor Core GPU" (its columns
/// SXM and PCIe; memory and power of the latter also in the product brief PB-11133-001), "A100 80GB"
/// (nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf, SXM), "L40S", "L4", "A10" and "T4"; for
/// GeForce cards the whitepapers "NVIDIA Ada GPU Architecture" (RTX 4090, appendix A) and "NVIDIA
/// Ampere GA102 GPU Architecture" (RTX 3090, appendix A), bf16 with f32 sums. Where a sheet gives
/// operations "with sparsity", half of them stand here.
pub const CARDS: [Card; 10] = [
    card("h200", "H200 SXM", 141, 4.8e12, 1979e12, 989e12, 700.0),
    card("h100", "H100 SXM", 80, 3.35e12, 1979e12, 989e12, 700.0),
    card("h100-pcie", "H100 PCIe", 80, 2.0e12, 1513e12, 756e12, 350.0),
    card("a100", "A100 SXM 80 GB", 80, 2.039e12, 624e12, 312e12, 400.0),
    card("l40s", "L40S", 48, 864e9, 733e12, 362e12, 350.0),
    card("4090", "GeForce RTX 4090", 24, 1008e9, 660.6e12, 165.2e12, 450.0),
    card("3090", "GeForce RTX 3090", 24, 936e9, 284e12, 71e12, 350.0),
    card("a10", "A10", 24, 600e9, 250e12, 125e12, 150.0),
    card("l4", "L4", 24, 300e9, 242.5e12, 121e12, 72.0),
    card("t4", "T4", 16, 320e9, 130e12, 65e12, 70.0),
];

const fn card(
    name: &'static str,
    full_name: &'static str,
    gigabytes: u64,
    bandwidth: f64,
    int8_ops: f64,
    bf16_ops: f64,
    watts: f64,
) -> Card {
    let memory_bytes = gigabytes * 1_000_000_000;
    Card { name, full_name, memory_bytes, bandwidth, int8_ops, bf16_ops, watts }
}

impl Card {
    /// The card that `--device` calls `name`.
    pub fn find(name: &str) -> Option<&'static Card> {
        CARDS.iter().find(|card| card.name == name)
    }
}
