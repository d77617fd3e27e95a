//! Compresses and inflates messages as RFC 7692 says. Each message is a separate DEFLATE stream, without the four bytes that end its
//! last block.
//!
//! Nothing is kept from one message to the next, so one [`Deflater`] and one [`Inflater`] serve any number of connections.

use std::num::NonZeroU8;

/// The bytes that a receiver puts behind a message: the tail that was not sent, and an empty last block. Without the latter, a
/// complete message could not be told from one that is cut off.
pub(crate) const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// A message may be compressed to no more than a few bytes more than it has: RFC 1951, section 3.2.4, has blocks of bytes as
/// they are. This is the most that a compressed message of `plain` bytes may have.
pub(crate) fn longest_compressed(plain: usize) -> usize {
    plain.saturating_add(plain / 1024 + 64)
}

/// How far back in a message a repetition may point: 2 to the power of 9 to 15 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(NonZeroU8);

impl Window {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
    const LEAST: u8 = 9;
    /// The exponent of the largest.
    pub(crate) const MOST: u8 = 15;

    /// The window of so many bits; `None` if zlib cannot compress with it.
    #[must_use]
    pub fn new(bits: u8) -> Option<Self> {
        let bits = Some(bits).filter(|bits| (Self::LEAST..=Self::MOST).contains(bits))?;
        NonZeroU8::new(bits).map(Self)
    }

    /// Its exponent.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0.get()
    }

    /// Its number among all of them.
    pub(crate) fn index(self) -> usize {
        usize::from(self.bits() - Self::LEAST)
    }

    /// The smallest window that reaches all of a message, if that is smaller than this one. A stream that was made with it
    /// is right for every larger one.
    pub(crate) fn reaching(self, length: usize) -> Self {
        let needed = (Self::LEAST..self.bits()).find(|&bits| length <= 1 << bits);
        needed.and_then(Self::new).unwrap_or(self)
    }
}

#[cfg(feature = "deflate")]
pub(crate) use with_zlib::{Deflater, Inflater};
#[cfg(not(feature = "deflate"))]
pub(crate) use without::{Deflater, Inflater};

/// The result of one step of inflating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes taken of what was given.
    pub(crate) read: usize,
    /// Bytes that came out.
    pub(crate) written: usize,
    /// The stream says that it ends here.
    pub(crate) ends: bool,
}

#[cfg(feature = "deflate")]
mod with_zlib {
    use zlib_rs::{DeflateConfig, DeflateFlush, InflateFlush, Status};

    use super::{Step, Window};
    use crate::frame::fault::Fault;

    /// The end of each message's stream (RFC 7692, section 7.2.1), which is not sent.
    const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

    /// Compresses messages.
    pub(crate) struct Deflater {
        stream: zlib_rs::Deflate,
        level: u8,
        window: Window,
    }

    impl Deflater {
        pub(crate) fn new(level: u8, window: Window) -> Self {
            Self {
                stream: stream(level, window),
                level,
                window,
            }
        }

        /// Appends `message` to `out`, compressed; false, and nothing is appended, if it would not be shorter. `buffer` may
        /// hold anything.
        pub(crate) fn compress(
            &mut self,
            message: &[u8],
            window: Window,
            buffer: &mut [u8],
            out: &mut Vec<u8>,
        ) -> bool {
            if self.window == window {
                self.stream.reset();
            } else {
                self.window = window;
                self.stream = stream(self.level, window);
            }
            let start = out.len();
            loop {
                let (read, written) = (self.stream.total_in(), self.stream.total_out());
                let rest = &message[usize::try_from(read).unwrap_or(usize::MAX)..];
                let step = self.stream.compress(rest, buffer, DeflateFlush::SyncFlush);
                let length = usize::try_from(self.stream.total_out() - written);
                let length = length.unwrap_or(usize::MAX);
                out.extend_from_slice(&buffer[..length]);
                // A full buffer means that there is more.
                let is_done = length < buffer.len();
                let shrinks = out.len() - start < message.len() + TAIL.len();
                if step.is_err() || !shrinks {
                    out.truncate(start);
                    return false;
                }
                if is_done {
                    break;
                }
            }
            let ends = out.ends_with(&TAIL);
            debug_assert!(ends, "a flushed stream ends with an empty block");
            out.truncate(if ends { out.len() - TAIL.len() } else { start });
            ends
        }
    }

    fn stream(level: u8, window: Window) -> zlib_rs::Deflate {
        zlib_rs::Deflate::new_with_config(DeflateConfig {
            level: level.into(),
            // Negative: without zlib's own header.
            window_bits: -i32::from(window.bits()),
            ..DeflateConfig::default()
        })
    }

    /// Inflates messages, one after the other.
    pub(crate) struct Inflater {
        stream: zlib_rs::Inflate,
    }

    impl Inflater {
        /// Bytes of memory: the largest window, and what zlib keeps beside it.
        pub(crate) const COST: usize = 48 * 1024;

