//! What is sent: queued for single clients, bounded, and written once a batch.

use std::{mem, rc::Rc};

use super::Shard;
use crate::{
    border::event::FaultCode,
    config::SlowClient,
    connection::{Connection, Flush, State},
    message::routes::RoutePolicy,
};

impl Shard {
    /// Queues a message of about `length` bytes for one client; `write` appends the frame and returns its length. Messages of routes that keep
    /// their latest alone have a way of their own.
    pub(crate) fn send_one(
        &self,
        connection: &Rc<Connection>,
        policy: RoutePolicy,
        length: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        self.metrics().sent.add(1);
        if connection.state() == State::Open && self.has_room(connection, policy, length) {
            let limit = self.config().max_backpressure;
            connection.outbox().borrow_mut().push_message(limit, write);
            self.touch(connection);
        } else {
            self.metrics().dropped.add(1);
        }
    }

    /// Whether another message may wait for this client; if not, the policy has been applied.
    fn has_room(&self, connection: &Rc<Connection>, policy: RoutePolicy, length: usize) -> bool {
        let limit = self.backpressure(connection, length);
        if connection.has_room(limit, self.metrics()) {
            return true;
        }
        if self.cuts_off(policy) {
            self.disconnect_slow(connection);
        }
        false
    }

    /// Whether a message that finds no room cuts its client off.
    pub(crate) fn cuts_off(&self, policy: RoutePolicy) -> bool {
        match policy {
            RoutePolicy::Server => self.config().slow_client == SlowClient::Disconnect,
            RoutePolicy::Disconnect => true,
            RoutePolicy::Drop | RoutePolicy::Latest => false,
        }
    }

    /// Cuts off a client that reads too slowly.
    pub(crate) fn disconnect_slow(&self, connection: &Rc<Connection>) {
        // One that is gone reads nothing either, and is not to blame for it.
        if connection.flush(self.metrics()) != Flush::Broken {
            let message = "the client reads too slowly and was disconnected";
            self.fault(FaultCode::SlowClient, message, Some(connection.id()));
        }
        self.cut(connection);
    }

    /// Lists a connection for the flush at the end of the batch.
    pub(crate) fn touch(&self, connection: &Rc<Connection>) {
        if connection.list() {
            self.touched.borrow_mut().push(connection.clone());
        }
    }

    /// Writes every connection of the batch once.
    pub(crate) fn flush_touched(&self) {
        let mut touched = mem::take(&mut *self.touched.borrow_mut());
        for connection in touched.drain(..) {
            connection.unlist();
            self.flush_or_cut(&connection);
        }
        self.tally().all_written();
        // The list's memory serves the next batch, unless that has begun; not what a crowd needed that has gone.
        let open = self.registry.borrow().open().len();
        touched.shrink_to(8 * open.max(64));
        let mut next = self.touched.borrow_mut();
        if next.is_empty() {
            *next = touched;
        }
    }

    pub(crate) fn flush_or_cut(&self, connection: &Rc<Connection>) {
        if connection.flush(self.metrics()) == Flush::Broken {
            self.cut(connection);
        }
    }
}
