//! Tells the thread of the bus which rooms have got a first member, or lost the last one.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::PoisonError,
};

use crate::{
    rooms::RoomName,
    sync::{Mutex, MutexGuard, Notify},
};

/// A place in the commands of an owner.
pub(crate) type Mark = (u8, u32);

/// The rooms that changed since the last look. A room stands there once, however often it changed.
#[derive(Default)]
pub(crate) struct RoomChanges {
    /// Held by shards to note a room, by the thread of the bus to take all.
    state: Mutex<State>,
    noted: Notify,
}

#[derive(Default)]
struct State {
    rooms: HashSet<RoomName>,
    /// How many shards have come to a mark.
    marks: HashMap<Mark, u32>,
    /// The marks that all shards have come to.
    reached: Vec<Mark>,
}

impl RoomChanges {
    /// Notes that a room has got its first member, or has lost the last one.
    pub(crate) fn note(&self, name: &RoomName) {
        self.lock().rooms.insert(name.clone());
        self.noted.notify_one();
    }

    /// Notes that a shard has applied all commands before a mark.
    pub(crate) fn reach(&self, mark: Mark, shards: u32) {
        let mut state = self.lock();
        let count = state.marks.entry(mark).or_default();
        *count += 1;
        if *count < shards {
            return;
        }
        state.marks.remove(&mark);
        state.reached.push(mark);
        drop(state);
        self.noted.notify_one();
    }

    /// Waits for changes and takes them: the rooms, and the marks that all shards have come to after them.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken before it returns.
    pub(crate) async fn take(&self) -> (HashSet<RoomName>, Vec<Mark>) {
        loop {
            let taken = self.take_now();
            if !taken.0.is_empty() || !taken.1.is_empty() {
                return taken;
            }
            self.noted.notified().await;
        }
    }

    /// Takes what there is.
    pub(crate) fn take_now(&self) -> (HashSet<RoomName>, Vec<Mark>) {
        let mut state = self.lock();
        (mem::take(&mut state.rooms), mem::take(&mut state.reached))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(zocket_loom)))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_that_changes_often_stands_there_once_and_a_mark_waits_for_all_shards() {
        let changes = RoomChanges::default();
        let name = RoomName::from(&b"lobby"[..]);
        for _ in 0..3 {
            changes.note(&name);
        }
        changes.reach((0, 7), 2);
        let (rooms, reached) = changes.take().await;
        assert_eq!(rooms.len(), 1);
        assert!(reached.is_empty());
        changes.reach((0, 7), 2);
        assert_eq!(changes.take().await.1, [(0, 7)]);
    }
}
