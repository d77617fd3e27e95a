//! Who is in which room.

use std::sync::Arc;

pub(crate) mod directory;
pub(crate) mod registry;

/// Longest room name in bytes.
pub const MAX_ROOM_NAME: usize = 4096;

/// A room's name: any bytes, since JavaScript strings need not be valid UTF-16. All that know the room share it, on all
/// shards, as a name may be long.
pub(crate) type RoomName = Arc<[u8]>;
