//! Who is in which room.

pub(crate) mod registry;
