//! The plan by which a shard closes its connections one after the other instead of all at once.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{
    border::{
        ending::{EndedBy, Ending},
        handle::Handle,
    },
    connection::Connection,
};

/// Connections that are due sooner than this after each other are closed together.
const TICK: Duration = Duration::from_millis(20);

/// The close code of a server that stops (RFC 6455 7.4.1).
pub(crate) const GOING_AWAY: u16 = 1001;

/// The connections that are still to be closed, and when. One timer serves all of them.
pub(crate) struct Drain {
    started: Instant,
    over: Duration,
    total: u32,
    left: VecDeque<Handle>,
    /// Where this shard's turns lie between those of the others, from 0 (excluded) to 1, so that all shards together
    /// close evenly too.
    turn: f64,
    next: Instant,
}

impl Drain {
    /// Spreads these connections of shard `index` of `shards` over a time.
    pub(crate) fn new(
        connections: VecDeque<Handle>,
        over: Duration,
        index: u32,
        shards: u32,
    ) -> Self {
        let started = Instant::now();
        let mut this = Self {
            started,
            over,
            total: u32::try_from(connections.len()).unwrap_or(u32::MAX),
            left: connections,
            turn: f64::from(index + 1) / f64::from(shards),
            next: started,
        };
        this.plan(started);
        this
    }

    /// The moment at which the next connections are due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The time over which the connections are spread.
    pub(crate) fn over(&self) -> Duration {
        self.over
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.started + self.over
    }

    /// Those whose turn has come.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Handle> {
        let mut due = Vec::new();
        while !self.left.is_empty() && self.turn() <= now {
            due.extend(self.left.pop_front());
        }
        self.plan(now);
        due
    }

    /// The moment of the next close, or the end of the drain if none is left.
    fn turn(&self) -> Instant {
        let left = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let before = f64::from(self.total.saturating_sub(left)) + self.turn;
        let part = (before / f64::from(self.total)).clamp(0.0, 1.0);
        self.started + self.over.mul_f64(part)
    }

    fn plan(&mut self, now: Instant) {
        let end = self.started + self.over;
        let turn = if self.left.is_empty() {
            end
        } else {
            self.turn()
        };
        self.next = turn.max(now + TICK).min(end);
    }
}

/// Closes a connection with the hint not to connect again before a moment that differs from client to client.
pub(crate) fn close_for_later(connection: &Connection, code: u16, over: Duration) {
    let most = u32::try_from(over.as_millis()).unwrap_or(u32::MAX);
    let hint = connection.id().share_of(most);
    let reason = format!("reconnect-after={hint}");
    connection.close(Ending::new(EndedBy::Stop, code, &reason));
}

/// Closes a connection without such a hint, because the server, or its part of it, goes away.
pub(crate) fn close_for_good(connection: &Connection, code: u16) {
    connection.close(Ending::new(EndedBy::Stop, code, ""));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many milliseconds each connection is closed.
    fn times(count: u32, over: u64, index: u32, shards: u32) -> Vec<u128> {
        let handles = (0..count).map(Handle).collect();
        let mut drain = Drain::new(handles, Duration::from_millis(over), index, shards);
        let mut times = Vec::new();
        loop {
            let now = drain.next();
            let at = (now - drain.started).as_millis();
            times.extend(drain.due(now).iter().map(|_| at));
            if drain.is_over(now) {
                return times;
            }
        }
    }

    #[test]
    fn few_are_spread_evenly_up_to_the_end() {
        assert_eq!(times(4, 1000, 0, 1), [250, 500, 750, 1000]);
        assert_eq!(times(1, 1000, 0, 1), [1000]);
        assert!(times(0, 1000, 0, 1).is_empty());
    }

    #[test]
    fn the_shards_take_turns() {
        assert_eq!(times(2, 1000, 0, 2), [250, 750]);
        assert_eq!(times(2, 1000, 1, 2), [500, 1000]);
    }

    #[test]
    fn many_are_closed_in_batches_of_one_size() {
        let times = times(10_000, 1000, 0, 1);
        assert_eq!(times.len(), 10_000);
        let mut batches = std::collections::BTreeMap::<u128, usize>::new();
        for time in times {
            *batches.entry(time).or_default() += 1;
        }
        assert_eq!(batches.len(), 50);
        assert!(
            batches.values().all(|size| size.abs_diff(200) <= 1),
            "{batches:?}"
        );
    }

    #[test]
    fn a_time_shorter_than_a_tick_closes_all_at_its_end() {
        assert_eq!(times(3, 5, 0, 1), [5, 5, 5]);
        assert_eq!(times(3, 0, 0, 1), [0, 0, 0]);
    }
}
