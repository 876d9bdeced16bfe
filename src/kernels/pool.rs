//! Threads that live as long as an engine and share the tasks of one phase after another.
//!
//! A step has some hundred and fifty phases of a tenth of a millisecond, so workers must start at
//! once: they spin for a moment after a phase and park when nothing comes, since the cores may
//! be needed by others. Tasks are taken from a counter, so a core that is stolen for a while
//! delays its current task and nothing else. Which thread computes a task never changes a result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

/// How often a worker looks for the next phase before it parks: a few dozen microseconds, longer
/// than the gaps between the phases of a step and shorter than a time slice.
const SPINS: usize = 20_000;

/// A phase's work: called with (worker, task).
type Work = dyn Fn(usize, usize) + Sync;

/// A fixed number of threads; the caller's own is worker 0.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts phases; workers wait for it to change.
    phase: AtomicUsize,
    /// The next task to take.
    next: AtomicUsize,
    /// Workers that have not finished the phase.
    busy: AtomicUsize,
    closing: AtomicBool,
    /// The phase's work and its number of tasks; written by the caller between phases.
    work: Mutex<Option<(*const Work, usize)>>,
    caller: Mutex<Option<Thread>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: the pointer in `work` is to a closure that is `Sync`, and it is dereferenced only
// while `Pool::run`, which borrows the closure, waits for all workers.
unsafe impl Send for Shared {}
// SAFETY: as above; everything else in it is `Sync` by itself.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; at least one.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            phase: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            work: Mutex::new(None),
            caller: Mutex::new(None),
            panic: Mutex::new(None),
        });
        let spawn = |worker| {
            let shared = shared.clone();
            std::thread::spawn(move || serve(&shared, worker))
        };
        Pool { workers: (1..threads).map(spawn).collect(), shared }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(worker, task)` once for each task below `tasks` and returns when all are done.
    /// Calls with the same `worker` never overlap.
    ///
    /// # Panics
    /// When a task does; all others are finished or abandoned by then.
    pub fn run(&mut self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| work(0, task));
            return;
        }
        let shared = &*self.shared;
        let borrowed: &(dyn Fn(usize, usize) + Sync) = &work;
        // SAFETY: only the lifetime changes; the pointer is used by workers in this phase alone,
        // and this function does not return before `busy` is zero.
        let eternal: *const Work = unsafe {
            std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), &'static Work>(borrowed)
        };
        *shared.work.lock().expect("no panic holds this lock") = Some((eternal, tasks));
        *shared.caller.lock().expect("no panic holds this lock") = Some(std::thread::current());
        shared.next.store(0, Relaxed);
        shared.busy.store(self.workers.len(), Relaxed);
        shared.phase.fetch_add(1, Release);
        self.workers.iter().for_each(|worker| worker.thread().unpark());

        take_tasks(shared, 0, borrowed, tasks);
        wait(|| shared.busy.load(Acquire) == 0);
        // Taken before the unwinding starts: a guard that lived through it would poison the lock.
        let panic = shared.panic.lock().expect("no panic holds this lock").take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Release);
        self.shared.phase.fetch_add(1, Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its tasks, so it ends in order.
            let _ = worker.join();
        }
    }
}

/// A worker's life: wait for a phase, share its tasks, say so.
fn serve(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        wait(|| shared.phase.load(Acquire) != seen);
        seen += 1;
        if shared.closing.load(Acquire) {
            return;
        }
        let (work, tasks) =
            shared.work.lock().expect("no panic holds this lock").expect("a phase has work");
        // SAFETY: the caller keeps the closure alive until `busy` is zero, which needs this
        // worker's decrement below.
        take_tasks(shared, worker, unsafe { &*work }, tasks);
        let caller = shared.caller.lock().expect("no panic holds this lock").clone();
        if shared.busy.fetch_sub(1, Release) == 1
            && let Some(caller) = caller
        {
            caller.unpark();
        }
    }
}

/// Takes tasks until none is left; a panic is kept for the caller and ends the phase early.
fn take_tasks(shared: &Shared, worker: usize, work: &(dyn Fn(usize, usize) + Sync), tasks: usize) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        loop {
            let task = shared.next.fetch_add(1, Relaxed);
            if task >= tasks {
                return;
            }
            work(worker, task);
        }
    }));
    if let Err(panic) = outcome {
        shared.next.store(tasks, Relaxed);
        shared.panic.lock().expect("no panic holds this lock").get_or_insert(panic);
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

#[cfg(test)]
mod tests {
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
    fn workers_that_have_parked_wake_up() {
        let mut pool = Pool::new(2);
        let done = AtomicUsize::new(0);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pool.run(2, |_, _| {
                done.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(done.load(Relaxed), 6);
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
