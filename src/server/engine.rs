//! A running engine: what all of its owners have in common.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Receiver},
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    border::mailbox::{Mail, StopMode},
    shard::shared::Shared,
};

/// What all owners have in common.
pub(crate) struct Engine {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Shared>,
    /// Bytes that each inbox may hold.
    pub(super) inbox: usize,
    /// Held only to join; nobody else waits for it.
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Disconnected when all of them have ended. Held to wait for that.
    pub(super) ended: Mutex<Receiver<()>>,
    /// The thread of the bus, for the same.
    #[cfg(feature = "bus")]
    pub(super) bus: Mutex<Option<JoinHandle<()>>>,
    /// Held to give a socket to a shard, or to refuse one.
    pub(super) dealer: Mutex<Dealer>,
}

/// To whom the next socket goes.
#[derive(Debug, Default)]
pub(crate) struct Dealer {
    pub(super) next: usize,
    /// Refusals are for the first shard alone, as the others may have stopped.
    pub(super) is_stopping: bool,
}

impl Dealer {
    pub(super) fn deal(&mut self, shards: usize) -> usize {
        if self.is_stopping {
            return 0;
        }
        self.next = (self.next + 1) % shards;
        self.next
    }
}

impl Engine {
    pub(super) fn stop(&self, mode: StopMode) {
        self.dealer().is_stopping = true;
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Mail::Stop(mode));
        }
    }

    pub(super) fn dealer(&self) -> MutexGuard<'_, Dealer> {
        self.dealer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the threads to end, but not longer than that.
    pub(super) fn wait(&self, limit: Duration) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody sends anything.
        let _ = ended.recv_timeout(limit);
    }

    pub(super) fn join(&self) {
        #[cfg(feature = "bus")]
        if let Some(bus) = &self.shared.bus {
            bus.stop(StopMode::Terminate);
            let thread = (self.bus.lock().unwrap_or_else(PoisonError::into_inner)).take();
            // A panic in it has been told as an event.
            let _ = thread.map(JoinHandle::join);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in it has been told as an event.
            let _ = thread.join();
        }
    }
}
