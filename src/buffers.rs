//! Memory of commands that have been applied, for those that come: what is freed goes back to the system, and costs page
//! faults when it is needed again.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use crate::sync::Mutex;

/// Most bytes that are kept: what comes together while one batch is dealt with.
const KEPT: usize = 1024 * 1024;
/// Larger buffers are freed.
const LARGEST: usize = 256 * 1024;

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
    /// An empty buffer.
    pub(crate) fn get(&self) -> Vec<u8> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = kept.buffers.pop().unwrap_or_default();
        kept.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a buffer's memory if nobody else has it.
    pub(crate) fn give_back(&self, buffer: Arc<Vec<u8>>) {
        let Ok(mut buffer) = Arc::try_unwrap(buffer) else {
            return;
        };
        if buffer.capacity() > LARGEST {
            return;
        }
        buffer.clear();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + buffer.capacity() <= KEPT {
            kept.bytes += buffer.capacity();
            kept.buffers.push(mem::take(&mut buffer));
        }
    }
}
