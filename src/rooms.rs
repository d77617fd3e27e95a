//! The members of each room.

use std::sync::Arc;

#[cfg(feature = "bus")]
pub(crate) mod changes;
pub(crate) mod directory;
pub(crate) mod registry;

/// Longest room name in bytes.
pub const MAX_ROOM_NAME: usize = 4096;

/// The name of a room. It may be any bytes, because a JavaScript string need not be valid UTF-16. All shards share it, because a
/// name may be long.
pub(crate) type RoomName = Arc<[u8]>;
