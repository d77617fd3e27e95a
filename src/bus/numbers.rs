//! Numbers the publications of this process: one row of numbers for each channel, and one in the ids, for all of them.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    bus::{
        channels::Channel,
        format::{Number, PublicationId},
    },
    shrink::shrink_map,
};

/// A channel that was not published to for this long is forgotten, and begins anew.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How many channels are kept. Past that, all begin anew.
const MOST: usize = 65_536;

/// The row of one channel.
#[derive(Debug)]
struct Row {
    number: Number,
    used: Instant,
}

/// The rows of all channels.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    rows: HashMap<Channel, Row>,
}

impl Numbers {
    /// The next number of a channel. It is used up, whatever happens to the publication.
    pub(crate) fn next(&mut self, channel: Channel, now: Instant) -> Number {
        if self.rows.len() >= MOST && !self.rows.contains_key(&channel) {
            self.rows = HashMap::new();
        }
        let row = self.rows.entry(channel).or_insert_with(|| Row {
            number: Number {
                epoch: random(),
                number: 0,
            },
            used: now,
        });
        if now.duration_since(row.used) >= FORGOTTEN {
            row.number = Number {
                epoch: random(),
                number: 0,
            };
        }
        row.number.number += 1;
        row.used = now;
        row.number
    }

    /// Whether no row is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Frees the rows that are forgotten.
    pub(crate) fn tidy(&mut self, now: Instant) {
        (self.rows).retain(|_, row| now.duration_since(row.used) < FORGOTTEN);
        shrink_map(&mut self.rows);
    }
}

/// Makes the ids of publications. They tell which of two was published first, whatever their channels.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Random, and so different from that of any other process.
    random: u64,
    last: u64,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            random: random(),
            last: 0,
        }
    }
}

impl Ids {
    /// The next id.
    pub(crate) fn next(&mut self) -> PublicationId {
        self.last += 1;
        let mut id = PublicationId::default();
        id[..8].copy_from_slice(&self.random.to_be_bytes());
        id[8..].copy_from_slice(&self.last.to_be_bytes());
        id
    }
}

/// A number that no other process has.
pub(crate) fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_counts_by_itself_from_one() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        let (all, room) = (Channel::Everybody, Channel::of_room(b"a"));
        let first = numbers.next(all, now);
        assert_eq!(first.number, 1);
        assert_eq!(numbers.next(room, now).number, 1);
        let second = Number { number: 2, ..first };
        assert_eq!(numbers.next(all, now), second);
    }

    #[test]
    fn a_channel_that_was_silent_begins_anew_under_another_epoch() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        let first = numbers.next(Channel::Everybody, now);
        let again = numbers.next(Channel::Everybody, now + FORGOTTEN);
        assert_eq!(again.number, 1);
        assert_ne!(again.epoch, first.epoch);
        numbers.tidy(now + FORGOTTEN);
        assert_eq!(numbers.rows.len(), 1);
        numbers.tidy(now + 2 * FORGOTTEN);
        assert!(numbers.rows.is_empty());
    }

    #[test]
    fn the_channels_that_are_kept_are_bounded() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        for room in 0..=MOST {
            numbers.next(Channel::of_room(&room.to_le_bytes()), now);
        }
        assert!(numbers.rows.len() <= MOST);
    }
}
