//! Those who wait until the bus has what was published.

use std::{collections::VecDeque, mem};

use crate::{
    border::owner::OwnerNumber,
    bus::{
        books::Books,
        queue::{Queue, Ticket},
    },
};

/// Somebody whose publications have their answers.
pub(crate) struct Flushed {
    pub(crate) owner: OwnerNumber,
    /// The number of its request.
    pub(crate) number: u32,
    /// How many publications have failed since the last one that was answered.
    pub(crate) failed: u64,
}

/// Those who wait.
#[derive(Default)]
pub(crate) struct Flushes {
    /// Who waits, and for which publications: all up to this one.
    waiting: VecDeque<(OwnerNumber, u32, Ticket)>,
    /// How many publications had failed when the last one was answered.
    failed: u64,
}

impl Flushes {
    /// An owner waits for all that is in the queue now.
    pub(crate) fn wait(&mut self, owner: OwnerNumber, number: u32, queue: &Queue) {
        self.waiting.push_back((owner, number, queue.last()));
    }

    /// The next one who waits for nothing any more.
    pub(crate) fn next(&mut self, queue: &Queue, books: &Books) -> Option<Flushed> {
        let (owner, number, last) = *self.waiting.front()?;
        if !queue.is_settled(last) {
            return None;
        }
        self.waiting.pop_front();
        let failed = books.failed();
        Some(Flushed {
            owner,
            number,
            failed: failed - mem::replace(&mut self.failed, failed),
        })
    }
}
