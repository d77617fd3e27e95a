//! The judge of memory: it counts every byte that is allocated in this process, and panics when a target holds more than its
//! input may cost, or leaves something behind.
//!
//! A thread counts for itself while it is apart, and otherwise together with the threads of the engine.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicIsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// What all runs of a target may leave behind: what the engine and the standard library make once and keep.
const KEPT: isize = 128 * 1024;
/// How often the engine's threads are waited for, and how long each time: they free what is over when they get to it.
const WAITS: u32 = 20_000;
const WAIT: Duration = Duration::from_millis(1);

thread_local! {
    static APART: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// What runs that were alone in this thread have left behind.
    static LEFT: Cell<isize> = const { Cell::new(0) };
}

/// The same of all threads that are not apart.
static TOGETHER: AtomicIsize = AtomicIsize::new(0);
static TOGETHER_PEAK: AtomicIsize = AtomicIsize::new(0);

/// What they held before the first run. Locked by a run from start to end: one server is looked at at a time.
static AT_FIRST: Mutex<Option<isize>> = Mutex::new(None);

struct Counting;

fn count(bytes: isize) {
    if APART.get() {
        let live = LIVE.get() + bytes;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
    } else {
        let live = TOGETHER.fetch_add(bytes, Relaxed) + bytes;
        TOGETHER_PEAK.fetch_max(live, Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator, which keeps the promises; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promises about pointer, layout and size are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the pointer came from `System` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Whether this thread is apart until this is dropped.
pub struct Apart(bool);

impl Apart {
    pub fn new(apart: bool) -> Self {
        Self(APART.replace(apart))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        APART.set(self.0);
    }
}

/// Runs a target that needs no other thread: it leaves nothing behind.
pub fn alone(run: impl FnOnce()) {
    let _apart = Apart::new(true);
    let before = LIVE.get();
    run();
    LEFT.set(LEFT.get() + LIVE.get() - before);
    assert!(LEFT.get() <= KEPT, "{} bytes are left", LEFT.get());
}

/// A part of such a target, which holds at most so many bytes at once, its result included.
pub fn at_most<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    assert!(APART.get(), "other threads do not count");
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    let peak = PEAK.get() - before;
    assert!(
        peak <= bytes.cast_signed(),
        "{peak} bytes at once, of at most {bytes}"
    );
    result
}

/// Runs a target that has a server: with its threads it holds at most so many bytes at once, and in the end leaves nothing
/// behind.
pub fn together(bytes: usize, run: impl FnOnce()) {
    let mut at_first = AT_FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    let _apart = Apart::new(false);
    let before = TOGETHER.load(Relaxed);
    let at_first = *at_first.get_or_insert(before);
    TOGETHER_PEAK.store(before, Relaxed);
    run();
    let peak = TOGETHER_PEAK.load(Relaxed) - before;
    assert!(
        peak <= bytes.cast_signed(),
        "{peak} bytes at once, of at most {bytes}"
    );
    let left = || TOGETHER.load(Relaxed) - at_first;
    let mut waits = 0;
    while left() > KEPT {
        waits += 1;
        assert!(waits < WAITS, "{} bytes are left", left());
        thread::sleep(WAIT);
    }
}
