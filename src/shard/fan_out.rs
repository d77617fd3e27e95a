//! Applies the owner's commands on one shard: admissions, rooms, and sends.
//!
//! A message for many is encoded once. Consecutive messages for the same audience are joined into
//! one buffer first, so that a burst costs each receiver one entry and one write. Messages of routes that keep their
//! latest alone are not joined, as each can be taken out again.

use std::{mem, rc::Rc};

use crate::{
    border::{
        command::{Command, Commands, Handles, RoomNames},
        event::FaultCode,
        handle::Handle,
    },
    connection::{Connection, Order, State, outbox::Frames},
    handshake::refusal::{Reason, Refusal},
    message::{envelope::encode_frame, routes::RoutePolicy},
    shard::Shard,
};

/// Who a run of messages is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience<'a> {
    Room(&'a [u8]),
    Everybody,
}

/// Consecutive messages for one audience.
struct Run<'a> {
    audience: Audience<'a>,
    sending: Sending,
}

/// Encoded messages, and what becomes of them where there is no room.
struct Sending {
    frames: Frames,
    policy: RoutePolicy,
    /// The route of the first.
    route: u32,
}

impl Shard {
    /// Applies the commands in a buffer, in order.
    pub(crate) fn apply(&self, bytes: &[u8]) {
        let mut commands = Commands::new(bytes);
        let mut run: Option<Run<'_>> = None;
        for command in &mut commands {
            let (route, payload, audience) = match command {
                Command::Broadcast { route, payload } => (route, payload, Audience::Everybody),
                Command::Rooms {
                    route,
                    payload,
                    rooms,
                } => {
                    let Some(name) = rooms.only() else {
                        self.finish(run.take());
                        self.send_to_rooms(route, payload, rooms);
                        continue;
                    };
                    (route, payload, Audience::Room(name))
                }
                other => {
                    // Asked first, as taking copies all of it, also where there is none.
                    if run.is_some() {
                        self.finish(run.take());
                    }
                    self.obey(other);
                    self.write_much();
                    continue;
                }
            };
            let policy = self.routes().policy(route);
            let joins = |run: &Run<'_>| {
                run.audience == audience
                    && run.sending.policy == policy
                    && policy != RoutePolicy::Latest
            };
            if !run.as_ref().is_some_and(joins) {
                self.finish(run.take());
            }
            let run = run.get_or_insert_with(|| Run {
                audience,
                sending: Sending {
                    frames: Frames::default(),
                    policy,
                    route,
                },
            });
            self.encode(route, payload, &mut run.sending.frames);
        }
        self.finish(run);
        if !commands.is_done() {
            self.fault(FaultCode::Internal, "a command buffer made no sense", None);
        }
    }

    fn obey(&self, command: Command<'_>) {
        match command {
            Command::Admit(handle) => {
                if let Some(connection) = self.connection(handle) {
                    self.admit(&connection);
                }
            }
            Command::Refuse {
                handle,
                status,
                reason,
                body,
            } => {
                self.refuse(handle, status, reason, body);
            }
            Command::Release(handle) => {
                // A live connection keeps its number, whatever the owner believes.
                if self
                    .connection(handle)
                    .is_some_and(|it| it.state() == State::Ended)
                {
                    self.release(handle);
                }
            }
            Command::Join(handle, room) => {
                if let Some(connection) = self.connection(handle) {
                    self.registry
                        .borrow_mut()
                        .join(self.slot(&connection), room, |it| self.rooms().opened(it));
                }
            }
            Command::Leave(handle, room) => {
                if let Some(connection) = self.connection(handle) {
                    self.registry
                        .borrow_mut()
                        .leave(self.slot(&connection), room, |it| self.rooms().emptied(it));
                }
            }
            Command::To {
                route,
                payload,
                clients,
            } => self.send_to(route, payload, clients),
            // These two join runs instead.
            Command::Rooms { .. } | Command::Broadcast { .. } => {}
            Command::Close(handle, code) => {
                if let Some(connection) = self.connection(handle) {
                    connection.order(Order::Close(code, None));
                }
            }
            Command::Pause(handle) => {
                if let Some(connection) = self.connection(handle) {
                    connection.pause(true);
                }
            }
            Command::Resume(handle) => {
                if let Some(connection) = self.connection(handle) {
                    connection.pause(false);
                }
            }
            Command::Terminate(handle) => {
                if let Some(connection) = self.connection(handle) {
                    self.cut(&connection);
                }
            }
        }
    }

    fn refuse(&self, handle: Handle, status: u16, reason: u32, body: &[u8]) {
        let Some(connection) = self.connection(handle) else {
            return;
        };
        if connection.state() != State::Pending {
            return;
        }
        let reason = Reason::from_index(reason).unwrap_or(Reason::Connect);
        self.metrics().refuse(reason);
        self.release(handle);
        connection.end();
        let mut refusal = Refusal::new(status, reason);
        if !body.is_empty() {
            refusal = refusal.with_body(body.to_vec());
        }
        connection.order(Order::Refuse(refusal.to_response()));
    }

    fn send_to(&self, route: u32, payload: Option<&[u8]>, mut clients: Handles<'_>) {
        let Some(prefix) = self.routes().prefix(route) else {
            return;
        };
        let policy = self.routes().policy(route);
        let mut rest = clients.clone();
        if policy != RoutePolicy::Latest
            && let (Some(only), None) = (rest.next(), rest.next())
        {
            if let Some(connection) = self.connection(only) {
                let length = prefix.len() + payload.map_or(0, <[u8]>::len);
                self.send_one(&connection, policy, length, |out| {
                    encode_frame(out, prefix, payload)
                });
            }
            return;
        }
        let number = self.next_fan_out();
        let sending = self.sending(route, payload);
        let to = clients
            .by_ref()
            .filter_map(|handle| self.connection(handle));
        self.deliver(sending, to.filter(|connection| connection.mark(number)));
    }

    fn send_to_rooms(&self, route: u32, payload: Option<&[u8]>, rooms: RoomNames<'_>) {
        let number = self.next_fan_out();
        let sending = self.sending(route, payload);
        let registry = self.registry.borrow();
        let members = rooms.flat_map(|room| registry.members(room));
        let to = members.filter_map(|&slot| self.in_slot(slot));
        let slow = self.queue(sending, to.filter(|connection| connection.mark(number)));
        drop(registry);
        self.cut_slow(slow);
        self.write_much();
    }

    /// Writes before the batch is done, if much is queued: what the sockets take need not be held.
    fn write_much(&self) {
        if self.tally().is_much_unwritten() {
            self.flush_touched();
        }
    }

    fn next_fan_out(&self) -> u32 {
        // 0 is what a connection starts with.
        let number = self.fan_out.get().wrapping_add(1).max(1);
        self.fan_out.set(number);
        number
    }

    fn encode(&self, route: u32, payload: Option<&[u8]>, frames: &mut Frames) {
        if let Some(prefix) = self.routes().prefix(route) {
            frames.push(|out| encode_frame(out, prefix, payload));
        }
    }

    fn sending(&self, route: u32, payload: Option<&[u8]>) -> Sending {
        let mut frames = Frames::default();
        self.encode(route, payload, &mut frames);
        Sending {
            frames,
            policy: self.routes().policy(route),
            route,
        }
    }

    fn finish(&self, run: Option<Run<'_>>) {
        let Some(Run { audience, sending }) = run else {
            return;
        };
        let registry = self.registry.borrow();
        let members = match audience {
            Audience::Room(name) => registry.members(name),
            Audience::Everybody => registry.open(),
        };
        let slow = self.queue(
            sending,
            members.iter().filter_map(|&slot| self.in_slot(slot)),
        );
        drop(registry);
        self.cut_slow(slow);
        self.write_much();
    }

    fn deliver(&self, sending: Sending, to: impl Iterator<Item = Rc<Connection>>) {
        let slow = self.queue(sending, to);
        self.cut_slow(slow);
    }

    /// Queues frames for many; returns those that were too slow and are to be cut off. That is done afterwards, since it
    /// changes the registry.
    fn queue(
        &self,
        sending: Sending,
        to: impl Iterator<Item = Rc<Connection>>,
    ) -> Vec<Rc<Connection>> {
        let Sending {
            frames,
            policy,
            route,
        } = sending;
        let mut slow = Vec::new();
        if frames.is_empty() {
            return slow;
        }
        let (count, length) = (frames.count(), frames.length());
        let frames = frames.share(self.tally());
        if policy == RoutePolicy::Latest {
            self.queue_latest(&frames, route, to);
            return slow;
        }
        let cuts_off = self.cuts_off(policy);
        let (mut sent, mut dropped) = (0, 0);
        let metrics = self.metrics();
        for connection in to {
            sent += count;
            if connection.state() != State::Open {
                dropped += count;
                continue;
            }
            let limit = self.backpressure(&connection, length);
            let mut taken = connection.push_shared(&frames, 0, limit);
            if taken < count {
                // The flush counts what it writes, and a snapshot may be taken at any time: what is written has been
                // sent before.
                metrics.sent.add(mem::take(&mut sent) as u64);
                if connection.has_room(limit, metrics) {
                    taken += connection.push_shared(&frames, taken, limit);
                }
            }
            self.touch(&connection);
            if taken < count {
                dropped += count - taken;
                if cuts_off {
                    slow.push(connection);
                }
            }
        }
        metrics.sent.add(sent as u64);
        metrics.dropped.add(dropped as u64);
        slow
    }

    /// Queues a message of a route that keeps its latest alone. No client is too slow for it.
    fn queue_latest(
        &self,
        frame: &Rc<Frames>,
        route: u32,
        to: impl Iterator<Item = Rc<Connection>>,
    ) {
        let limit = self.config().max_backpressure;
        let metrics = self.metrics();
        for connection in to {
            metrics.sent.add(1);
            if connection.state() == State::Open {
                connection.push_latest(frame, route, limit, metrics);
                self.touch(&connection);
            } else {
                metrics.dropped.add(1);
            }
        }
    }

    fn cut_slow(&self, slow: Vec<Rc<Connection>>) {
        for connection in slow {
            self.disconnect_slow(&connection);
        }
    }
}
