//! Ends the part that one owner has of a shard, while others stay.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    border::{
        command::Command,
        ending::{EndedBy, Ending},
        event::{Event, FaultCode},
        handle::Handle,
        mailbox::StopMode,
        owner::{Owner, OwnerNumber},
        reader::Commands,
    },
    connection::{Connection, Order, State},
    handshake::refusal::{Reason, Refusal},
    shard::{
        Shard,
        drain::{Drain, close_for_good, close_for_later},
        life,
    },
};

/// The clients are to connect again at once: to one of the owners that stay (RFC 6455 7.4.1 and its registry: "Service Restart").
pub(crate) const RESTART: u16 = 1012;

/// Begins to end an owner's part, or goes on harder.
pub(crate) fn leave(shard: &Shard, owner: &Arc<Owner>, mode: StopMode) {
    let connections = connections_of(shard, owner.number);
    {
        let mut parts = shard.parts.borrow_mut();
        let Some(part) = parts.of_mut(owner.number).filter(|it| it.is_of(owner)) else {
            return;
        };
        if part.leaving.is_some_and(|now| !mode.is_harder_than(now)) {
            return;
        }
        part.leaving = Some(mode);
        part.drain = None;
        match mode {
            StopMode::Drain(over) => {
                let open = connections.iter().filter(|it| it.state() == State::Open);
                let handles = open.map(|it| it.handle()).collect();
                let (index, shards) = (shard.index, shard.shared.shards());
                part.drain = Some(Drain::new(handles, over, index, shards));
            }
            StopMode::Close => {
                let deadline = Instant::now() + shard.config().close_timeout;
                part.deadline.get_or_insert(deadline);
            }
            StopMode::Terminate => part.deadline = None,
        }
    }
    for connection in connections {
        match (mode, connection.state()) {
            (StopMode::Terminate, _) => life::cut(shard, &connection, EndedBy::Stop),
            (_, State::Pending) => refuse(shard, &connection),
            // It may have a close frame already, perhaps with a hint.
            (StopMode::Close, _) => close_for_good(&connection, RESTART),
            (StopMode::Drain(_), _) => {}
        }
    }
    shard.parted.notify_one();
}

/// Takes the connections of an owner that is gone: they are closed, and nobody hears of it. Those are counted whose end the owner
/// has not heard of.
pub(crate) fn abandon(shard: &Shard, owner: &Arc<Owner>) {
    let orphaned = &shard.metrics().orphaned;
    {
        let mut parts = shard.parts.borrow_mut();
        if !parts.of(owner.number).is_some_and(|it| it.is_of(owner)) {
            // The other shards have to read its commands first, and count their own.
            let shards = shard.shared.shards();
            let count = owner.take_unanswered(|it| it.shard(shards) == shard.index);
            orphaned.add(count as u64);
            return;
        }
        parts.remove(owner.number);
    }
    for connection in connections_of(shard, owner.number) {
        connection.set_owner(OwnerNumber::NOBODY);
        match connection.state() {
            State::Pending => refuse(shard, &connection),
            State::Open | State::Closing => close_for_good(&connection, RESTART),
            State::Ended => {
                if connection.is_welcomed() {
                    orphaned.add(1);
                }
                // Nobody else would do it.
                life::release(shard, connection.handle());
            }
        }
    }
    let deadline = Instant::now() + shard.config().close_timeout;
    shard.orphans_by.set(Some(deadline));
    shard.shared.orders.owner_left(shard.index, owner.number);
    shard.shared.owners.left(owner);
}

/// Does what is due of those that leave, and lets go of those that have left.
pub(crate) fn go_on(shard: &Shard) {
    let now = Instant::now();
    let mut due = Vec::new();
    let mut late = Vec::new();
    let mut drained = Vec::new();
    for part in shard.parts.borrow_mut().iter_mut() {
        if let Some(drain) = &mut part.drain {
            due.extend(drain.due(now).into_iter().map(|it| (it, drain.over())));
            if drain.is_over(now) {
                drained.push(part.owner.clone());
            }
        }
        if part.deadline.is_some_and(|deadline| deadline <= now) {
            late.push(part.owner.clone());
        }
    }
    for (handle, over) in due {
        // Its number is nobody else's yet: this owner gets no more connections.
        if let Some(connection) = shard.connection(handle) {
            close_for_later(&connection, RESTART, over);
        }
    }
    for owner in drained {
        leave(shard, &owner, StopMode::Close);
    }
    for owner in late {
        for connection in connections_of(shard, owner.number) {
            if matches!(connection.state(), State::Open | State::Closing) {
                let message = "the client did not finish the closing handshake in time";
                shard.fault_of(&connection, FaultCode::Stop, message);
            }
        }
        leave(shard, &owner, StopMode::Terminate);
    }
    if shard
        .orphans_by
        .get()
        .is_some_and(|deadline| deadline <= now)
    {
        shard.orphans_by.set(None);
        for connection in connections_of(shard, OwnerNumber::NOBODY) {
            life::cut(shard, &connection, EndedBy::Stop);
        }
    }
    let has_left = |shard: &Shard| {
        let parts = shard.parts.borrow();
        let left = parts.iter().find(|it| it.leaving.is_some() && it.live == 0);
        left.map(|part| part.owner.clone())
    };
    while let Some(owner) = has_left(shard) {
        part(shard, &owner);
    }
}

/// Lets go of an owner that has no connection here any more.
fn part(shard: &Shard, owner: &Arc<Owner>) {
    let parted = shard.parts.borrow_mut().remove(owner.number);
    // It takes its last events, and its commands are not obeyed any more.
    let connections = connections_of(shard, owner.number);
    let opened = connections.iter().filter(|it| it.is_welcomed());
    owner.leave_unanswered(opened.map(|it| it.handle()));
    for connection in connections {
        connection.set_owner(OwnerNumber::NOBODY);
        life::release(shard, connection.handle());
    }
    shard.shared.orders.owner_left(shard.index, owner.number);
    shard.shared.owners.left(owner);
    // Last, because it may look at once whether it is in the list still.
    if let Some(mut part) = parted {
        part.writer.push(Handle(shard.index), &Event::Stopped);
        part.writer.publish();
    }
}

/// Reads commands of an owner that has left. They say of which ends it has heard.
pub(crate) fn hear(shard: &Shard, owner: OwnerNumber, commands: &[u8]) {
    let Some(owner) = shard.shared.owners.held(owner) else {
        return;
    };
    let shards = shard.shared.shards();
    for command in Commands::new(commands) {
        if let Command::Release(handle) = command
            && handle.shard(shards) == shard.index
        {
            owner.answered(handle);
        }
    }
}

/// Ends an upgrade that nobody will decide on.
fn refuse(shard: &Shard, connection: &Connection) {
    life::end(shard, connection, Ending::without_frame(EndedBy::Stop));
    shard.metrics().refuse(Reason::Stop);
    let refusal = Refusal::new(503, Reason::Stop);
    connection.order(Order::Refuse(Box::new(refusal)));
}

fn connections_of(shard: &Shard, number: OwnerNumber) -> Vec<std::rc::Rc<Connection>> {
    let mut connections = shard.connections();
    connections.retain(|it| it.owner() == number);
    connections
}
