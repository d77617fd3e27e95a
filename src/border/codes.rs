//! The numbers of the border: opcodes of commands, codes of events, kinds of pieces.

// Opcodes; see `command`.
pub(crate) const ADMIT: u32 = 1;
pub(crate) const REFUSE: u32 = 2;
pub(crate) const RELEASE: u32 = 3;
pub(crate) const JOIN: u32 = 4;
pub(crate) const LEAVE: u32 = 5;
pub(crate) const TO: u32 = 6;
pub(crate) const ROOMS: u32 = 7;
pub(crate) const BROADCAST: u32 = 8;
pub(crate) const CLOSE: u32 = 9;
pub(crate) const PAUSE: u32 = 10;
pub(crate) const RESUME: u32 = 11;
pub(crate) const TERMINATE: u32 = 12;

/// Payload length that says there is no payload.
pub const NO_PAYLOAD: u32 = u32::MAX;

/// Most bytes of one outgoing payload.
pub(crate) const MAX_OUTGOING: usize = 1 << 30;

/// Bits of a command's first word that hold the opcode; see `payloads` for the others.
pub(crate) const OPCODE_BITS: u32 = 8;
/// In the word of a piece, where the bits begin that say what it is.
pub(crate) const KIND_SHIFT: u32 = 30;

// Kinds of pieces; see `payloads`.
pub(crate) const JSON: u32 = 0;
pub(crate) const TEXT: u32 = 1;
pub(crate) const INTEGER: u32 = 2;
pub(crate) const DOUBLE: u32 = 3;

// Codes of events that are no messages; see `event`.
pub(crate) const UPGRADE: i32 = -1;
pub(crate) const CLOSED: i32 = -2;
pub(crate) const BAD: i32 = -3;
pub(crate) const FAULT: i32 = -4;
pub(crate) const STOPPED: i32 = -5;
pub(crate) const DIED: i32 = -6;
