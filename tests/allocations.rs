//! What a step of the CPU engine allocates once its buffers have grown: the list of tokens that it
//! returns, and nothing else where the highest logit decides.
//!
//! A binary of its own with one test: the allocator counts for the whole process, and other tests
//! that ran meanwhile would be counted as well.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use wenzhai::engine::cpu::{CpuEngine, CpuSettings};
use wenzhai::generate::{Engine, Field, Limits, Request, Sampling, Scheduler};
use wenzhai::kernels::Isa;
use wenzhai::model::Model;
use wenzhai::shortlist::Shortlist;

#[allow(dead_code, reason = "other tests need the rest of it")]
#[path = "it/support/noise.rs"]
mod noise;
#[allow(dead_code, reason = "as above")]
#[path = "it/support/tiny.rs"]
mod tiny;

/// The system's allocator, which counts while a step is computed, on whichever thread.
struct Counting;

static IN_STEP: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn count() {
        if IN_STEP.load(SeqCst) {
            ALLOCATIONS.fetch_add(1, SeqCst);
        }
    }
}

// SAFETY: all is left to the system's allocator, with the arguments as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIMITS: Limits = Limits {
    max_sequences: 34,
    rows_per_step: 96,
    prefill_rows: 64,
    max_context: 96,
    kv_positions: 4096,
};
/// Of which a page is shared, and a part of one copied.
const PREFIX: usize = 70;

/// A round of requests that end at different times: how many steps it took, and how many of these
/// allocated more than the list of tokens that they return and `more` for each token.
fn round(engine: &mut CpuEngine, requests: u64, sampling: Sampling, more: usize) -> (usize, usize) {
    let prefix = tiny::tokens(1, PREFIX);
    let mut scheduler = Scheduler::new(LIMITS, prefix.clone());
    for id in 0..requests {
        let prompt = [&prefix[..], &tiny::tokens(2 + id, 1 + id as usize % 3)].concat();
        let max_tokens = 9 - id as usize % 3;
        let field = Field { label: vec![40, 41], stop: Arc::default(), max_tokens, filter: None };
        scheduler.push(Request { id, prompt, fields: vec![field], sampling }).unwrap();
    }
    let (mut steps, mut over) = (0, 0);
    while let Some(batch) = scheduler.schedule() {
        let before = ALLOCATIONS.load(SeqCst);
        IN_STEP.store(true, SeqCst);
        let picked = engine.step(&batch);
        IN_STEP.store(false, SeqCst);
        let picked = picked.unwrap();
        let allowed = usize::from(!picked.is_empty()) + more * picked.len();
        over += usize::from(ALLOCATIONS.load(SeqCst) - before > allowed);
        steps += 1;
        scheduler.commit(&picked);
    }
    (steps, over)
}

/// Runs rounds until `enough` in a row keep within bounds: which buffers grow in the first ones
/// depends on how threads share the rows.
fn check(engine: &mut CpuEngine, requests: u64, sampling: Sampling, more: usize, enough: usize) {
    let mut within = 0;
    for _ in 0..enough + 20 {
        let (steps, over) = round(engine, requests, sampling, more);
        assert!(steps > 8, "only {steps} steps");
        within = if over == 0 { within + 1 } else { 0 };
        if within == enough {
            return;
        }
    }
    panic!("steps of {sampling:?} go on allocating");
}

#[test]
fn a_warm_step_allocates_nothing_but_what_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gemma3.gguf");
    tiny::write_model(&path, "gemma3", 11);
    let model = Model::load(&path, None).unwrap();
    let vocabulary = model.tokenizer().vocab_size();
    let ids = (0..vocabulary as u32).filter(|id| id % 3 != 1).collect();
    let shortlist = Shortlist::new(vocabulary, ids).unwrap();
    let settings = CpuSettings {
        threads: 2,
        limits: LIMITS,
        shortlist: Some(&shortlist),
        full_vocabulary: false,
    };
    let engine = |isa| {
        let mut engine = CpuEngine::with_isa(&model, &settings, isa).unwrap();
        engine.set_prefix(&tiny::tokens(1, PREFIX)).unwrap();
        engine
    };
    for isa in Isa::all() {
        check(&mut engine(isa), 5, Sampling::Greedy, 0, 1);
    }
    let mut engine = engine(*Isa::all().last().unwrap());
    // So many that threads have tried rows of their own, which they do after 32 steps at the latest.
    check(&mut engine, 36, Sampling::Greedy, 0, 4);
    // Other rules look at copies of the logits and at lists of candidates (`wenzhai::pick`).
    check(&mut engine, 5, Sampling::Penalised { penalty: 1.2, window: 16 }, 2, 1);
    check(&mut engine, 5, Sampling::Sampled { temperature: 0.8, top_k: 20, seed: 5 }, 12, 1);
}
