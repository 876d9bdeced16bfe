//! Attention: which spans of a step attend together, and how.
//!
//! A span of several rows attends by itself, to the keys of its own sequence. The spans of one row
//! whose sequences share a block attend in one operation over all lanes of the block, and what they
//! may not see has minus infinity added: lanes are as long as the longest of them there, and lanes
//! that have no row in this step compute something that nobody takes. The texts of a beam attend to the lane
//! of their sequence together, each to its own cells (tree attention, Miao et al. 2024, "SpecInfer").

use std::ops::Range;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use rayon::prelude::*;

use super::cache::{Block, KvCache, Place};
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
    /// The first row in the step, and how many there are.
    first_row: usize,
    rows: usize,
    /// Where their keys and values go.
    destination: Destination,
    /// For each window of the model which keys are read, and what is added to their scores.
    views: Vec<SpanView>,
}

/// Where the keys and values of a span's rows go.
enum Destination {
    /// To cells of the lane that follow one another, from this one on.
    Stretch(usize),
    /// As `destinations` says.
    Scattered(Tensor),
}

/// The keys that the rows of a span see with one window.
struct SpanView {
    window: Option<usize>,
    first_key: usize,
    keys: usize,
    /// (rows, keys): 0 or minus infinity; `None` where the only row sees all of them.
    mask: Option<Tensor>,
}

/// Spans of one row whose sequences share a block. The texts of a beam have one lane: `width` is the most rows
/// that any lane has.
struct Together<'a> {
    block: &'a Block,
    width: usize,
    /// For each place a row of the step, (lanes · width): its own, or any.
    row_of_place: Tensor,
    /// The rows (members), and their places (members).
    rows: Tensor,
    places: Tensor,
    /// Where their keys and values go, as `destinations` says.
    destinations: Tensor,
    /// For each window of the model which keys are read, and what is added to their scores.
    views: Vec<View>,
}

/// The keys that the rows of a block see with one window.
struct View {
    window: Option<usize>,
    first_key: usize,
    keys: usize,
    /// (lanes, 1, width, 1, keys): 0 or minus infinity.
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
            let (Place { block, .. }, _) = cache.held(span.slot);
            if members.len() <= block {
                members.resize_with(block + 1, Vec::new);
            }
            members[block].push(span);
        }
        members.iter_mut().filter(|members| members.len() < 2).for_each(Vec::clear);
        let in_group = |span: &Span<'_>| {
            let of_block = members.get(cache.held(span.slot).0.block);
            span.rows.len() == 1 && of_block.is_some_and(|members| !members.is_empty())
        };
        let windows = windows_of(config);
        let alone: Vec<Alone<'_>> = spans
            .iter()
            .filter(|span| !in_group(span))
            .map(|span| {
                let (place, cells) = cache.held(span.slot);
                let block = cache.block(place.block);
                let rows = span.rows.clone();
                Alone::new(block, place.lane, cells, rows, config, &windows, device)
            })
            .collect::<Result<_>>()?;
        let groups = members.iter().enumerate().filter(|(_, members)| !members.is_empty());
        let together: Vec<Together<'_>> = groups
            .clone()
            .map(|(block, members)| {
                let held: Vec<(Place, &[u32])> =
                    members.iter().map(|span| cache.held(span.slot)).collect();
                let rows: Vec<usize> = members.iter().map(|span| span.rows.start).collect();
                Together::new(cache.block(block), &rows, &held, config, &windows, device)
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
        let cells: Vec<u32> = (0..rows as u32).collect();
        let alone = Alone::new(block, 0, &cells, 0..rows, config, &windows_of(config), device)?;
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
        // All of them before any is read: spans may share a tensor, which whoever reads it locks.
        self.alone.iter().try_for_each(|span| span.store(layer, [k, v]))?;
        let attend = |span: &Alone<'_>| span.attend(layer, window, q);
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

impl<'a> Alone<'a> {
    /// The span of `rows` whose positions, the last of which are theirs, have `cells`.
    fn new(
        block: &'a Block,
        lane: usize,
        cells: &[u32],
        rows: Range<usize>,
        config: &Config,
        windows: &[Option<usize>],
        device: &Device,
    ) -> Result<Alone<'a>> {
        let new = &cells[cells.len() - rows.len()..];
        let destination = match new.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            true => Destination::Stretch(new[0] as usize),
            false => {
                let cells = new.iter().map(|cell| (lane, *cell));
                Destination::Scattered(destinations(block, config, cells, device)?)
            }
        };
        let view = |window: &Option<usize>| SpanView::new(*window, cells, rows.len(), device);
        let views = windows.iter().map(view).collect::<Result<_>>()?;
        Ok(Alone { block, lane, first_row: rows.start, rows: rows.len(), destination, views })
    }

    /// The rows of the span, heads first.
    fn of_span(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(0, self.first_row, self.rows)?.transpose(0, 1)?.contiguous()
    }

    /// Stores its new keys and values.
    fn store(&self, layer: usize, [k, v]: [&Tensor; 2]) -> Result<()> {
        let (keys, values) = &self.block.layers[layer];
        for (cache, new) in [(keys, k), (values, v)] {
            match &self.destination {
                Destination::Stretch(first) => {
                    let of_lane = cache.narrow(0, self.lane, 1)?;
                    of_lane.slice_set(&self.of_span(new)?.unsqueeze(0)?, 2, *first)?;
                }
                Destination::Scattered(destinations) => {
                    scatter(cache, &new.narrow(0, self.first_row, self.rows)?, destinations)?;
                }
            }
        }
        Ok(())
    }

    fn attend(&self, layer: usize, window: Option<usize>, q: &Tensor) -> Result<Tensor> {
        let (keys, values) = &self.block.layers[layer];
        let view = self.views.iter().find(|view| view.window == window);
        let view = view.expect("a view for every window");
        let of_lane = |cache: &Tensor| cache.narrow(0, self.lane, 1)?.squeeze(0);
        attend_span(&self.of_span(q)?, &of_lane(keys)?, &of_lane(values)?, view)
    }
}

