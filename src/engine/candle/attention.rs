//! Attention: which spans of a step attend together, and how.
//!
//! A span of several rows attends by itself, to the keys of its own sequence. The spans of one row
//! whose sequences share a block attend in one operation over all lanes of the block, and what they
//! may not see has minus infinity added: lanes are as long as the longest of them there, and lanes
//! that have no row in this step compute something that nobody takes.

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use rayon::prelude::*;

use super::cache::{Block, KvCache};
use crate::generate::Span;
use crate::model::Config;

/// Of all layers of a step how its rows attend.
pub struct Plan<'a> {
    alone: Vec<Alone<'a>>,
    together: Vec<Together<'a>>,
    /// Where each row of the step is in what these give one after another; `None`: in order.
    order: Option<Tensor>,
}

/// A span that attends by itself.
struct Alone<'a> {
    block: &'a Block,
    lane: usize,
    /// Position of the first row.
    start: usize,
    /// The first row in the step, and how many there are.
    first_row: usize,
    rows: usize,
    /// For each window of the model which keys are read, and what is added to their scores.
    views: Vec<SpanView>,
}

/// The keys that the rows of a span see with one window.
struct SpanView {
    window: Option<usize>,
    first_key: usize,
    keys: usize,
    /// (rows, keys): 0 or minus infinity; `None` where the only row sees all of them.
    mask: Option<Tensor>,
}

/// Spans of one row whose sequences share a block.
struct Together<'a> {
    block: &'a Block,
    /// For each lane a row of the step, (lanes): its own, or any.
    row_of_lane: Tensor,
    /// The rows (members), and their lanes (members).
    rows: Tensor,
    lanes: Tensor,
    /// Where their keys and values go in the block as a matrix of head_dim columns: its row for
    /// every value, (members · kv_heads, head_dim).
    destinations: Tensor,
    /// For each window of the model which keys are read, and what is added to their scores.
    views: Vec<View>,
}

/// The keys that the rows of a block see with one window.
struct View {
    window: Option<usize>,
    first_key: usize,
    keys: usize,
    /// (lanes, 1, 1, keys): 0 or minus infinity.
    mask: Tensor,
}

impl<'a> Plan<'a> {
    /// How `spans`, whose slots are open in `cache`, attend.
    pub fn new(
        spans: &[Span<'_>],
        cache: &'a KvCache,
        config: &Config,
        device: &Device,
    ) -> Result<Plan<'a>> {
        let mut members: Vec<Vec<&Span<'_>>> = Vec::new();
        for span in spans.iter().filter(|span| span.rows.len() == 1) {
            let block = cache.place(span.slot).block;
            if members.len() <= block {
                members.resize_with(block + 1, Vec::new);
            }
            members[block].push(span);
        }
        members.iter_mut().filter(|members| members.len() < 2).for_each(Vec::clear);
        let in_group = |span: &Span<'_>| {
            let of_block = members.get(cache.place(span.slot).block);
            span.rows.len() == 1 && of_block.is_some_and(|members| !members.is_empty())
        };
        let windows = windows_of(config);
        let alone: Vec<Alone<'_>> = spans
            .iter()
            .filter(|span| !in_group(span))
            .map(|span| {
                let place = cache.place(span.slot);
                let block = cache.block(place.block);
                let views = SpanView::all(span.start, span.rows.len(), &windows, device)?;
                Ok(Alone {
                    block,
                    lane: place.lane,
                    start: span.start,
                    first_row: span.rows.start,
                    rows: span.rows.len(),
                    views,
                })
            })
            .collect::<Result<_>>()?;
        let groups = members.iter().enumerate().filter(|(_, members)| !members.is_empty());
        let together: Vec<Together<'_>> = groups
            .clone()
            .map(|(block, members)| {
                let lanes: Vec<usize> =
                    members.iter().map(|span| cache.place(span.slot).lane).collect();
                Together::new(cache.block(block), members, &lanes, config, &windows, device)
            })
            .collect::<Result<_>>()?;
        let order = match together.is_empty() {
            true => None,
            false => {
                let of_alone = alone.iter().flat_map(|a| a.first_row..a.first_row + a.rows);
                let of_groups =
                    groups.flat_map(|(_, members)| members.iter().map(|m| m.rows.start));
                let rows: Vec<usize> = of_alone.chain(of_groups).collect();
                let mut order = vec![0; rows.len()];
                rows.iter().enumerate().for_each(|(at, row)| order[*row] = at as u32);
                Some(Tensor::new(order, device)?)
            }
        };
        Ok(Plan { alone, together, order })
    }

    /// A sequence by itself, from its first position on, in the only lane of `block`.
    pub fn of_one(
        block: &'a Block,
        rows: usize,
        config: &Config,
        device: &Device,
    ) -> Result<Plan<'a>> {
        let views = SpanView::all(0, rows, &windows_of(config), device)?;
        let alone = Alone { block, lane: 0, start: 0, first_row: 0, rows, views };
        Ok(Plan { alone: vec![alone], together: Vec::new(), order: None })
    }

    /// Stores the new keys and values of a layer and attends: q (rows, heads, head_dim), scaled; k
    /// and v (rows, kv_heads, head_dim). Returns (rows, heads, head_dim).
    pub fn attend(
        &self,
        layer: usize,
        window: Option<usize>,
        [q, k, v]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let attend = |span: &Alone<'_>| span.attend(layer, window, [q, k, v]);
        // The spans are independent: one task each, but for a device that takes tasks in order.
        let mut attended = match q.device() {
            Device::Cpu => self.alone.par_iter().map(attend).collect::<Result<Vec<_>>>()?,
            _ => self.alone.iter().map(attend).collect::<Result<_>>()?,
        };
        for group in &self.together {
            attended.push(group.attend(layer, window, [q, k, v])?);
        }
        let attended = Tensor::cat(&attended, 0)?;
        match &self.order {
            Some(order) => attended.index_select(order, 0),
            None => Ok(attended),
        }
    }
}

