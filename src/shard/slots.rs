//! The connections of a shard by number, and their ways through life: pending, open, ended.

use std::rc::Rc;

use super::{Shard, stop::close_for_later};
use crate::{
    border::{event::Event, handle::Handle, mailbox::StopMode},
    connection::{Connection, Order, State},
};

/// Connections by slot number.
#[derive(Default)]
pub(super) struct Slots {
    connections: Vec<Option<Rc<Connection>>>,
    free: Vec<u32>,
}

impl Shard {
    /// Gives a new connection a number.
    pub(crate) fn register(&self, create: impl FnOnce(Handle) -> Rc<Connection>) -> Rc<Connection> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.connections.push(None);
            u32::try_from(slots.connections.len() - 1).expect("descriptors are far fewer than 2^32")
        });
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        let connection = create(Handle::new(slot, self.index, shards));
        slots.connections[slot as usize] = Some(connection.clone());
        connection
    }

    /// The connection of that number, if it is ours and has not been released.
    pub(crate) fn connection(&self, handle: Handle) -> Option<Rc<Connection>> {
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        if handle.shard(shards) != self.index {
            return None;
        }
        self.slots
            .borrow()
            .connections
            .get(handle.slot(shards))?
            .clone()
    }

    /// The connection in a slot of this shard.
    pub(crate) fn in_slot(&self, slot: u32) -> Option<Rc<Connection>> {
        self.slots.borrow().connections.get(slot as usize)?.clone()
    }

    /// The slot of one of this shard's connections.
    pub(crate) fn slot(&self, connection: &Connection) -> u32 {
        connection.handle().0 / u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX)
    }

    /// All connections the owner knows of.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        self.slots
            .borrow()
            .connections
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Lets a number be used again.
    pub(crate) fn release(&self, handle: Handle) {
        let Some(connection) = self.connection(handle) else {
            return;
        };
        let slot = self.slot(&connection);
        let mut slots = self.slots.borrow_mut();
        slots.connections[slot as usize] = None;
        slots.free.push(slot);
        if slots.free.len() == slots.connections.len() {
            // Nobody is left: what a crowd needed is given back, and numbers begin anew.
            *slots = Slots::default();
        }
    }

    /// Pending to open.
    pub(crate) fn admit(&self, connection: &Rc<Connection>) {
        if connection.state() != State::Pending {
            return;
        }
        self.registry.borrow_mut().insert(self.slot(connection));
        connection.heard(self.tick());
        // Counted before the 101 leaves: who has seen it is counted.
        self.metrics().opened.add(1);
        connection.open();
        self.touch(connection);
        match self.stopping.get() {
            Some(StopMode::Close) => connection.order(Order::Close(1001, None)),
            Some(StopMode::Drain(over)) => close_for_later(connection, over),
            Some(StopMode::Terminate) | None => {}
        }
    }

    /// The end of a connection as far as anybody but its own task is concerned. Idempotent.
    pub(crate) fn end(&self, connection: &Connection) {
        let opened = !matches!(connection.state(), State::Pending);
        if !connection.end() {
            return;
        }
        self.registry
            .borrow_mut()
            .remove(self.slot(connection), |room| {
                self.shared.rooms.emptied(room);
            });
        if connection.is_known() {
            self.tell_rest_of(connection.handle());
            self.tell(connection.handle(), &Event::Closed { opened });
        } else {
            // Who has never heard of it would not release it either.
            self.release(connection.handle());
        }
    }

    /// Ends a connection at once; what waits for it is lost, counted, and freed before anything else is queued.
    pub(crate) fn cut(&self, connection: &Rc<Connection>) {
        self.end(connection);
        connection.drop_queued(self.metrics());
        connection.order(Order::Terminate);
    }
}