impl<'a> Together<'a> {
    /// `rows` of the step, the positions of whose slots, the last of which is the row's, are as `held` says.
    fn new(
        block: &'a Block,
        rows: &[usize],
        held: &[(Place, &[u32])],
        config: &Config,
        windows: &[Option<usize>],
        device: &Device,
    ) -> Result<Together<'a>> {
        let mut of_lanes = vec![0; block.lanes()];
        // Which one it is of its lane.
        let nth: Vec<usize> = held
            .iter()
            .map(|(place, _)| {
                of_lanes[place.lane] += 1;
                of_lanes[place.lane] - 1
            })
            .collect();
        let width = of_lanes.into_iter().max().unwrap_or(1);
        let places: Vec<usize> =
            held.iter().zip(nth).map(|((place, _), nth)| place.lane * width + nth).collect();
        let mut row_of_place = vec![rows[0] as u32; block.lanes() * width];
        let mut cells_of_place: Vec<Option<&[u32]>> = vec![None; block.lanes() * width];
        for ((place, row), (_, cells)) in places.iter().zip(rows).zip(held) {
            row_of_place[*place] = *row as u32;
            cells_of_place[*place] = Some(cells);
        }
        let new = held.iter().map(|(place, cells)| (place.lane, cells[cells.len() - 1]));
        let view = |window: &Option<usize>| View::new(*window, &cells_of_place, width, device);
        let to_device = |numbers: Vec<u32>| Tensor::new(numbers, device);
        Ok(Together {
            block,
            width,
            row_of_place: to_device(row_of_place)?,
            rows: to_device(rows.iter().map(|row| *row as u32).collect())?,
            places: to_device(places.iter().map(|place| *place as u32).collect())?,
            destinations: destinations(block, config, new, device)?,
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
        let (heads, width) = (q.dim(1)?, self.width);
        let of_key = heads / kv_heads;
        for (cache, new) in [(keys, k), (values, v)] {
            scatter(cache, &new.index_select(&self.rows, 0)?, &self.destinations)?;
        }
        let view = self.views.iter().find(|view| view.window == window);
        let View { first_key, keys: seen, mask, .. } = view.expect("a view for every window");
        let keys = keys.narrow(2, *first_key, *seen)?;
        let values = values.narrow(2, *first_key, *seen)?;
        // The rows of a lane side by side for each key head: they read its keys together.
        let q = q.index_select(&self.row_of_place, 0)?;
        let q = q.reshape((lanes, width, kv_heads, of_key, head_dim))?.transpose(1, 2)?;
        let q = q.reshape((lanes, kv_heads, width * of_key, head_dim))?;
        let scores = q.matmul(&keys.transpose(2, 3)?)?;
        let scores = scores.reshape((lanes, kv_heads, width, of_key, *seen))?;
        let weights = softmax_last_dim(&scores.broadcast_add(mask)?)?;
        let weights = weights.reshape((lanes, kv_heads, width * of_key, *seen))?;
        let attended = weights.matmul(&values)?;
        let attended = attended.reshape((lanes, kv_heads, width, of_key, head_dim))?;
        let attended = attended.transpose(1, 2)?.reshape((lanes * width, heads, head_dim))?;
        attended.index_select(&self.places, 0)
    }
}

impl View {
    /// What rows see, of each place that has one, of its positions' cells: `width` places a lane.
    fn new(
        window: Option<usize>,
        places: &[Option<&[u32]>],
        width: usize,
        device: &Device,
    ) -> Result<View> {
        let seen: Vec<Option<&[u32]>> = places
            .iter()
            .map(|cells| cells.map(|cells| &cells[first_seen(window, cells.len() - 1)..]))
            .collect();
        let (first_key, keys) = extent(seen.iter().flatten().copied().flatten());
        let mut mask = vec![f32::NEG_INFINITY; places.len() * keys];
        for (seen, mask) in seen.iter().zip(mask.chunks_exact_mut(keys)) {
            match seen {
                Some(cells) => show(cells, first_key, mask),
                // Something has to be seen: without any key a softmax is not a number.
                None => mask.fill(0.0),
            }
        }
        let mask = Tensor::from_vec(mask, (places.len() / width, 1, width, 1, keys), device)?;
        Ok(View { window, first_key, keys, mask })
    }
}

impl SpanView {
    /// What the last `rows` of the positions that have `cells` see with `window`.
    fn new(window: Option<usize>, cells: &[u32], rows: usize, device: &Device) -> Result<SpanView> {
        let start = cells.len() - rows;
        let seen = |row: usize| &cells[first_seen(window, start + row)..=start + row];
        // The first row sees furthest back.
        let (first_key, keys) = extent(&cells[first_seen(window, start)..]);
        let mask = (rows > 1 || seen(0).len() < keys).then(|| {
            let mut mask = vec![f32::NEG_INFINITY; rows * keys];
            for (row, mask) in mask.chunks_exact_mut(keys).enumerate() {
                show(seen(row), first_key, mask);
            }
            Tensor::from_vec(mask, (rows, keys), device)
        });
        Ok(SpanView { window, first_key, keys, mask: mask.transpose()? })
    }
}

/// Lets a row see `cells` of those from `first` on, of which its mask is.
fn show(cells: &[u32], first: usize, mask: &mut [f32]) {
    cells.iter().for_each(|cell| mask[*cell as usize - first] = 0.0);
}

/// The first position that one at `position` sees.
fn first_seen(window: Option<usize>, position: usize) -> usize {
    window.map_or(0, |window| (position + 1).saturating_sub(window))
}

/// The first of `cells`, and how many there are from there to the last one, others among them.
fn extent<'a>(cells: impl IntoIterator<Item = &'a u32>) -> (usize, usize) {
    let ends = cells.into_iter().fold(None, |ends, cell| {
        let (first, last) = ends.unwrap_or((*cell, *cell));
        Some((first.min(*cell), last.max(*cell)))
    });
    let (first, last) = ends.unwrap_or((0, 0));
    (first as usize, (last - first) as usize + 1)
}

