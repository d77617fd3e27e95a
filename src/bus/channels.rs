//! The channels of a bus: one for everybody, one for each process, one for each room.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::border::handle::Process;

/// A channel, without the prefix that the processes of one application share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    /// All processes read it.
    Everybody,
    /// One process reads it.
    Process(Process),
    /// The processes with members of a room read it. Users choose the names of rooms, and some buses give characters a meaning, so
    /// this is half of the name's SHA-256.
    Room([u8; 16]),
}

impl Channel {
    /// The channel of a room.
    pub(crate) fn of_room(name: &[u8]) -> Self {
        let digest = Sha256::digest(name);
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self::Room(half)
    }

    /// Its name on a bus that separates the parts by `separator`.
    pub(crate) fn name(self, prefix: &str, separator: char) -> String {
        match self {
            Self::Everybody => format!("{prefix}{separator}all"),
            Self::Process(process) => format!("{prefix}{separator}p{separator}{process}"),
            Self::Room(half) => format!("{prefix}{separator}r{separator}{}", Hex(&half)),
        }
    }

    /// The channel of that name, if it is one.
    pub(crate) fn named(name: &str, prefix: &str, separator: char) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?.strip_prefix(separator)?;
        if rest == "all" {
            return Some(Self::Everybody);
        }
        match rest.split_once(separator)? {
            ("p", hex) => Some(Self::Process(Process(unhex(hex)?))),
            ("r", hex) => Some(Self::Room(unhex(hex)?)),
            _ => None,
        }
    }
}

/// Bytes in hexadecimal digits, in lower case.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let length = data_encoding::HEXLOWER.decode_len(text.len()).ok()?;
    if length != LENGTH {
        return None;
    }
    data_encoding::HEXLOWER
        .decode_mut(text.as_bytes(), &mut bytes)
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_half_of_the_sha_256_of_its_name() {
        let name = Channel::of_room(b"lobby").name("chat", ':');
        assert_eq!(name, "chat:r:4b5dc076e7b9c122b3c89121a9710fc7");
        let wild = Channel::of_room(b">.*{x}").name("chat", '.');
        assert!(wild.starts_with("chat.r.") && wild.len() == "chat.r.".len() + 32);
    }

    #[test]
    fn names_and_channels_belong_together() {
        for channel in [
            Channel::Everybody,
            Channel::Process(Process([0, 1, 2, 0xab, 0xff, 5])),
            Channel::of_room(b"lobby"),
        ] {
            let name = channel.name("a-b_1", '.');
            assert_eq!(Channel::named(&name, "a-b_1", '.'), Some(channel));
            assert_eq!(Channel::named(&name, "a-b", '.'), None);
        }
        for name in [
            "", "a", "a.", "a.p.12", "a.r.zz", "a.q.00", "a.all.x", "ab.all",
        ] {
            assert_eq!(Channel::named(name, "a", '.'), None, "{name}");
        }
    }
}
