//! Carries out the owner's commands: admissions, rooms, sends, ends.

use std::{rc::Rc, time::Duration};

use crate::{
    border::{
        command::Command,
        ending::{EndedBy, Ending},
        event::FaultCode,
        handle::Handle,
        owner::OwnerNumber,
        reader::Commands,
    },
    connection::{Connection, Order, State},
    handshake::refusal::{Reason, Refusal},
    shard::{
        Shard, answer,
        fan_out::{self, Audience, Run, To},
        flush, leave, life, questions,
    },
};

/// Applies the commands in a buffer, in order.
pub(crate) fn apply(shard: &Shard, owner: OwnerNumber, bytes: &[u8]) {
    let has_left = shard.parts.borrow().of(owner).is_none();
    if has_left && owner != OwnerNumber::NOBODY {
        return leave::hear(shard, owner, bytes);
    }
    let mut commands = Commands::new(bytes);
    let mut run: Option<Run<'_>> = None;
    while let Some(command) = commands.next() {
        let (route, payload, to, except) = match command {
            // First, because nearly all commands are such.
            Command::To {
                route,
                payload,
                clients,
            } => {
                finish(shard, &mut run);
                fan_out::send_to(shard, route, payload, clients);
                flush::write_much(shard);
                continue;
            }
            Command::Broadcast {
                route,
                payload,
                except,
            } => (route, payload, To::Everybody, except),
            Command::Rooms {
                route,
                payload,
                except,
                rooms,
            } => {
                let Some(name) = rooms.only() else {
                    finish(shard, &mut run);
                    fan_out::send_to_rooms(shard, route, payload, rooms, except);
                    continue;
                };
                (route, payload, To::Room(name), except)
            }
            Command::ExceptIds(ids) => {
                finish(shard, &mut run);
                let absent: Vec<Handle> = ids.filter_map(|id| shard.ids.get(id)).collect();
                if let Some(command) = commands.next() {
                    send_without(shard, owner, command, absent);
                }
                continue;
            }
            other => {
                finish(shard, &mut run);
                obey(shard, owner, other);
                flush::write_much(shard);
                continue;
            }
        };
        let audience = Audience { to, except };
        fan_out::join(shard, &mut run, audience, route, payload);
    }
    fan_out::finish(shard, run);
    if !commands.is_done() {
        shard.fault(
            FaultCode::Internal,
            "the engine could not decode a buffer of commands",
        );
    }
}

/// Sends what was joined.
fn finish(shard: &Shard, run: &mut Option<Run<'_>>) {
    // Checked first, because `take` copies the whole value, even if it is `None`.
    if run.is_some() {
        fan_out::finish(shard, run.take());
    }
}

/// Obeys a command that leaves more clients out than it names.
fn send_without(shard: &Shard, owner: OwnerNumber, command: Command<'_>, absent: Vec<Handle>) {
    match command {
        Command::Broadcast {
            route,
            payload,
            except,
        } => fan_out::send_to_others(shard, route, payload, except.chain(absent)),
        Command::Rooms {
            route,
            payload,
            except,
            rooms,
        } => fan_out::send_to_rooms(shard, route, payload, rooms, except.chain(absent)),
        // The others leave nobody out.
        other => obey(shard, owner, other),
    }
}

fn obey(shard: &Shard, owner: OwnerNumber, command: Command<'_>) {
    match command {
        Command::Admit(handle) => with(shard, handle, |it| life::admit(shard, it)),
        Command::Refuse {
            handle,
            status,
            reason,
            retry_after_ms,
            issues,
        } => {
            let reason = Reason::from_index(reason).unwrap_or(Reason::Connect);
            let retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
            let refusal = Refusal {
                issues: issues.to_vec(),
                retry_after,
                ..Refusal::new(status, reason)
            };
            refuse(shard, handle, refusal);
        }
        Command::Release(handle) => {
            // A live connection keeps its number, even if the owner releases it by mistake.
            if shard
                .connection(handle)
                .is_some_and(|it| it.state() == State::Ended)
            {
                life::release(shard, handle);
            }
        }
        Command::Join(handle, room) => with(shard, handle, |it| {
            let mut registry = shard.registry.borrow_mut();
            registry.join(shard.slot(it), room, |name| shard.rooms().opened(name));
        }),
        Command::Leave(handle, room) => with(shard, handle, |it| {
            let mut registry = shard.registry.borrow_mut();
            registry.leave(shard.slot(it), room, |name| shard.rooms().emptied(name));
        }),
        Command::ToIds {
            route,
            payload,
            clients,
        } => {
            let handles = clients.filter_map(|id| shard.ids.get(id));
            fan_out::send_to(shard, route, payload, handles);
        }
        Command::Mark(number) => shard.shared.reach(owner, number),
        // These are obeyed before, or for the bus.
        Command::To { .. }
        | Command::Rooms { .. }
        | Command::Broadcast { .. }
        | Command::ExceptIds(_)
        | Command::Route(..)
        | Command::Flush(_) => {}
        Command::Error {
            handle,
            code,
            route,
            number,
            detail,
        } => answer::refuse(shard, handle, code, route, number, detail),
        Command::Answer {
            how,
            handle,
            number,
            kind,
            payload,
        } => answer::send(shard, handle, how, number, kind, payload),
        Command::Settle(handle, number) => with(shard, handle, |it| {
            it.calls().settle(number);
        }),
        Command::Members {
            question,
            asks,
            room,
        } => questions::answer(shard, owner, question, asks, room),
        Command::MoreMembers {
            question,
            shard: index,
        } => questions::go_on(shard, owner, question, index),
        Command::Close {
            handle,
            code,
            reason,
        } => {
            let reason = String::from_utf8_lossy(reason);
            let ending = Ending::new(EndedBy::Server, code, &reason);
            with(shard, handle, |it| it.close(ending));
        }
        Command::Announce(handle) => with(shard, handle, |it| life::announce(shard, it)),
        Command::Pause(handle) => with(shard, handle, |it| it.pause(true)),
        Command::Resume(handle) => with(shard, handle, |it| it.pause(false)),
        Command::Terminate(handle) => {
            with(shard, handle, |it| life::cut(shard, it, EndedBy::Server));
        }
    }
}

/// Does something with a connection of this shard; nothing if it is none.
fn with(shard: &Shard, handle: Handle, act: impl FnOnce(&Rc<Connection>)) {
    if let Some(connection) = shard.connection(handle) {
        act(&connection);
    }
}

fn refuse(shard: &Shard, handle: Handle, refusal: Refusal) {
    let Some(connection) = shard.connection(handle) else {
        return;
    };
    if connection.state() != State::Pending {
        return;
    }
    shard.metrics().refuse(refusal.reason);
    life::release(shard, handle);
    connection.end();
    connection.order(Order::Refuse(Box::new(refusal)));
}
