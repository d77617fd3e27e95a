//! Knows all rooms of a server, over all shards.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{rooms::RoomName, shrink::shrink_map};

/// Counts the shards that have members of each room, so that a room on several shards counts as one.
///
/// A shard uses it only for the first and for the last of its members of a room, never for a send.
#[derive(Debug, Default)]
pub(crate) struct RoomDirectory {
    shards_in: Mutex<HashMap<RoomName, u32>>,
}

impl RoomDirectory {
    /// Counts a shard; returns the name to keep there.
    pub(crate) fn opened(&self, name: &[u8]) -> RoomName {
        let mut rooms = self
            .shards_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let shared = rooms.get_key_value(name);
        let name = shared.map_or_else(|| RoomName::from(name), |(name, _)| name.clone());
        *rooms.entry(name.clone()).or_default() += 1;
        name
    }

    pub(crate) fn emptied(&self, name: &[u8]) {
        let mut rooms = self
            .shards_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(shards) = rooms.get_mut(name) {
            *shards -= 1;
            if *shards == 0 {
                rooms.remove(name);
                shrink_map(&mut rooms);
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.shards_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len() as u64
    }
}
