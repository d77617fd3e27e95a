//! Knows all rooms of a server, over all shards.

#[cfg(feature = "bus")]
use std::sync::Arc;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

#[cfg(feature = "bus")]
use crate::rooms::changes::RoomChanges;
use crate::{rooms::RoomName, shrink::shrink_map};

/// Counts the shards that have members of each room, so that a room on several shards counts as one.
///
/// A shard uses it only for the first and for the last of its members of a room, never for a send.
#[derive(Default)]
pub(crate) struct RoomDirectory {
    shards_in: Mutex<HashMap<RoomName, u32>>,
    /// Who hears which rooms get a first member or lose the last one, if there is a bus.
    #[cfg(feature = "bus")]
    changes: Option<Arc<RoomChanges>>,
}

impl RoomDirectory {
    /// A directory that tells somebody of changes.
    #[cfg(feature = "bus")]
    pub(crate) fn new(changes: Option<Arc<RoomChanges>>) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }

    /// Whether a room has a member.
    #[cfg(feature = "bus")]
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.shards_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(name)
    }

    /// Counts a shard; returns the name to keep there.
    pub(crate) fn opened(&self, name: &[u8]) -> RoomName {
        let mut rooms = self
            .shards_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let shared = rooms.get_key_value(name);
        let name = shared.map_or_else(|| RoomName::from(name), |(name, _)| name.clone());
        let shards = rooms.entry(name.clone()).or_default();
        *shards += 1;
        #[cfg(feature = "bus")]
        if let (1, Some(changes)) = (*shards, &self.changes) {
            changes.note(&name);
        }
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
                let removed = rooms.remove_entry(name);
                shrink_map(&mut rooms);
                #[cfg(feature = "bus")]
                if let (Some((name, _)), Some(changes)) = (&removed, &self.changes) {
                    changes.note(name);
                }
                drop(removed);
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
