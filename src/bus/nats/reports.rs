//! Reports that wait for the thread of the bus.
//!
//! `async_nats` discards messages when the queue of a subscription is full. That limits their number and not their bytes. So all
//! messages move on to this queue at once, which limits the bytes of all of them together.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use crate::bus::{format, link::Report};

/// Bytes of messages that may wait. Past that, they are discarded.
const MOST: usize = 16 * 1024 * 1024;
/// What one costs beside its bytes.
const OVERHEAD: usize = 128;
/// Places that are kept when none waits.
const KEPT: usize = 1_024;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<Report>,
    /// Messages that have just come. Those of different subscriptions are in no order yet.
    arrived: Vec<Report>,
    /// Bytes of the messages in it.
    bytes: usize,
    /// Messages that were discarded since the last report of some.
    discarded: u64,
}

impl Reports {
    /// Adds a report. The answers to our own asks are few, and always have a place. A message may be discarded.
    pub(super) fn push(&mut self, report: Report) {
        let size = size_of(&report);
        if size > 0 && self.bytes + size > MOST {
            self.discard();
        } else {
            self.bytes += size;
            self.waiting.push_back(report);
        }
    }

    /// Adds a message that has just come, until [`settle`](Self::settle).
    pub(super) fn arrived(&mut self, message: Report) {
        self.arrived.push(message);
    }

    /// All that came together has arrived: messages of one process follow each other as it sent them.
    pub(super) fn settle(&mut self) {
        let mut arrived = mem::take(&mut self.arrived);
        if arrived.len() > 1 {
            sort(&mut arrived);
        }
        for message in arrived.drain(..) {
            self.push(message);
        }
        if arrived.capacity() <= KEPT {
            self.arrived = arrived;
        }
    }

    /// Counts a message that somebody else has discarded.
    pub(super) fn discard(&mut self) {
        self.discarded += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.discarded == 0
    }

    /// The next one, which goes to the thread of the bus.
    pub(super) fn take(&mut self) -> Option<Report> {
        if self.discarded > 0 {
            return Some(Report::Discarded(mem::take(&mut self.discarded)));
        }
        let report = self.waiting.pop_front()?;
        self.bytes -= size_of(&report);
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        Some(report)
    }
}

/// Sorts the publications of each process by their ids. All else stays where it is.
fn sort(messages: &mut [Report]) {
    let mut processes = BTreeMap::<_, Vec<_>>::new();
    for (place, message) in messages.iter().enumerate() {
        if let Report::Received(_, bytes) = message
            && let Some((process, id)) = format::place_of(bytes)
        {
            processes.entry(process).or_default().push((id, place));
        }
    }
    for mut found in processes.into_values() {
        if found.is_sorted_by_key(|(id, _)| *id) {
            continue;
        }
        let places: Vec<_> = found.iter().map(|(_, place)| *place).collect();
        found.sort_by_key(|(id, _)| *id);
        let sorted: Vec<_> = (found.iter())
            .map(|(_, place)| mem::replace(&mut messages[*place], Report::Foreign))
            .collect();
        for (place, message) in places.into_iter().zip(sorted) {
            messages[place] = message;
        }
    }
}

fn size_of(report: &Report) -> usize {
    match report {
        Report::Received(_, bytes) => bytes.len() + OVERHEAD,
        Report::Foreign => OVERHEAD,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        border::handle::Process,
        bus::{
            books::Fate,
            channels::Channel,
            format::{Publication, Receivers},
        },
    };

    #[test]
    fn sixteen_megabytes_of_messages_wait_and_further_ones_are_counted() {
        let mut reports = Reports::default();
        let size = 100_000;
        let most = MOST / (size + OVERHEAD);
        for _ in 0..most + 3 {
            reports.push(Report::Received(Channel::Everybody, vec![0; size]));
        }
        reports.push(Report::Answered(1, Fate::Confirmed));
        assert!(matches!(reports.take(), Some(Report::Discarded(3))));
        for _ in 0..most {
            assert!(matches!(reports.take(), Some(Report::Received(..))));
        }
        assert!(matches!(reports.take(), Some(Report::Answered(..))));
        assert!(reports.is_empty() && reports.take().is_none());
        assert_eq!((reports.bytes, reports.waiting.len()), (0, 0));
    }

    /// What one process publishes as its nth, on some channel.
    fn nth(process: u8, n: u8, room: &[u8]) -> Report {
        let mut id = [process; 16];
        id[15] = n;
        let mut bytes = Vec::new();
        let publication = Publication {
            id,
            process: Some(Process([process; 6])),
            number: None,
            route: "on",
            to: Receivers::Rooms(vec![room]),
            except: Vec::new(),
            payload: None,
            bytes: None,
        };
        format::write(&mut bytes, &publication);
        Report::Received(Channel::of_room(room), bytes)
    }

    #[test]
    fn what_came_together_is_in_the_order_of_each_sender_and_all_else_stays() {
        let mut reports = Reports::default();
        // Two queues, taken by turns.
        let came = [
            (1, 1),
            (1, 4),
            (2, 9),
            (1, 2),
            (0, 0),
            (1, 4),
            (2, 7),
            (1, 3),
        ];
        for (process, n) in came {
            reports.arrived(match process {
                0 => Report::Foreign,
                _ => nth(process, n, if n == 4 { b"a" } else { b"b" }),
            });
        }
        assert!(reports.is_empty());
        reports.settle();
        let mut found = Vec::new();
        while let Some(report) = reports.take() {
            found.push(match report {
                Report::Received(_, bytes) => {
                    let (process, id) = format::place_of(&bytes).unwrap();
                    (process.0[0], id[15])
                }
                _ => (0, 0),
            });
        }
        let expected = [
            (1, 1),
            (1, 2),
            (2, 7),
            (1, 3),
            (0, 0),
            (1, 4),
            (2, 9),
            (1, 4),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn many_small_ones_cost_what_they_hold_and_give_their_memory_back() {
        let mut reports = Reports::default();
        for _ in 0..2 * MOST / OVERHEAD {
            reports.push(Report::Foreign);
        }
        assert_eq!(reports.waiting.len(), MOST / OVERHEAD);
        while reports.take().is_some() {}
        assert_eq!(reports.waiting.capacity(), 0);
    }
}
