//! The two names of a client: the id that users see, and the number that both sides of the border use.

use std::fmt;

use uuid::{Uuid, fmt::Hyphenated};

/// A client's public id: a random UUID, version 4, written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(Uuid);

impl ClientId {
    /// A new id that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// A new id of a client of this process.
    #[must_use]
    pub fn random_of(process: Process) -> Self {
        let mut bytes = Self::random().to_bytes();
        // A UUID of version 4 has its version and its variant behind these.
        bytes[..6].copy_from_slice(&process.0);
        Self::from_bytes(bytes)
    }

    /// The process whose client it is, if that has a bus.
    #[must_use]
    pub fn process(self) -> Process {
        let mut first = [0; 6];
        first.copy_from_slice(&self.to_bytes()[..6]);
        Process(first)
    }

    /// The id of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id that is written so, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Its bytes, in the order in which it is written.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// How many characters it has.
    pub(crate) const LENGTH: usize = Hyphenated::LENGTH;

    /// Appends it.
    pub(crate) fn push(self, out: &mut Vec<u8>) {
        let mut buffer = [0; Self::LENGTH];
        let text = self.0.hyphenated().encode_lower(&mut buffer);
        out.extend_from_slice(text.as_bytes());
    }

    /// A number from 0 to `max`, at random among clients and always the same for one.
    pub(crate) fn share_of(self, max: u32) -> u32 {
        // The last 62 bits of a UUID of version 4 are random.
        let random = self.0.as_u64_pair().1 & u64::from(u32::MAX);
        u32::try_from((random * (u64::from(max) + 1)) >> 32).unwrap_or(max)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The number of a process among those that share a bus. It is random, and the first 48 bits of the ids of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub [u8; 6]);

impl Process {
    /// A new number.
    #[must_use]
    pub fn random() -> Self {
        ClientId::random().process()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The number of a connection on the border. Numbers are small and dense. The engine uses a number again only after the owner has
/// released it. The number also contains the shard, so no table is needed to find it.
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

    /// Its number on that thread.
    pub(crate) fn slot(self, shards: u32) -> u32 {
        self.0 / shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_a_process_have_its_number_first_and_differ_in_the_rest() {
        let process = Process([0, 1, 2, 0xab, 0xcd, 0xff]);
        let (one, two) = (ClientId::random_of(process), ClientId::random_of(process));
        assert_eq!(one.process(), process);
        assert_ne!(one, two);
        let text = one.to_string();
        assert!(text.starts_with("000102ab-cdff-4"));
        assert_eq!(process.to_string(), "000102abcdff");
        assert_eq!(ClientId::from_bytes(one.to_bytes()), one);
        assert!(one.0.get_version_num() == 4 && one.0.get_variant() == uuid::Variant::RFC4122);
    }

    #[test]
    fn shares_lie_within_their_range_and_all_over_it() {
        for max in [0, 1, 9, u32::MAX] {
            let id = ClientId::random();
            assert!(id.share_of(max) <= max);
            assert_eq!(id.share_of(max), id.share_of(max));
        }
        let shares: std::collections::HashSet<u32> =
            (0..1000).map(|_| ClientId::random().share_of(9)).collect();
        assert_eq!(shares.len(), 10);
    }
}
