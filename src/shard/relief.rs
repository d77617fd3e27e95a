//! What happens when the server holds more for its clients than it may.
//!
//! At once, a connection that holds more than its share is not read, and once its socket is full it is a slow one. A share is a
//! small part of what is equal for all, so that the many that hold less can go on. After a second, or at once if it is far too much,
//! those that hold the most are cut off, as many as needed.

use std::{cmp::Reverse, mem, rc::Rc, sync::atomic::Ordering, time::Duration};

use rustc_hash::FxHashMap;
use tokio::{task::spawn_local, time::sleep};

use super::{SCRATCH, Shard};
use crate::{
    border::{event::FaultCode, mailbox::Mail},
    connection::{Connection, State},
};

/// How often the shard looks whether it has become better.
const LOOK: Duration = Duration::from_millis(100);
/// Looks until a connection that still holds more than its share may be cut off: one second.
const PATIENCE: u32 = 10;

impl Shard {
    /// Begins to relieve the server if it holds too much.
    pub(crate) fn watch_buffers(self: &Rc<Self>) {
        let server = self.tally.server();
        if !server.is_over() {
            return;
        }
        if !self.is_relieving.replace(true) {
            spawn_local(self.clone().relieve());
        }
        // One message for each of very many clients can be many times the bound.
        if server.is_far_over() {
            self.cut_largest(self.holders());
        }
    }

    /// What each connection may hold while the server holds too much; `None` if it does not.
    pub(crate) fn share(&self) -> Option<usize> {
        self.tally.server().is_over().then(|| self.equal_share())
    }

    fn equal_share(&self) -> usize {
        let connections = self.shared.connections.load(Ordering::Relaxed);
        self.tally.server().share(connections)
    }

    /// Whether a connection is not read because the server holds too much.
    pub(crate) fn holds_back(&self, connection: &Connection) -> bool {
        self.share()
            .is_some_and(|share| connection.holds_more_than(share))
    }

    /// The same; the connection is woken when that may have changed.
    pub(crate) fn waits_for_relief(&self, connection: &Rc<Connection>) -> bool {
        let waits = self.holds_back(connection);
        if waits {
            self.wake_later(connection);
        }
        waits
    }

    /// How many bytes may be read at once.
    pub(crate) fn reads_at_once(&self) -> usize {
        self.share().map_or(SCRATCH, |share| share.min(SCRATCH))
    }

    /// What may wait for a client before a message of so many bytes is added. While the server holds too much, that is the
    /// client's share, the message included, once its socket is full.
    pub(crate) fn backpressure(&self, connection: &Connection, length: usize) -> usize {
        let limit = self.config().max_backpressure;
        match self.share() {
            Some(share) if connection.is_blocked() => limit.min(share.saturating_sub(length)),
            _ => limit,
        }
    }

    /// Runs until the server has held no more than it may for a while. Until then it remembers who holds much, so that a
    /// crowd that fills what has become free does not get another second each time.
    async fn relieve(self: Rc<Self>) {
        let mut since = FxHashMap::default();
        let mut calm = PATIENCE;
        let mut has_cut = false;
        for look in 0.. {
            let mut holders = self.holders();
            let seen = holders.iter().map(|it| it.id());
            since = seen
                .map(|id| (id, *since.get(&id).unwrap_or(&look)))
                .collect();
            if self.tally.server().is_still_over() {
                if calm > 0 {
                    self.tell_others();
                }
                calm = 0;
                holders.retain(|it| since[&it.id()] + PATIENCE <= look);
                has_cut |= self.cut_largest(holders);
            } else if calm < PATIENCE {
                calm += 1;
                self.wake_waiting();
            } else {
                break;
            }
            sleep(LOOK).await;
            if look % PATIENCE == 0 && mem::take(&mut has_cut) {
                // What others fill from now on does not take the places of those that are gone.
                self.inbox.borrow().thinned();
            }
        }
        self.is_relieving.set(false);
        self.wake_waiting();
    }

    /// A shard on which nothing happens has its part in what is held, too.
    fn tell_others(&self) {
        for (index, mailbox) in (0..).zip(&self.shared.mailboxes) {
            if index != self.index {
                mailbox.post(Mail::Full);
            }
        }
    }

    /// The connections that hold more than their share.
    fn holders(&self) -> Vec<Rc<Connection>> {
        let share = self.equal_share();
        let mut holders = self.connections();
        holders.retain(|connection| connection.holds_more_than(share));
        holders
    }

    /// Cuts off the largest of `holders`, until this shard has done its part; whether that was anybody.
    fn cut_largest(&self, holders: Vec<Rc<Connection>>) -> bool {
        let mut holders: Vec<_> = (holders.into_iter())
            .map(|connection| (connection.weight(), connection))
            .collect();
        holders.sort_unstable_by_key(|(weight, _)| Reverse(*weight));
        let mut excess = self.part_of_excess();
        let cuts = excess > 0 && !holders.is_empty();
        for (weight, connection) in holders {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(weight);
            self.cut_holder(&connection);
        }
        cuts
    }

    /// What this shard has to free: its part of what is too much, as large as its part of all that is held.
    fn part_of_excess(&self) -> usize {
        let server = self.tally.server();
        let (here, all) = (self.tally.bytes() as u128, server.bytes().max(1) as u128);
        let part = (server.excess() as u128 * here).div_ceil(all);
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    fn cut_holder(&self, connection: &Rc<Connection>) {
        if connection.state() != State::Ended {
            let message = "the buffers of the server were full and this client held the most";
            self.fault(FaultCode::SlowClient, message, Some(connection.id()));
        }
        self.cut(connection);
    }
}
