//! Any bytes are read as commands without a panic, also with payloads put into them, and what is understood is written and read
//! back the same.

use zocket::{
    Command, CommandWriter, MAX_ROOM_NAME,
    border::{codes::word::NO_PAYLOAD, payloads::write_with_payloads, reader::Commands},
};

use super::memory;

/// Bytes that putting payloads into commands may hold for each byte of both: an escape takes six for one, and vectors double.
const WRITTEN: usize = 12;
/// Bytes that are held besides.
const SOME: usize = 256;

pub fn run(bytes: &[u8]) {
    memory::alone(|| check(bytes));
}

fn check(bytes: &[u8]) {
    read(bytes);
    // The first byte says where the commands end whose payloads follow.
    if let Some((&words, rest)) = bytes.split_first()
        && let Some((commands, text)) = rest.split_at_checked(4 * usize::from(words))
    {
        let mut all = Vec::new();
        memory::at_most(WRITTEN * rest.len() + SOME, || {
            write_with_payloads(&mut all, commands, text);
        });
        read(&all);
    }
}

fn read(bytes: &[u8]) {
    // Reading copies nothing.
    memory::at_most(0, || Commands::new(bytes).for_each(drop));
    let mut commands = Commands::new(bytes);
    let mut writer = CommandWriter::new();
    let mut understood = Vec::new();
    for command in &mut commands {
        write(&mut writer, &command);
        understood.push(command);
    }
    // Each takes its opcode and its length at least.
    assert!(understood.len() <= bytes.len() / 8);
    assert!(bytes.is_empty() || commands.is_done() || understood.len() * 8 < bytes.len());
    let mut again = Commands::new(writer.bytes());
    for command in &understood {
        let read = again.next().expect("what was written is read");
        match (command, read) {
            (
                Command::Rooms {
                    route,
                    payload,
                    except,
                    rooms,
                },
                Command::Rooms {
                    route: r,
                    payload: p,
                    except: e,
                    rooms: n,
                },
            ) => {
                assert_eq!(
                    (route, payload, except, rooms.clone().collect::<Vec<_>>()),
                    (&r, &p, &e, n.clone().collect())
                );
                assert_eq!(rooms.only(), n.only());
            }
            (command, read) => assert_eq!(*command, read),
        }
    }
    assert!(again.next().is_none() && again.is_done());
}

fn write(writer: &mut CommandWriter, command: &Command<'_>) {
    match command.clone() {
        Command::Admit(handle) => writer.admit(handle),
        Command::Refuse {
            handle,
            status,
            reason,
            retry_after_ms,
            issues,
        } => writer.refuse(handle, status, reason, retry_after_ms, issues),
        Command::Release(handle) => writer.release(handle),
        Command::Join(handle, room) => writer.join(handle, room),
        Command::Leave(handle, room) => writer.leave(handle, room),
        Command::To {
            route,
            payload,
            clients,
        } => {
            check_payload(payload);
            writer.to(route, payload, &clients.collect::<Vec<_>>())
        }
        Command::ToIds {
            route,
            payload,
            clients,
        } => {
            check_payload(payload);
            writer.to_ids(route, payload, &clients.collect::<Vec<_>>())
        }
        Command::ExceptIds(clients) => writer.except_ids(&clients.collect::<Vec<_>>()),
        Command::Route(number, kind, name) => writer.route(number, kind, name),
        Command::Flush(number) => writer.flush(number),
        Command::Mark(number) => writer.mark(number),
        Command::Rooms {
            route,
            payload,
            except,
            rooms,
        } => {
            check_payload(payload);
            let rooms: Vec<_> = rooms.collect();
            assert!(rooms.iter().all(|name| name.len() <= MAX_ROOM_NAME));
            writer.rooms_except(route, payload, &rooms, &except.collect::<Vec<_>>())
        }
        Command::Broadcast {
            route,
            payload,
            except,
        } => {
            check_payload(payload);
            writer.broadcast_except(route, payload, &except.collect::<Vec<_>>())
        }
        Command::Error {
            handle,
            code,
            route,
            number,
            detail,
        } => {
            check_payload(detail);
            writer.error(handle, code, route, number, detail)
        }
        Command::Answer {
            how,
            handle,
            number,
            kind,
            payload,
        } => {
            check_payload(payload);
            writer.answer(how, handle, number, kind, payload)
        }
        Command::Settle(handle, number) => writer.settle(handle, number),
        Command::Close {
            handle,
            code,
            reason,
        } => writer.close(handle, code, reason),
        Command::Announce(handle) => writer.announce(handle),
        Command::Pause(handle) => writer.pause(handle),
        Command::Resume(handle) => writer.resume(handle),
        Command::Terminate(handle) => writer.terminate(handle),
        Command::Members {
            question,
            asks,
            room,
        } => {
            assert!(room.len() <= MAX_ROOM_NAME);
            writer.members(question, asks, room)
        }
        Command::MoreMembers { question, shard } => writer.more_members(question, shard),
    };
}

fn check_payload(payload: Option<&[u8]>) {
    assert!(payload.is_none_or(|payload| payload.len() < NO_PAYLOAD as usize));
}