impl Alone<'_> {
    fn attend(
        &self,
        layer: usize,
        window: Option<usize>,
        [q, k, v]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let of_span =
            |x: &Tensor| x.narrow(0, self.first_row, self.rows)?.transpose(0, 1)?.contiguous();
        let (keys, values) = &self.block.layers[layer];
        let (keys, values) = (keys.narrow(0, self.lane, 1)?, values.narrow(0, self.lane, 1)?);
        keys.slice_set(&of_span(k)?.unsqueeze(0)?, 2, self.start)?;
        values.slice_set(&of_span(v)?.unsqueeze(0)?, 2, self.start)?;
        let view = self.views.iter().find(|view| view.window == window);
        let view = view.expect("a view for every window");
        attend_span(&of_span(q)?, &keys.squeeze(0)?, &values.squeeze(0)?, view)
    }
}

impl<'a> Together<'a> {
    fn new(
        block: &'a Block,
        members: &[&Span<'_>],
        lanes: &[usize],
        config: &Config,
        windows: &[Option<usize>],
        device: &Device,
    ) -> Result<Together<'a>> {
        let Config { kv_heads, head_dim, .. } = *config;
        let mut row_of_lane = vec![members[0].rows.start as u32; block.lanes()];
        let mut position_of_lane = vec![None; block.lanes()];
        let mut destinations = Vec::with_capacity(members.len() * kv_heads * head_dim);
        for (span, &lane) in members.iter().zip(lanes) {
            row_of_lane[lane] = span.rows.start as u32;
            position_of_lane[lane] = Some(span.start);
            for head in 0..kv_heads {
                let row = (lane * kv_heads + head) * block.capacity + span.start;
                destinations.extend(std::iter::repeat_n(row as u32, head_dim));
            }
        }
        let view = |window: &Option<usize>| View::new(*window, &position_of_lane, device);
        let to_device = |numbers: Vec<u32>| Tensor::new(numbers, device);
        Ok(Together {
            block,
            row_of_lane: to_device(row_of_lane)?,
            rows: to_device(members.iter().map(|span| span.rows.start as u32).collect())?,
            lanes: to_device(lanes.iter().map(|lane| *lane as u32).collect())?,
            destinations: Tensor::from_vec(
                destinations,
                (members.len() * kv_heads, head_dim),
                device,
            )?,
            views: windows.iter().map(view).collect::<Result<_>>()?,
        })
    }

