//! The bytes of RFC 6455, section 5: incoming and outgoing frames.

pub(crate) mod closing;
pub(crate) mod deflate;
pub(crate) mod fault;
pub(crate) mod incoming;
pub(crate) mod outgoing;

/// In the first byte: the frame is the last one of its message.
pub(crate) const FIN: u8 = 0x80;
/// In the first byte: bits that mean something with an extension alone.
pub(crate) const RESERVED: u8 = 0x70;
/// The first of those bits: the message that begins with the frame is compressed (RFC 7692, section 6).
pub(crate) const COMPRESSED: u8 = 0x40;
/// In the first byte: what the frame is.
pub(crate) const OPCODE: u8 = 0x0f;
/// The bit that all opcodes of control frames have.
pub(crate) const CONTROL: u8 = 0x08;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// In the second byte: the payload is masked, as in all that a client sends.
pub(crate) const MASKED: u8 = 0x80;
/// In the second byte: the length, or one of the two numbers below.
pub(crate) const LENGTH: u8 = 0x7f;
/// The length stands in the next two bytes.
pub(crate) const LENGTH_16: u8 = 126;
/// The length stands in the next eight bytes.
pub(crate) const LENGTH_64: u8 = 127;

/// Bytes of a mask.
pub(crate) const MASK: usize = 4;
/// The most bytes that a control frame's payload may have.
pub(crate) const MAX_CONTROL: usize = 125;
/// The most bytes that the reason in a close frame may have: its code takes two.
pub(crate) const MAX_REASON: usize = MAX_CONTROL - 2;
