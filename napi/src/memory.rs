//! Gives memory back to the system after a crowd has left.
//!
//! glibc keeps what is freed. Each I/O thread has an arena of its own, which only shrinks at its end, so a few bytes in the wrong
//! place keep hundreds of mebibytes. Other allocators give memory back by themselves.

/// Gives back what is free, in a thread of its own, as that can take a while. What is asked for meanwhile is left out: the engine
/// asks again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    static RUNS: AtomicBool = AtomicBool::new(false);

    if RUNS.swap(true, Ordering::AcqRel) {
        return;
    }
    let trim = || {
        malloc_trim(0);
        RUNS.store(false, Ordering::Release);
    };
    // Without a thread the memory stays, which harms nobody else.
    if thread::Builder::new()
        .name("zocket-trim".into())
        .spawn(trim)
        .is_err()
    {
        RUNS.store(false, Ordering::Release);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
// SAFETY: the declaration is that of `malloc.h`. glibc locks what the function touches, so any thread may call it at any time.
unsafe extern "C" {
    /// Gives the free pages of all arenas back to the system, but for so many bytes at the end of the heap.
    safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
}
