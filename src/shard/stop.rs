//! How a shard stops: refuses, drains, closes, cuts off.

use std::{rc::Rc, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::Shard;
use crate::{
    border::{event::FaultCode, mailbox::StopMode},
    connection::{Connection, Order, State},
    shard::drain::Drain,
};

impl Shard {
    pub(super) fn stop(self: &Rc<Self>, mode: StopMode) {
        let is_milder = |current| !mode.is_harder_than(current);
        if self.stopping.get().is_some_and(is_milder) {
            return;
        }
        self.stopping.set(Some(mode));
        self.stop_signal.notify_waiters();
        if let StopMode::Drain(over) = mode {
            // Whoever comes is still told that there is nothing to come for.
            *self.drain.borrow_mut() = Some(self.plan(over));
            return;
        }
        self.drain.take();
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
        for connection in self.connections() {
            match mode {
                // Pending upgrades hear the signal.
                StopMode::Close if connection.state() == State::Pending => {}
                // It was told a moment ago, perhaps with a hint.
                StopMode::Close if connection.has_order() => {}
                StopMode::Close => connection.order(Order::Close(1001, None)),
                StopMode::Terminate => self.cut(&connection),
                StopMode::Drain(_) => {}
            }
        }
    }

    /// Whether the shard has stopped. The one that listens waits for the others, so that all who come are refused alike.
    pub(super) fn is_done(&self) -> bool {
        let refuses = matches!(self.stopping.get(), Some(StopMode::Drain(_)))
            && self.listener.borrow().is_some()
            && self.shared.connections.load(Ordering::SeqCst) > 0;
        self.is_stopping() && self.tasks.count() == 0 && !refuses
    }

    pub(super) fn plan(&self, over: Duration) -> Drain {
        let connections = self.connections();
        let open = connections.iter().filter(|it| it.state() == State::Open);
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        let handles = open.map(|it| it.handle()).collect();
        Drain::new(handles, over, self.index, shards)
    }

    /// Closes those whose turn it is; true when the time is up.
    pub(super) fn drain_on(&self) -> bool {
        let mut drain = self.drain.borrow_mut();
        let Some(drain) = &mut *drain else {
            return false;
        };
        let now = Instant::now();
        for handle in drain.due(now) {
            // Its number is nobody else's yet: no upgrade has been taken since.
            if let Some(connection) = self.connection(handle) {
                close_for_later(&connection, drain.over());
            }
        }
        drain.is_over(now)
    }

    /// Tells of the clients for whom the time to close was not enough.
    pub(super) fn tell_unclosed(&self) {
        for connection in self.connections() {
            if matches!(connection.state(), State::Open | State::Closing) {
                let message = "the client did not finish the closing handshake in time";
                self.fault(FaultCode::Stop, message, Some(connection.id()));
            }
        }
    }
}

/// Closes a connection with the hint not to connect again before a moment that differs from client to client.
pub(super) fn close_for_later(connection: &Connection, over: Duration) {
    let most = u32::try_from(over.as_millis()).unwrap_or(u32::MAX);
    let hint = connection.id().share_of(most);
    connection.order(Order::Close(1001, Some(hint)));
}
