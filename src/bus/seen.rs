//! What this process has received: finds duplicates and holes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    border::handle::Process,
    bus::{
        channels::Channel,
        format::{Number, PublicationId},
    },
    shrink::shrink_map,
};

/// How long ids are kept, and how many.
const ID_KEPT: Duration = Duration::from_secs(10);
const MOST_IDS: usize = 65_536;
/// Publishers begin anew after 60 s of silence, so a row that old has no use.
const ROW_KEPT: Duration = Duration::from_secs(120);
/// How many rows are kept. Past that, all begin anew.
const MOST_ROWS: usize = 65_536;

/// The last number of one process on one channel.
#[derive(Debug)]
struct Row {
    last: Number,
    at: Instant,
}

/// Whether a publication is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// It is new, and so many before it never came.
    New { missed: u64 },
    /// It has been here.
    Old,
}

/// What was received.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ids: HashSet<PublicationId>,
    order: VecDeque<(Instant, PublicationId)>,
    rows: HashMap<Channel, HashMap<Process, Row>>,
    count: usize,
}

impl Seen {
    /// Notes the number of a publication. A number that is not above the last one of its epoch is old.
    pub(crate) fn number(
        &mut self,
        channel: Channel,
        process: Process,
        number: Number,
        now: Instant,
    ) -> Novelty {
        if self.count >= MOST_ROWS {
            self.rows = HashMap::new();
            self.count = 0;
        }
        let rows = self.rows.entry(channel).or_default();
        let Some(row) = rows.get_mut(&process) else {
            rows.insert(
                process,
                Row {
                    last: number,
                    at: now,
                },
            );
            self.count += 1;
            return Novelty::New { missed: 0 };
        };
        row.at = now;
        let last = row.last;
        if last.epoch == number.epoch && number.number <= last.number {
            return Novelty::Old;
        }
        row.last = number;
        let missed = if last.epoch == number.epoch {
            number.number - last.number - 1
        } else {
            0
        };
        Novelty::New { missed }
    }

    /// Notes the id of a publication; false if it was noted before.
    pub(crate) fn id(&mut self, id: PublicationId, now: Instant) -> bool {
        while let Some((at, oldest)) = self.order.front() {
            if now.duration_since(*at) < ID_KEPT && self.order.len() < MOST_IDS {
                break;
            }
            self.ids.remove(oldest);
            self.order.pop_front();
        }
        let is_new = self.ids.insert(id);
        if is_new {
            self.order.push_back((now, id));
        }
        is_new
    }

    /// Forgets the numbers of a channel that is not read any more.
    pub(crate) fn left(&mut self, channel: Channel) {
        if let Some(rows) = self.rows.remove(&channel) {
            self.count -= rows.len();
        }
    }

    /// The bus was away, and nobody knows who was silent and who was not heard.
    pub(crate) fn returned(&mut self, now: Instant) {
        for row in self.rows.values_mut().flat_map(HashMap::values_mut) {
            row.at = now;
        }
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.order.is_empty()
    }

    /// Frees what is too old to matter.
    pub(crate) fn tidy(&mut self, now: Instant) {
        self.rows.retain(|_, rows| {
            rows.retain(|_, row| now.duration_since(row.at) < ROW_KEPT);
            shrink_map(rows);
            !rows.is_empty()
        });
        shrink_map(&mut self.rows);
        self.count = self.rows.values().map(HashMap::len).sum();
        if self
            .order
            .back()
            .is_none_or(|(at, _)| now.duration_since(*at) >= ID_KEPT)
        {
            self.ids = HashSet::new();
            self.order = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Process = Process([1; 6]);

    fn number(epoch: u64, number: u64) -> Number {
        Number { epoch, number }
    }

    #[test]
    fn holes_are_counted_at_the_next_number() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let mut hear = |it| seen.number(Channel::Everybody, PROCESS, it, now);
        // What came before the first is not known.
        assert_eq!(hear(number(1, 7)), Novelty::New { missed: 0 });
        assert_eq!(hear(number(1, 8)), Novelty::New { missed: 0 });
        assert_eq!(hear(number(1, 12)), Novelty::New { missed: 3 });
        assert_eq!(hear(number(1, 10)), Novelty::Old);
        assert_eq!(hear(number(1, 12)), Novelty::Old);
        assert_eq!(hear(number(2, 5)), Novelty::New { missed: 0 });
        assert_eq!(hear(number(2, 7)), Novelty::New { missed: 1 });
    }

    #[test]
    fn a_hole_that_a_long_outage_left_is_counted() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        seen.number(Channel::Everybody, PROCESS, number(1, 1), now);
        let back = now + 2 * ROW_KEPT;
        seen.returned(back);
        seen.tidy(back + ROW_KEPT / 2);
        let novelty = seen.number(Channel::Everybody, PROCESS, number(1, 9), back);
        assert_eq!(novelty, Novelty::New { missed: 7 });
    }

    #[test]
    fn processes_and_channels_are_counted_apart_and_anew_after_the_channel_was_left() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let room = Channel::of_room(b"a");
        for (channel, process) in [
            (room, PROCESS),
            (room, Process([2; 6])),
            (Channel::Everybody, PROCESS),
        ] {
            let novelty = seen.number(channel, process, number(1, 5), now);
            assert_eq!(novelty, Novelty::New { missed: 0 });
        }
        seen.left(room);
        let novelty = seen.number(room, PROCESS, number(1, 9), now);
        assert_eq!(novelty, Novelty::New { missed: 0 });
        let novelty = seen.number(Channel::Everybody, PROCESS, number(1, 9), now);
        assert_eq!(novelty, Novelty::New { missed: 3 });
    }

    #[test]
    fn ids_are_kept_for_ten_seconds_and_within_a_bound() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        assert!(seen.id([1; 16], now));
        assert!(!seen.id([1; 16], now + Duration::from_secs(9)));
        assert!(seen.id([1; 16], now + ID_KEPT));
        for id in 0..2 * MOST_IDS as u128 {
            assert!(seen.id(id.to_le_bytes(), now + ID_KEPT));
        }
        assert!(seen.ids.len() <= MOST_IDS && seen.ids.len() == seen.order.len());
        seen.tidy(now + 2 * ID_KEPT);
        assert_eq!(seen.ids.capacity(), 0);
    }

    #[test]
    fn rows_are_bounded_and_freed() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for process in 0..=MOST_ROWS as u64 {
            let process = Process(process.to_le_bytes()[..6].try_into().unwrap());
            seen.number(Channel::Everybody, process, number(1, 1), now);
        }
        assert!(seen.count <= MOST_ROWS);
        seen.tidy(now + ROW_KEPT);
        assert!(seen.count == 0 && seen.rows.is_empty());
    }
}
