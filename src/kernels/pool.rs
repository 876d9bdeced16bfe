//! Threads that live as long as an engine and share the tasks of one phase after another.
//!
//! A step has some hundred and fifty phases of a tenth of a millisecond, so workers must start at
//! once: they spin for a moment after a phase and park when nothing comes, since the cores may
//! be needed by others. Tasks are claimed one by one, and the caller waits for claimed tasks, not
//! for workers: a worker whose core is taken away between two tasks holds nobody up, which on a
//! shared machine is the difference between a little slower and ten times slower. Which thread
//! computes a task never changes a result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};

/// How often a thread looks again before it parks: some hundred microseconds, longer than the
/// gaps between the phases of a step and far shorter than a time slice.
const SPINS: usize = 2_000;

/// A phase's work, called with (worker, task).
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A fixed number of threads; the caller's own is worker 0.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// For each thread the next item of its stretch, while items are computed.
    cursors: Arc<[AtomicUsize]>,
}

struct Shared {
    /// The phase in the upper 32 bits, its next unclaimed task in the lower.
    ticket: AtomicU64,
    /// Tasks of the phase that are done.
    done: AtomicUsize,
    closing: AtomicBool,
    phase: Mutex<Phase>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What the workers have to know of a phase.
#[derive(Clone)]
struct Phase {
    number: u32,
    work: *const Work<'static>,
    tasks: u32,
    caller: Thread,
}

// SAFETY: `work` points to a closure that is `Sync`, and it is dereferenced only by who has
// claimed a task of the phase, which `Pool::run`, borrowing the closure, waits for.
unsafe impl Send for Phase {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; at least one, and fewer where the system starts no
    /// more: [`Pool::threads`] says how many there are.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            phase: Mutex::new(Phase {
                number: 0,
                work: &|_, _| {},
                tasks: 0,
                caller: std::thread::current(),
            }),
            panic: Mutex::new(None),
        });
        let spawn = |worker| {
            let shared = shared.clone();
            std::thread::Builder::new().spawn(move || serve(&shared, worker)).ok()
        };
        let workers: Vec<_> = (1..threads).map_while(spawn).collect();
        let cursors = (0..=workers.len()).map(|_| AtomicUsize::new(0)).collect();
        Pool { workers, shared, cursors }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(worker, item)` once for each item below `items`: a worker has a stretch of
    /// neighbours, which it takes `at_once` at a time, and then helps with the others' stretches.
    ///
    /// # Panics
    /// When an item does; others may not have been worked on then.
    pub fn run_neighbours(
        &mut self,
        items: usize,
        at_once: usize,
        work: impl Fn(usize, usize) + Sync,
    ) {
        let threads = self.threads();
        let stretch = items.div_ceil(threads);
        let begin = |owner: usize| (owner * stretch).min(items);
        let cursors = self.cursors.clone();
        for (owner, cursor) in cursors.iter().enumerate() {
            cursor.store(begin(owner), Relaxed);
        }
        self.run(threads, |worker, first_owner| {
            for owner in (first_owner..threads).chain(0..first_owner) {
                let end = begin(owner + 1);
                loop {
                    let first = cursors[owner].fetch_add(at_once, Relaxed);
                    if first >= end {
                        break;
                    }
                    (first..end.min(first + at_once)).for_each(|item| work(worker, item));
                }
            }
        });
    }

    /// Calls `work(worker, task)` once for each task below `tasks` and returns when all are done.
    /// Calls with the same `worker` never overlap.
    ///
    /// # Panics
    /// When a task does: after all others are done, or at once where this thread is the only one.
    /// And for more than 2^32 - 1 tasks.
    pub fn run(&mut self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| work(0, task));
            return;
        }
        let count = u32::try_from(tasks).expect("a phase of fewer than 2^32 tasks");
        let shared = &*self.shared;
        let work: &Work<'_> = &work;
        // SAFETY: only the lifetime changes. The pointer is used by who has claimed a task of
        // this phase alone, and this function does not return before all claimed tasks are done.
        let eternal = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        let phase = {
            let mut phase = lock(&shared.phase);
            phase.number = phase.number.wrapping_add(1);
            phase.work = eternal;
            phase.tasks = count;
            phase.caller = std::thread::current();
            phase.clone()
        };
        shared.done.store(0, Relaxed);
        shared.ticket.store(u64::from(phase.number) << 32, Release);
        self.workers.iter().for_each(|worker| worker.thread().unpark());

        take_tasks(shared, 0, &phase);
        wait(|| shared.done.load(Acquire) == tasks);
        let panic = lock(&shared.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its tasks, so it ends in order.
            let _ = worker.join();
        }
    }
}

/// A worker's life: wait for a phase, help with it as long as there are tasks.
fn serve(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        let number = || (shared.ticket.load(Acquire) >> 32) as u32;
        wait(|| number() != seen || shared.closing.load(Acquire));
        // Before the phase is looked at, which may be the next one already: its ticket comes later.
        seen = number();
        if shared.closing.load(Acquire) {
            return;
        }
        let phase = lock(&shared.phase).clone();
        take_tasks(shared, worker, &phase);
    }
}

/// Claims and does tasks of `phase` until none is left or the phase is over.
fn take_tasks(shared: &Shared, worker: usize, phase: &Phase) {
    while let Some(task) = claim(&shared.ticket, phase) {
        // SAFETY: a task of the phase was claimed and is not done, so its closure is alive.
        let work = unsafe { &*phase.work };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(worker, task as usize))) {
            let mut first = lock(&shared.panic);
            match *first {
                None => *first = Some(panic),
                // Not dropped: a payload's own drop may panic, and nothing may end a phase early.
                Some(_) => std::mem::forget(panic),
            }
        }
        if shared.done.fetch_add(1, AcqRel) + 1 == phase.tasks as usize && worker != 0 {
            phase.caller.unpark();
        }
    }
}

/// The next task of `phase`, unless all are claimed or another phase has begun.
fn claim(ticket: &AtomicU64, phase: &Phase) -> Option<u32> {
    let mut current = ticket.load(Acquire);
    loop {
        let (number, task) = ((current >> 32) as u32, current as u32);
        if number != phase.number || task >= phase.tasks {
            return None;
        }
        match ticket.compare_exchange_weak(current, current + 1, AcqRel, Acquire) {
            Ok(_) => return Some(task),
            Err(seen) => current = seen,
        }
    }
}

/// Spins until `ready`, then parks between looks. Whoever makes it true unparks this thread.
fn wait(ready: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
    while !ready() {
        std::thread::park();
    }
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn every_task_is_done_once_in_every_phase() {
        for threads in 1..5 {
            let mut pool = Pool::new(threads);
            for phase in 0..200 {
                let counts: Vec<AtomicUsize> =
                    (0..phase % 17).map(|_| AtomicUsize::new(0)).collect();
                pool.run(counts.len(), |worker, task| {
                    assert!(worker < threads);
                    counts[task].fetch_add(1, Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
            }
        }
    }

    #[test]
    fn neighbours_are_computed_once_each_and_a_panic_leaves_the_pool_usable() {
        for (threads, items, at_once) in [(1, 9, 2), (2, 0, 1), (2, 1, 1), (3, 100, 7), (4, 3, 5)] {
            let mut pool = Pool::new(threads);
            let panics = catch_unwind(AssertUnwindSafe(|| {
                pool.run_neighbours(items + 1, at_once, |_, item| assert!(item < items));
            }));
            assert!(panics.is_err());
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            pool.run_neighbours(items, at_once, |worker, item| {
                assert!(worker < threads);
                counts[item].fetch_add(1, Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Relaxed) == 1), "{threads} {items}");
        }
    }

    #[test]
    fn workers_that_have_parked_wake_up() {
        let mut pool = Pool::new(2);
        for phase in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            // Each task waits for the other, so both threads have to come.
            let (begun, together) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.run(2, |_, _| {
                begun.fetch_add(1, Relaxed);
                let since = Instant::now();
                while begun.load(Relaxed) < 2 && since.elapsed() < Duration::from_secs(20) {
                    std::thread::yield_now();
                }
                together.fetch_add(usize::from(begun.load(Relaxed) == 2), Relaxed);
            });
            assert_eq!(together.into_inner(), 2, "phase {phase}");
        }
    }

    #[test]
    fn payloads_that_panic_when_they_are_dropped_end_no_phase_early() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("dropped");
                }
            }
        }
        let mut pool = Pool::new(3);
        let done = AtomicUsize::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, |_, task| {
                done.fetch_add(1, Relaxed);
                if task % 2 == 0 {
                    resume_unwind(Box::new(Bomb));
                }
            });
        }));
        std::mem::forget(outcome.expect_err("the first payload"));
        assert_eq!(done.load(Relaxed), 50);
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = Pool::new(3);
        let failing = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, |_, task| assert!(task != 20, "task twenty"));
        }));
        assert!(failing.is_err());
        let done = AtomicUsize::new(0);
        pool.run(50, |_, _| {
            done.fetch_add(1, Relaxed);
        });
        assert_eq!(done.load(Relaxed), 50);
    }
}
