//! The states of a connection: pending, open, ended.

use std::{rc::Rc, thread};

use crate::{
    border::{
        ending::{EndedBy, Ending},
        event::{Event, FaultCode},
        handle::Handle,
        mailbox::StopMode,
        owner::OwnerNumber,
    },
    connection::{Connection, Order, State},
    shard::{
        Shard,
        drain::{GOING_AWAY, close_for_good, close_for_later},
    },
};

/// A connection that has a number. The owner hears of its end, even if its task panics.
pub(crate) struct Registered {
    pub(crate) shard: Rc<Shard>,
    pub(crate) connection: Rc<Connection>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let by = if thread::panicking() {
            let message = "the task of a connection panicked";
            self.shard
                .fault_of(&self.connection, FaultCode::Internal, message);
            EndedBy::Server
        } else {
            EndedBy::Network
        };
        end(&self.shard, &self.connection, Ending::without_frame(by));
        self.connection.abandon(self.shard.metrics());
        if let Some(part) = self
            .shard
            .parts
            .borrow_mut()
            .of_mut(self.connection.owner())
        {
            part.live -= 1;
            if part.live == 0 && part.leaving.is_some() {
                self.shard.parted.notify_one();
            }
        }
    }
}

/// Gives a new connection of an owner a number.
pub(crate) fn register(
    shard: &Rc<Shard>,
    owner: OwnerNumber,
    create: impl FnOnce(Handle) -> Rc<Connection>,
) -> Registered {
    if let Some(part) = shard.parts.borrow_mut().of_mut(owner) {
        part.live += 1;
        part.owner.got();
    }
    Registered {
        connection: shard.slots.borrow_mut().add(create),
        shard: shard.clone(),
    }
}

/// Lets a number be used again.
pub(crate) fn release(shard: &Shard, handle: Handle) {
    let released = shard.slots.borrow_mut().release(handle);
    drop(released);
}

/// Makes a pending connection an open one.
pub(crate) fn admit(shard: &Shard, connection: &Rc<Connection>) {
    if connection.state() != State::Pending {
        return;
    }
    let slot = shard.slot(connection);
    shard.registry.borrow_mut().insert(slot);
    shard.ids.insert(connection.id(), connection.handle());
    connection.heartbeat.heard(shard.tick());
    // Counted before the 101 leaves, so that a client that has seen the 101 is in the count.
    shard.metrics().accepted.add(1);
    connection.open();
    shard.touch(connection);
    if let Some(part) = shard.parts.borrow().of(connection.owner()) {
        part.owner.opened();
    }
    match shard.stopping() {
        Some(StopMode::Close) => close_for_good(connection, GOING_AWAY),
        Some(StopMode::Drain(over)) => close_for_later(connection, GOING_AWAY, over),
        Some(StopMode::Terminate) | None => {}
    }
}

/// Ends a connection for everybody except its own task, as its close frame says or else as `otherwise` does. A second call does
/// nothing.
pub(crate) fn end(shard: &Shard, connection: &Connection, otherwise: Ending) {
    let opened = !matches!(connection.state(), State::Pending);
    if !connection.end() {
        return;
    }
    shard.ids.remove(connection.id());
    let slot = shard.slot(connection);
    (shard.registry.borrow_mut()).remove(slot, |room| shard.rooms().emptied(room));
    let is_orphan = match shard.parts.borrow().of(connection.owner()) {
        Some(part) => {
            part.owner.lost(opened);
            false
        }
        None => true,
    };
    if is_orphan && opened {
        shard.metrics().orphaned.add(1);
    }
    if connection.is_known() && !is_orphan {
        shard.tell_rest_of(connection);
        let ending = connection.ending().unwrap_or(otherwise);
        let event = Event::Closed {
            opened,
            ending: &ending,
        };
        shard.tell(connection, &event);
    } else {
        // The owner has not heard of this connection, so it would not release its number either.
        release(shard, connection.handle());
    }
}

/// Tells the owner that a connection is open, as it wanted to know.
pub(crate) fn announce(shard: &Shard, connection: &Connection) {
    if connection.state() == State::Open {
        shard.tell(connection, &Event::Opened);
    }
}

/// Ends a connection at once. Its queued messages are dropped, counted and freed before anything else is queued.
pub(crate) fn cut(shard: &Shard, connection: &Rc<Connection>, by: EndedBy) {
    end(shard, connection, Ending::without_frame(by));
    connection.output.drop_queued(shard.metrics());
    connection.order(Order::Terminate);
}