    fn attend(
        &self,
        layer: usize,
        window: Option<usize>,
        [q, k, v]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let (keys, values) = &self.block.layers[layer];
        let (lanes, kv_heads, _, head_dim) = keys.dims4()?;
        let heads = q.dim(1)?;
        for (cache, new) in [(keys, k), (values, v)] {
            let new = new.index_select(&self.rows, 0)?.reshape(((), head_dim))?;
            cache.reshape(((), head_dim))?.scatter_set(&self.destinations, &new, 0)?;
        }
        let view = self.views.iter().find(|view| view.window == window);
        let View { first_key, keys: seen, mask, .. } = view.expect("a view for every window");
        let keys = keys.narrow(2, *first_key, *seen)?;
        let values = values.narrow(2, *first_key, *seen)?;
        let q = q.index_select(&self.row_of_lane, 0)?;
        let q = q.reshape((lanes, kv_heads, heads / kv_heads, head_dim))?;
        let scores = q.matmul(&keys.transpose(2, 3)?)?.broadcast_add(mask)?;
        let attended = softmax_last_dim(&scores)?.matmul(&values)?;
        attended.reshape((lanes, heads, head_dim))?.index_select(&self.lanes, 0)
    }
}

impl View {
    /// What rows at `positions` see, of each lane that has one.
    fn new(window: Option<usize>, positions: &[Option<usize>], device: &Device) -> Result<View> {
        let first_of = |position: usize| window.map_or(0, |w| (position + 1).saturating_sub(w));
        let here = || positions.iter().copied().flatten();
        let first_key = here().map(first_of).min().unwrap_or(0);
        let keys = here().max().map_or(1, |last| last + 1 - first_key);
        let sees = |position: Option<usize>, key: usize| match position {
            Some(position) => (first_of(position)..=position).contains(&key),
            // Something has to be seen: without any key a softmax is not a number.
            None => true,
        };
        let added = positions.iter().flat_map(|position| {
            let keys = first_key..first_key + keys;
            keys.map(move |key| if sees(*position, key) { 0.0 } else { f32::NEG_INFINITY })
        });
        let mask = Tensor::from_vec(added.collect(), (positions.len(), 1, 1, keys), device)?;
        Ok(View { window, first_key, keys, mask })
    }
}

impl SpanView {
    /// What `rows` rows from position `start` on see, with each of `windows`.
    fn all(
        start: usize,
        rows: usize,
        windows: &[Option<usize>],
        device: &Device,
    ) -> Result<Vec<SpanView>> {
        let view = |&window: &Option<usize>| {
            // The first row sees furthest back.
            let first_key = window.map_or(0, |window| (start + 1).saturating_sub(window));
            let keys = start + rows - first_key;
            let visible = |position: usize, key: usize| {
                key <= position && window.is_none_or(|window| position - key < window)
            };
            let value = |at: usize| match visible(start + at / keys, first_key + at % keys) {
                true => 0.0,
                false => f32::NEG_INFINITY,
            };
            let mask = (rows > 1).then(|| {
                let values: Vec<f32> = (0..rows * keys).map(value).collect();
                Tensor::from_vec(values, (rows, keys), device)
            });
            Ok(SpanView { window, first_key, keys, mask: mask.transpose()? })
        };
        windows.iter().map(view).collect()
    }
}

/// The windows that layers of `config` have.
fn windows_of(config: &Config) -> Vec<Option<usize>> {
    let mut windows: Vec<Option<usize>> = config.layers.iter().map(|l| l.window).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// One sequence: q (heads, rows, head_dim) against the keys that `view` says. Returns (rows, heads,
/// head_dim).
fn attend_span(q: &Tensor, keys: &Tensor, values: &Tensor, view: &SpanView) -> Result<Tensor> {
    let (heads, rows, head_dim) = q.dims3()?;
    let kv_heads = keys.dim(0)?;
    let keys = keys.narrow(1, view.first_key, view.keys)?;
    let values = values.narrow(1, view.first_key, view.keys)?;
    let q = q.reshape((kv_heads, heads / kv_heads * rows, head_dim))?;
    let mut scores = q.matmul(&keys.transpose(1, 2)?)?;
    if let Some(mask) = &view.mask {
        scores = scores
            .reshape((kv_heads, heads / kv_heads, rows, view.keys))?
            .broadcast_add(mask)?
            .reshape((kv_heads, heads / kv_heads * rows, view.keys))?;
    }
    let attended = softmax_last_dim(&scores)?.matmul(&values)?;
    attended.reshape((heads, rows, head_dim))?.transpose(0, 1)?.contiguous()
}
