//! The mailbox of one shard: commands, sockets and signals from other threads.
//!
//! The mailbox has a bound in bytes of commands. Past the bound, the owner waits in [`Mailbox::commands`]. The wait is short,
//! because a shard waits neither for clients nor for its owner.

use std::{
    mem,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

#[cfg(feature = "bus")]
use crate::border::{command::Asks, handle::ClientId};
use crate::{
    border::{
        act::Outcome,
        order::Order,
        owner::{Owner, OwnerNumber},
    },
    handshake::caller::Caller,
    limits::pending::PendingPlace,
    sync::{Condvar, Mutex, MutexGuard, Notify, bound},
    transport::stream::StdStream,
};

/// Bytes of commands that may wait for one shard.
const LIMIT: usize = bound(8 * 1024 * 1024, 0);

/// The overhead of a buffer of commands, however short it is: its place in the mail, and its two allocations.
const BUFFER: usize = 128;

/// One thing for a shard to do.
pub(crate) enum Mail {
    /// A buffer of an owner's commands, shared with the other shards.
    Commands(OwnerNumber, Arc<Vec<u8>>),
    /// One more owner.
    Owner(Arc<Owner>),
    /// An owner leaves, and others stay: its connections end as these modes say, with 1012.
    Leave(Arc<Owner>, StopMode),
    /// An owner is gone, and others stay: nobody takes its events, or releases what it had.
    Abandon(Arc<Owner>),
    /// An accepted socket.
    Socket(Accepted),
    /// Clients that their owners are to do something with.
    Order(Arc<Order>),
    /// An owner has carried out its part of the order with this number.
    Ordered(OwnerNumber, u32, Outcome),
    /// A question of another process about members, under a number of the bus. The answer is a [`Counted`](Self::Counted).
    #[cfg(feature = "bus")]
    Question(u32, Asks, Arc<[u8]>),
    /// A shard's answer to that. Only the bus gets this.
    #[cfg(feature = "bus")]
    Counted {
        question: u32,
        size: usize,
        ids: Vec<ClientId>,
    },
    /// The order with this number has been carried out. Only the bus gets this.
    #[cfg(feature = "bus")]
    Obeyed(u32, Outcome),
    /// The inbox has room again.
    Drained,
    /// The server holds more than it may.
    Full,
    /// Close every connection, or cut them off.
    Stop(StopMode),
}

/// A socket that is to be served, on its way to the shard that does so.
pub(crate) struct Accepted {
    pub(crate) stream: StdStream,
    pub(crate) arrival: Arrival,
}

/// What is known of a socket from the start.
pub(crate) struct Arrival {
    pub(crate) caller: Caller,
    pub(crate) at: Instant,
    /// What somebody else has read from it already.
    pub(crate) read: Vec<u8>,
    /// Dropped after the socket is closed, so that somebody else can see that it is.
    pub(crate) link: Option<Link>,
    /// Held until the handshake is over, so that pending ones are limited; dropped after the socket.
    pub(crate) place: PendingPlace,
}

/// What lets the owner of the other end see that a socket is closed: nobody else holds it then.
pub type Link = Arc<()>;

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Refuse what is new, and close what is open one after the other within this time, with 1001 and a hint when to
    /// connect again; then [`Close`](Self::Close).
    Drain(Duration),
    /// Send what is queued, close with 1001, wait for the closing handshakes.
    Close,
    /// Cut every connection off.
    Terminate,
}

impl StopMode {
    /// Whether it asks for more than another one, which may be under way.
    pub(crate) fn is_harder_than(self, other: Self) -> bool {
        let rank = |mode| match mode {
            Self::Drain(_) => 0,
            Self::Close => 1,
            Self::Terminate => 2,
        };
        rank(self) > rank(other)
    }
}

#[derive(Default)]
struct State {
    mail: Vec<Mail>,
    bytes: usize,
    /// The shard is gone: what still comes is thrown away and nobody waits.
    closed: bool,
}

#[derive(Default)]
pub(crate) struct Mailbox {
    /// Held by the owner and the listener to post, by the shard to take everything.
    state: Mutex<State>,
    room: Condvar,
    arrived: Notify,
}

impl Mailbox {
    /// Posts commands; waits while the shard is too far behind.
    pub(crate) fn commands(&self, owner: OwnerNumber, bytes: Arc<Vec<u8>>) {
        let mut state = self.lock();
        while state.bytes > LIMIT && !state.closed {
            state = (self.room.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed {
            state.bytes += bytes.len() + BUFFER;
            state.mail.push(Mail::Commands(owner, bytes));
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Posts anything else, at once. Gives it back if the shard is gone.
    pub(crate) fn post(&self, mail: Mail) -> Option<Mail> {
        let refused = self.leave(mail);
        if refused.is_none() {
            self.arrived.notify_one();
        }
        refused
    }

    /// The same, for a shard that is not woken before [`wake`](Self::wake), if nothing else wakes it.
    pub(crate) fn leave(&self, mail: Mail) -> Option<Mail> {
        let mut state = self.lock();
        if state.closed {
            return Some(mail);
        }
        state.mail.push(mail);
        None
    }

    /// Wakes the shard if it has mail.
    pub(crate) fn wake(&self) {
        if !self.lock().mail.is_empty() {
            self.arrived.notify_one();
        }
    }

    /// Waits for mail and takes all of it, in order.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken before it returns.
    pub(crate) async fn take(&self, into: &mut Vec<Mail>) {
        while !self.take_now(into) {
            self.arrived.notified().await;
        }
    }

    pub(crate) fn take_now(&self, into: &mut Vec<Mail>) -> bool {
        let mut state = self.lock();
        if state.mail.is_empty() {
            return false;
        }
        mem::swap(&mut state.mail, into);
        // Only past the limit somebody can wait, and a notification is a system call.
        let was_full = mem::take(&mut state.bytes) > LIMIT;
        drop(state);
        if was_full {
            self.room.notify_all();
        }
        true
    }

    /// Takes nothing any more. Returns what nobody will read.
    pub(crate) fn close(&self) -> Vec<Mail> {
        let mut state = self.lock();
        state.closed = true;
        let unread = mem::take(&mut state.mail);
        drop(state);
        self.room.notify_all();
        unread
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(zocket_loom)))]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn the_owner_waits_at_the_bound_however_short_the_commands_are() {
        let mailbox = Arc::new(Mailbox::default());
        let posted = Arc::new(AtomicUsize::new(0));
        let owner = thread::spawn({
            let (mailbox, posted) = (mailbox.clone(), posted.clone());
            move || {
                for _ in 0..200_000 {
                    mailbox.commands(OwnerNumber::default(), Arc::new(vec![0; 4]));
                    posted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let mut mail = Vec::new();
        let mut taken = 0;
        while taken < 200_000 {
            let before = posted.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            let waits = posted.load(Ordering::SeqCst) == before && before > taken;
            if waits && mailbox.take_now(&mut mail) {
                assert!(mail.len() * (4 + BUFFER) < LIMIT + 2 * BUFFER);
                taken += mail.len();
                mail.clear();
            }
        }
        owner.join().unwrap();
    }
}