/// Where keys and values of rows go whose lanes and cells are `cells`, in the block as a matrix of head_dim
/// columns: its row for every value, (rows · kv_heads, head_dim).
fn destinations(
    block: &Block,
    config: &Config,
    cells: impl Iterator<Item = (usize, u32)>,
    device: &Device,
) -> Result<Tensor> {
    let Config { kv_heads, head_dim, .. } = *config;
    let rows = cells.flat_map(|(lane, cell)| {
        (0..kv_heads).map(move |head| (lane * kv_heads + head, cell as usize))
    });
    let rows: Vec<u32> = rows
        .map(|(head, cell)| (head * block.capacity + cell) as u32)
        .flat_map(|row| std::iter::repeat_n(row, head_dim))
        .collect();
    let shape = (rows.len() / head_dim, head_dim);
    Tensor::from_vec(rows, shape, device)
}

/// Writes `new` (rows, kv_heads, head_dim) to `destinations` of a block's keys or values.
fn scatter(cache: &Tensor, new: &Tensor, destinations: &Tensor) -> Result<()> {
    let head_dim = cache.dim(D::Minus1)?;
    let new = new.contiguous()?.reshape(((), head_dim))?;
    cache.reshape(((), head_dim))?.scatter_set(destinations, &new, 0)
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
