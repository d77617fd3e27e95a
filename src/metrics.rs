//! Counters. Each shard has a set, and the owner adds the sets up.
//!
//! Only the thread of a shard writes its counters.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{handshake::refusal::Reason, message::error::BadCode};

/// A counter with one writer, so that counting costs no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Release pairs with the load of a snapshot: a thread that sees a message written also sees it sent.
        self.0
            .store(self.0.load(Ordering::Relaxed) + n, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Makes [`Metrics`] and [`Snapshot`] from one list, so that a new counter is one line in it. A counter under `by` has a number for
/// each value of an enum. `named` leaves the counters under `apart` out. Values under `now` are not counted: the
/// server measures them when it is asked.
macro_rules! counters {
    (
        all { $($(#[$about:meta])* $counter:ident,)* }
        by { $($(#[$by:meta])* $group:ident: $key:ident,)* }
        apart { $($(#[$told:meta])* $apart:ident,)* }
        now { $($(#[$state:meta])* $now:ident,)* }
    ) => {
        /// The counters of one shard.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $counter: Counter,)*
            $(pub(crate) $apart: Counter,)*
            $(pub(crate) $group: [Counter; $key::ALL.len()],)*
        }

        /// The counters of a server at one moment. `sent = written + queued + dropped` always holds.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$about])* pub $counter: u64,)*
            $($(#[$told])* pub $apart: u64,)*
            $($(#[$by])* pub $group: [u64; $key::ALL.len()],)*
            $($(#[$state])* pub $now: u64,)*
        }

        impl Snapshot {
            /// Adds what a shard has counted, read in the order of the list.
            fn add(&mut self, shard: &Metrics) {
                $(self.$counter += shard.$counter.get();)*
                $(self.$apart += shard.$apart.get();)*
                $(for (total, counter) in self.$group.iter_mut().zip(&shard.$group) {
                    *total += counter.get();
                })*
            }

            /// All of it with its names, but what is counted apart.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, Count)> {
                vec![
                    $((stringify!($counter), Count::One(self.$counter)),)*
                    $((stringify!($group), Count::Each(
                        $key::ALL.map($key::name).into_iter().zip(self.$group).collect(),
                    )),)*
                    $((stringify!($now), Count::One(self.$now)),)*
                ]
            }
        }
    };
}

counters! {
    all {
        /// Upgrades that were admitted.
        accepted,
        /// Whole messages read.
        received,
        // The ends of messages are read before their beginnings, so that `queued` is never negative.
        /// Messages whose last byte the system took.
        written,
        /// Messages that were given up.
        dropped,
        /// Messages sent, once for each client they were meant for.
        sent,
        /// Bytes read from upgraded connections.
        bytes_in,
        /// Bytes written to them.
        bytes_out,
    }
    by {
        /// Upgrades answered otherwise, in the order of [`Reason::ALL`].
        refused: Reason,
        /// Messages answered with `$error`, in the order of [`BadCode::ALL`].
        bad: BadCode,
    }
    apart {
        /// Connections that had been open, and whose owner was gone before it heard of their end.
        orphaned,
        /// How often a message was compressed: one for many is once for each I/O thread and window.
        compressions,
    }
    now {
        /// Messages that wait.
        queued,
        /// Rooms with a member.
        rooms,
        /// Bytes that are held for clients: in inboxes, messages that are not complete, and outboxes.
        buffered,
    }
}

/// The value of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// One number.
    One(u64),
    /// A number for each of several names.
    Each(Vec<(&'static str, u64)>),
}

impl Metrics {
    pub(crate) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].add(1);
    }
}

impl Snapshot {
    /// The sums of the shards' counters.
    pub(crate) fn of(shards: &[Metrics], rooms: u64, buffered: u64) -> Self {
        let mut all = Self {
            rooms,
            buffered,
            ..Self::default()
        };
        for shard in shards {
            all.add(shard);
        }
        all.queued = all.sent - all.written - all.dropped;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_every_shard_is_in_the_snapshot_under_its_name() {
        let shards = [Metrics::default(), Metrics::default()];
        for shard in &shards {
            shard.sent.add(5);
            shard.written.add(2);
            shard.dropped.add(1);
            shard.refuse(Reason::Path);
        }
        let named = Snapshot::of(&shards, 3, 4).named();
        let of = |name| &named.iter().find(|it| it.0 == name).expect(name).1;
        for (name, count) in [
            ("sent", 10),
            ("queued", 4),
            ("rooms", 3),
            ("buffered", 4),
            ("bytes_in", 0),
        ] {
            assert_eq!(of(name), &Count::One(count), "{name}");
        }
        let Count::Each(refused) = of("refused") else {
            panic!("one number")
        };
        assert_eq!(refused.len(), Reason::ALL.len());
        assert!(refused.contains(&("PATH", 2)));
    }
}