        pub(crate) fn new() -> Self {
            Self {
                // A client may use the largest window, whatever it was asked for.
                stream: zlib_rs::Inflate::new(false, Window::MOST),
            }
        }

        /// Forgets the last message.
        pub(crate) fn reset(&mut self) {
            self.stream.reset(false);
        }

        /// Inflates as much of `bytes` as `out` has room for.
        ///
        /// # Errors
        /// When this is no DEFLATE stream.
        pub(crate) fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(bytes, out, InflateFlush::SyncFlush);
            let status = status.map_err(|_| Fault::NotDeflate)?;
            let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(0);
            Ok(Step {
                read: count(self.stream.total_in(), read),
                written: count(self.stream.total_out(), written),
                ends: status == Status::StreamEnd,
            })
        }
    }
}

/// Without the feature `deflate` no client is ever agreed with, so nothing here can exist.
#[cfg(not(feature = "deflate"))]
#[expect(clippy::unused_self, reason = "it stands in for what does something")]
mod without {
    use super::{Step, Window};
    use crate::frame::fault::Fault;

    pub(crate) struct Deflater;

    impl Deflater {
        pub(crate) fn new(_level: u8, _window: Window) -> Self {
            Self
        }

        pub(crate) fn compress(
            &mut self,
            _message: &[u8],
            _window: Window,
            _buffer: &mut [u8],
            _out: &mut Vec<u8>,
        ) -> bool {
            false
        }
    }

    pub(crate) struct Inflater;

    impl Inflater {
        pub(crate) const COST: usize = 0;

        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn reset(&mut self) {}

        pub(crate) fn step(&mut self, _bytes: &[u8], _out: &mut [u8]) -> Result<Step, Fault> {
            Err(Fault::NotDeflate)
        }
    }
}

#[cfg(all(test, feature = "deflate"))]
mod tests {
    use zlib_rs::InflateFlush;

    use super::*;

    fn window(bits: u8) -> Window {
        Window::new(bits).expect("a window that there is")
    }

    /// Bytes that repeat at all distances, and some that do not.
    fn message(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut bytes: Vec<u8> = Vec::with_capacity(length);
        while bytes.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let back = (state >> 8) as usize % 70_000 + 1;
            if state & 1 == 0 && back < bytes.len() {
                let start = bytes.len() - back;
                let end = bytes.len().min(start + 40);
                bytes.extend_from_within(start..end);
            } else {
                bytes.push(state.to_le_bytes()[2]);
            }
        }
        bytes.truncate(length);
        bytes
    }

    /// Reads a stream as a client with a small window does, which keeps nothing from before it.
    fn inflate(compressed: &[u8], bits: u8) -> Vec<u8> {
        let whole = [compressed, &END].concat();
        let mut stream = zlib_rs::Inflate::new(false, bits);
        let mut plain = Vec::new();
        let mut out = [0; 64];
        loop {
            let (read, written) = (stream.total_in(), stream.total_out());
            let rest = &whole[usize::try_from(read).unwrap()..];
            let status = stream.decompress(rest, &mut out, InflateFlush::NoFlush);
            let length = usize::try_from(stream.total_out() - written).unwrap();
            plain.extend_from_slice(&out[..length]);
            match status.unwrap() {
                zlib_rs::Status::StreamEnd => return plain,
                _ => assert!(length > 0 || stream.total_in() > read),
            }
        }
    }

    #[test]
    fn no_repetition_points_further_back_than_its_window() {
        let mut buffer = vec![0; 64 * 1024];
        for level in 1..=9 {
            let mut deflater = Deflater::new(level, window(15));
            // From one window to another and back, with the same deflater.
            for bits in [15, 9, 10, 11, 12, 13, 14, 9, 15] {
                for length in [100, 600, 5000, 200_000] {
                    let message = message(length);
                    let used = window(bits).reaching(length);
                    let mut out = b"before".to_vec();
                    if deflater.compress(&message, used, &mut buffer, &mut out) {
                        assert!(out.len() - 6 < length);
                        assert!(
                            inflate(&out[6..], bits) == message,
                            "{level}, {bits}, {length}"
                        );
                    } else {
                        assert_eq!(out, b"before");
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_reaches_all_of_a_message_or_is_the_largest_allowed() {
        for (bits, length, reaching) in [
            (15, 0, 9),
            (15, 512, 9),
            (15, 513, 10),
            (15, 32_768, 15),
            (15, 1 << 20, 15),
            (12, 1000, 10),
            (12, 1 << 20, 12),
            (9, 1 << 20, 9),
        ] {
            assert_eq!(window(bits).reaching(length), window(reaching));
        }
        assert_eq!((Window::new(8), Window::new(16)), (None, None));
        assert_eq!(
            (window(9).index(), window(15).index()),
            (0, Window::COUNT - 1)
        );
    }
}
