//! Finds the messages in the queue that a newer one may replace.

use rustc_hash::FxHashMap;

/// The place of the newest message of each route that keeps only its latest, so that nobody has to search a long queue for it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// By route, its chunk, counted from when this was made.
    pub(super) newest: FxHashMap<u32, usize>,
    /// Chunks that have left since.
    pub(crate) chunks_left: usize,
    /// Gaps there have been since.
    pub(super) gaps: usize,
}

impl Places {
    pub(crate) fn insert(&mut self, route: u32, chunk: usize) {
        self.newest.insert(route, self.chunks_left + chunk);
    }

    /// The memory it holds.
    pub(crate) fn cost(&self) -> usize {
        // A table is an eighth larger than what it can hold, and has a byte for each place.
        size_of::<Self>() + self.newest.capacity() * 8 / 7 * (size_of::<(u32, usize)>() + 1)
    }
}
