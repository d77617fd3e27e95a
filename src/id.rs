//! Names of things: clients as users see them, connections as both sides of the border number them,
//! rooms.

use std::fmt;

use uuid::Uuid;

/// A client's public id: a random UUID, version 4, written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(Uuid);

impl ClientId {
    /// A new id that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The number of a connection on the border: small, dense, and not reused before the owner has
/// released it. It tells the shard too, so nobody needs a table to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

impl Handle {
    /// Stands where an event is about no connection.
    pub const NONE: Self = Self(u32::MAX);

    pub(crate) fn new(slot: u32, shard: u32, shards: u32) -> Self {
        Self(slot * shards + shard)
    }

    /// The I/O thread that owns the connection.
    #[must_use]
    pub fn shard(self, shards: u32) -> u32 {
        self.0 % shards
    }

    pub(crate) fn slot(self, shards: u32) -> usize {
        (self.0 / shards) as usize
    }
}

/// Longest room name in bytes.
pub const MAX_ROOM_NAME: usize = 4096;

/// A room's name: any bytes, since JavaScript strings need not be valid UTF-16.
pub(crate) type RoomName = Box<[u8]>;
