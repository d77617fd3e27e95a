//! The lanes on which publications travel.
//!
//! In a Redis Cluster the lane of a channel is its slot, and each node serves some of the slots. A lane that nobody serves holds up
//! no other one. Every other bus has one lane.

use std::{fmt, ops::RangeInclusive};

use crate::bus::channels::Channel;

/// Slots of a Redis Cluster.
pub(crate) const SLOTS: u16 = 16_384;
/// CRC-16/XMODEM.
const POLYNOMIAL: u16 = 0x1021;
const BITS: usize = 64;

/// The number of a lane, below [`SLOTS`].
pub(crate) type Lane = u16;

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index: u16 = 0;
    while index < 256 {
        let mut crc = index << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ POLYNOMIAL
            };
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
};

/// The slot of a key or of a sharded channel. None of our names has braces, which would choose a part of it.
pub(crate) fn slot_of(name: &str) -> Lane {
    let crc = name.bytes().fold(0_u16, |crc, byte| {
        let [high, _] = crc.to_be_bytes();
        (crc << 8) ^ TABLE[usize::from(high ^ byte)]
    });
    crc % SLOTS
}

/// A set of lanes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Lanes(Box<[u64; SLOTS as usize / BITS]>);

impl Default for Lanes {
    fn default() -> Self {
        Self(Box::new([0; SLOTS as usize / BITS]))
    }
}

impl Lanes {
    pub(crate) fn one(lane: Lane) -> Self {
        let mut lanes = Self::default();
        lanes.insert(lane);
        lanes
    }

    pub(crate) fn insert(&mut self, lane: Lane) {
        if let Some(word) = self.0.get_mut(usize::from(lane) / BITS) {
            *word |= 1 << (usize::from(lane) % BITS);
        }
    }

    pub(crate) fn insert_range(&mut self, range: RangeInclusive<Lane>) {
        range.for_each(|lane| self.insert(lane));
    }

    pub(crate) fn has(&self, lane: Lane) -> bool {
        let word = self.0.get(usize::from(lane) / BITS);
        word.is_some_and(|word| word & 1 << (usize::from(lane) % BITS) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn add(&mut self, others: &Self) {
        self.each_word(others, |mine, other| mine | other);
    }

    pub(crate) fn remove(&mut self, others: &Self) {
        self.each_word(others, |mine, other| mine & !other);
    }

    /// Those that are in both.
    pub(crate) fn keep(&mut self, others: &Self) {
        self.each_word(others, |mine, other| mine & other);
    }

    fn each_word(&mut self, others: &Self, merge: impl Fn(u64, u64) -> u64) {
        for (mine, other) in self.0.iter_mut().zip(others.0.iter()) {
            *mine = merge(*mine, *other);
        }
    }

    /// Whether the channel's lane is one of them, with the names that channels have under a prefix.
    pub(crate) fn carry(&self, channel: Channel, prefix: &str) -> bool {
        self.has(slot_of(&channel.name(prefix, ':')))
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lanes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The check value of CRC-16/XMODEM, and what `CLUSTER KEYSLOT` answers.
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of(""), 0);
    }

    #[test]
    fn sets_of_lanes_are_added_and_removed() {
        let mut lanes = Lanes::default();
        assert!(lanes.is_empty());
        lanes.insert_range(60..=130);
        lanes.insert(SLOTS - 1);
        assert_eq!(lanes.len(), 72);
        assert!(lanes.has(60) && lanes.has(64) && lanes.has(130) && !lanes.has(131));
        let mut some = Lanes::one(64);
        some.insert(3);
        lanes.remove(&some);
        assert!(!lanes.has(64) && lanes.len() == 71);
        lanes.add(&some);
        assert!(lanes.has(3) && lanes.has(64));
        lanes.keep(&some);
        assert_eq!(lanes, some);
        // A number that is no slot changes nothing.
        lanes.insert(u16::MAX);
        assert!(!lanes.has(u16::MAX));
        assert_eq!(lanes.len(), 2);
    }
}
