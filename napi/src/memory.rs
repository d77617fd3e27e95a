//! Gives memory back to the system after a crowd has left.
//!
//! glibc keeps freed memory. Each I/O thread has an arena, which shrinks only at its end. So a few bytes in the wrong place can keep
//! hundreds of mebibytes. Other allocators return memory by themselves.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) use self::glibc::{bound, give_back};

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::{
        env,
        ffi::c_int,
        hint::black_box,
        sync::{
            Once,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    /// Parameters of `mallopt`, from `malloc.h`.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;

    const MIB: usize = 1024 * 1024;
    /// How many free bytes an arena may keep at its end. With less, it shrinks and grows with each message of 1 MiB, which then takes
    /// a third longer.
    const KEPT: c_int = 4 * 1024 * 1024;
    /// The same while a crowd leaves.
    const KEPT_AFTER: c_int = 128 * 1024;
    /// Larger blocks are mapped separately. This is the largest number that glibc takes.
    const MAPPED: c_int = 32 * 1024 * 1024;

    /// Bounds what an arena may keep free at its end. By itself glibc raises that to twice the largest memory that was ever freed,
    /// up to 64 MiB a thread. It does nothing where the user has set such things.
    pub(crate) fn bound() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            if is_ours() {
                set(M_MMAP_THRESHOLD, MAPPED);
                set(M_TRIM_THRESHOLD, KEPT);
            }
        });
    }

    /// Returns the end of this thread's arena, and then the free memory of all arenas. A new thread does the latter, because it can
    /// take a while. A request that comes meanwhile is ignored, because the engine asks again.
    pub(crate) fn give_back() {
        static RUNS: AtomicBool = AtomicBool::new(false);

        if is_ours() {
            give_back_end();
        }
        if RUNS.swap(true, Ordering::AcqRel) {
            return;
        }
        let trim = || {
            malloc_trim(0);
            RUNS.store(false, Ordering::Release);
        };
        // Without a thread the memory stays, which harms nobody else.
        let thread = thread::Builder::new().name("zocket-trim".into());
        if thread.spawn(trim).is_err() {
            RUNS.store(false, Ordering::Release);
        }
    }

    /// `malloc_trim` leaves the ends of the arenas of other threads. An arena looks at its end when something there is freed, so
    /// this takes and frees more than fits elsewhere. Nothing is written to it, so it costs no memory.
    fn give_back_end() {
        set(M_TRIM_THRESHOLD, KEPT_AFTER);
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(MAPPED as usize - MIB).is_ok() {
            drop(black_box(block));
        }
        set(M_TRIM_THRESHOLD, KEPT);
    }

    /// Whether the user leaves such things to us.
    fn is_ours() -> bool {
        let theirs = [
            "MALLOC_TRIM_THRESHOLD_",
            "MALLOC_MMAP_THRESHOLD_",
            "GLIBC_TUNABLES",
        ];
        theirs.iter().all(|name| env::var_os(name).is_none())
    }

    fn set(parameter: c_int, value: c_int) {
        // SAFETY: glibc takes a lock to write the number. Threads that allocate meanwhile read it without one, a word at once, and
        // both numbers are right for them. A number that it does not take changes nothing.
        unsafe { mallopt(parameter, value) };
    }

    // SAFETY: the declarations are those of `malloc.h`. `malloc_trim` locks what it touches: any thread may call it at any time.
    unsafe extern "C" {
        /// Gives the free pages of all arenas back to the system, but for so many bytes at the end of the heap.
        safe fn malloc_trim(pad: usize) -> c_int;
        /// Sets a parameter of the allocator, of the whole process.
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
}
