//! The connections of a shard by number.

use std::rc::Rc;

use crate::{border::handle::Handle, connection::Connection};

/// Connections by slot number.
pub(crate) struct Slots {
    connections: Vec<Option<Rc<Connection>>>,
    free: Vec<u32>,
    /// The number of the shard, and how many there are: handles tell them apart.
    shard: u32,
    shards: u32,
}

impl Slots {
    pub(crate) fn new(shard: u32, shards: u32) -> Self {
        Self {
            connections: Vec::new(),
            free: Vec::new(),
            shard,
            shards,
        }
    }

    /// Gives a new connection a number.
    pub(crate) fn add(&mut self, create: impl FnOnce(Handle) -> Rc<Connection>) -> Rc<Connection> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            u32::try_from(self.connections.len() - 1).expect("descriptors are far fewer than 2^32")
        });
        let connection = create(Handle::new(slot, self.shard, self.shards));
        self.connections[slot as usize] = Some(connection.clone());
        connection
    }

    /// The connection of that number, if it is ours and has not been released.
    pub(crate) fn get(&self, handle: Handle) -> Option<&Rc<Connection>> {
        if handle.shard(self.shards) != self.shard {
            return None;
        }
        self.in_slot(handle.slot(self.shards))
    }

    /// The connection in a slot of this shard.
    pub(crate) fn in_slot(&self, slot: u32) -> Option<&Rc<Connection>> {
        self.connections.get(slot as usize)?.as_ref()
    }

    /// All connections the owner knows of.
    pub(crate) fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.iter().flatten().cloned().collect()
    }

    /// Makes a number free again, and returns the connection that had it.
    pub(crate) fn release(&mut self, handle: Handle) -> Option<Rc<Connection>> {
        let connection = self.get(handle)?.clone();
        let slot = handle.slot(self.shards);
        self.connections[slot as usize] = None;
        self.free.push(slot);
        if self.free.len() == self.connections.len() {
            // No connection is left, so the memory is freed, and the numbers begin anew.
            self.connections = Vec::new();
            self.free = Vec::new();
        }
        Some(connection)
    }
}
