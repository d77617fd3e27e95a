//! Finds the receivers of a message: single clients, the members of rooms, or all clients.
//!
//! A shard encodes a message for many clients once. It first joins consecutive messages for the same audience into one buffer, so
//! that a burst costs each receiver one entry and one write. It does not join messages of a route that keeps only its latest one,
//! because each of them can be removed again.

use std::rc::Rc;

use crate::{
    border::{
        command::{Handles, RoomNames},
        handle::Handle,
    },
    connection::{Connection, outbox::Frames},
    message::routes::RoutePolicy,
    shard::{
        Shard,
        delivery::{self, Manner},
        flush,
    },
};

/// The receivers of a run of messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Audience<'a> {
    pub(crate) to: To<'a>,
    /// Clients of those that are left out.
    pub(crate) except: Handles<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum To<'a> {
    Room(&'a [u8]),
    Everybody,
}

/// Consecutive messages for one audience.
pub(crate) struct Run<'a> {
    audience: Audience<'a>,
    sending: Sending,
}

/// Encoded messages, and the policy for clients without room.
struct Sending {
    frames: Frames,
    manner: Manner,
    /// The route of the first.
    route: u32,
}

pub(crate) fn send_to(
    shard: &Shard,
    route: u32,
    payload: Option<&[u8]>,
    mut clients: impl Iterator<Item = Handle> + Clone,
) {
    let Some(prefix) = shard.routes().prefix(route) else {
        return;
    };
    let manner = Manner::of(shard, route);
    let mut rest = clients.clone();
    if manner.policy != RoutePolicy::Latest
        && let (Some(only), None) = (rest.next(), rest.next())
    {
        if let Some(connection) = shard.connection(only) {
            let length = prefix.len() + payload.map_or(0, <[u8]>::len);
            delivery::send_one(shard, &connection, manner, length, |out| {
                shard.routes().encode(out, route, payload)
            });
        }
        return;
    }
    let number = next_fan_out(shard);
    let sending = sending(shard, route, payload);
    let to = clients
        .by_ref()
        .filter_map(|handle| shard.connection(handle));
    deliver(
        shard,
        sending,
        to.filter(|connection| connection.output.mark(number)),
    );
}

pub(crate) fn send_to_rooms(
    shard: &Shard,
    route: u32,
    payload: Option<&[u8]>,
    rooms: RoomNames<'_>,
    except: impl Iterator<Item = Handle>,
) {
    let number = leave_out(shard, except);
    let sending = sending(shard, route, payload);
    let registry = shard.registry.borrow();
    let slots = rooms.flat_map(|room| registry.members(room));
    let slow = queue_unmarked(shard, sending, slots, number);
    drop(registry);
    end(shard, slow);
}

/// Sends to every client but these.
pub(crate) fn send_to_others(
    shard: &Shard,
    route: u32,
    payload: Option<&[u8]>,
    except: impl Iterator<Item = Handle>,
) {
    let number = leave_out(shard, except);
    let sending = sending(shard, route, payload);
    let registry = shard.registry.borrow();
    let slow = queue_unmarked(shard, sending, registry.open().iter(), number);
    drop(registry);
    end(shard, slow);
}

fn next_fan_out(shard: &Shard) -> u32 {
    // 0 is what a connection starts with.
    let number = shard.fan_out.get().wrapping_add(1).max(1);
    shard.fan_out.set(number);
    number
}

/// Begins a fan-out that does not reach these clients: they are marked as if it had reached them.
fn leave_out(shard: &Shard, except: impl Iterator<Item = Handle>) -> u32 {
    let number = next_fan_out(shard);
    for connection in except.filter_map(|handle| shard.connection(handle)) {
        connection.output.mark(number);
    }
    number
}

fn encode(shard: &Shard, route: u32, payload: Option<&[u8]>, frames: &mut Frames) {
    if shard.routes().prefix(route).is_some() {
        frames.push(|out| shard.routes().encode(out, route, payload));
    }
}

fn sending(shard: &Shard, route: u32, payload: Option<&[u8]>) -> Sending {
    let mut frames = Frames::default();
    encode(shard, route, payload, &mut frames);
    Sending {
        frames,
        manner: Manner::of(shard, route),
        route,
    }
}

/// Adds a message to a run if it goes the same way, or sends the run and begins another one.
pub(crate) fn join<'a>(
    shard: &Shard,
    run: &mut Option<Run<'a>>,
    audience: Audience<'a>,
    route: u32,
    payload: Option<&[u8]>,
) {
    let manner = Manner::of(shard, route);
    let joins = |run: &Run<'_>| {
        run.audience == audience
            && run.sending.manner == manner
            && manner.policy != RoutePolicy::Latest
    };
    if !run.as_ref().is_some_and(joins) {
        finish(shard, run.take());
    }
    let run = run.get_or_insert_with(|| Run {
        audience,
        sending: Sending {
            frames: Frames::default(),
            manner,
            route,
        },
    });
    encode(shard, route, payload, &mut run.sending.frames);
}

/// Sends a run.
pub(crate) fn finish(shard: &Shard, run: Option<Run<'_>>) {
    let Some(Run { audience, sending }) = run else {
        return;
    };
    let registry = shard.registry.borrow();
    let members = match audience.to {
        To::Room(name) => registry.members(name),
        To::Everybody => registry.open(),
    };
    let slow = if audience.except.is_empty() {
        let to = members.iter().filter_map(|&slot| shard.in_slot(slot));
        queue(shard, sending, to)
    } else {
        let number = leave_out(shard, audience.except);
        queue_unmarked(shard, sending, members.iter(), number)
    };
    drop(registry);
    end(shard, slow);
}

/// Queues messages for the clients in these slots that this fan-out has not marked yet.
fn queue_unmarked<'a>(
    shard: &Shard,
    sending: Sending,
    slots: impl Iterator<Item = &'a u32>,
    number: u32,
) -> Vec<Rc<Connection>> {
    let to = slots.filter_map(|&slot| shard.in_slot(slot));
    let unmarked = to.filter(|connection| connection.output.mark(number));
    queue(shard, sending, unmarked)
}

/// Ends a fan-out to many clients, once the registry is free.
fn end(shard: &Shard, slow: Vec<Rc<Connection>>) {
    delivery::cut_slow(shard, slow);
    flush::write_much(shard);
}

fn deliver(shard: &Shard, sending: Sending, to: impl Iterator<Item = Rc<Connection>>) {
    let slow = queue(shard, sending, to);
    delivery::cut_slow(shard, slow);
}

/// Queues messages for many clients, and returns those that were too slow. The caller cuts them off once the registry is free.
fn queue(
    shard: &Shard,
    sending: Sending,
    to: impl Iterator<Item = Rc<Connection>>,
) -> Vec<Rc<Connection>> {
    let Sending {
        frames,
        manner,
        route,
    } = sending;
    if frames.is_empty() {
        return Vec::new();
    }
    if manner.policy == RoutePolicy::Latest {
        delivery::send_latest(shard, route, manner, frames, to);
        return Vec::new();
    }
    delivery::send_shared(shard, manner, frames, to)
}
