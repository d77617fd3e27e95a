//! Keeps the memory of commands that were applied, and uses it for new ones.
//!
//! Without this, the JavaScript thread would allocate the memory and an I/O thread would free it. The allocator would then return
//! it to the system each time, and each new buffer would cost page faults.

use std::sync::{Arc, PoisonError};

use crate::sync::{Mutex, MutexGuard};

/// How many bytes are kept at most: about as many as one batch of events leads to.
const MOST: usize = 1024 * 1024;
/// A larger buffer is freed.
const LARGEST: usize = 256 * 1024;

/// The empty buffers of one server.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// Returns an empty buffer, with the memory of the one that was given back last.
    pub(crate) fn get(&self) -> Vec<u8> {
        let mut kept = self.lock();
        let buffer = kept.buffers.pop().unwrap_or_default();
        kept.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a buffer's memory, unless another shard still has it, or there is enough.
    pub(crate) fn give_back(&self, buffer: Arc<Vec<u8>>) {
        let Some(mut buffer) = Arc::into_inner(buffer) else {
            return;
        };
        buffer.clear();
        let mut kept = self.lock();
        if buffer.capacity() <= LARGEST && kept.bytes + buffer.capacity() <= MOST {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(capacity: usize) -> Arc<Vec<u8>> {
        let mut buffer = Vec::with_capacity(capacity);
        buffer.push(1);
        Arc::new(buffer)
    }

    #[test]
    fn memory_comes_back_empty_the_last_first() {
        let buffers = Buffers::default();
        assert_eq!(buffers.get().capacity(), 0);
        buffers.give_back(buffer(100));
        buffers.give_back(buffer(200));
        for capacity in [200, 100, 0] {
            let got = buffers.get();
            assert!(got.is_empty());
            assert_eq!(got.capacity(), capacity);
        }
    }

    #[test]
    fn a_buffer_that_shards_share_is_kept_by_the_last() {
        let buffers = Buffers::default();
        let first = buffer(100);
        let second = first.clone();
        buffers.give_back(first);
        assert_eq!(buffers.get().capacity(), 0);
        buffers.give_back(second);
        assert_eq!(buffers.get().capacity(), 100);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::default();
        buffers.give_back(buffer(LARGEST + 1));
        assert_eq!(buffers.get().capacity(), 0);
        for _ in 0..3 * MOST / LARGEST {
            buffers.give_back(buffer(LARGEST));
        }
        let kept = std::iter::from_fn(|| Some(buffers.get().capacity()).filter(|it| *it > 0));
        assert_eq!(kept.sum::<usize>(), MOST);
    }
}
