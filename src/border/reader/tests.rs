use proptest::prelude::*;

use super::*;
use crate::{
    border::{
        handle::{ClientId, Handle},
        writer::CommandWriter,
    },
    message::envelope::MAX_ID,
    rooms::MAX_ROOM_NAME,
};

#[test]
fn what_is_written_is_read_back() {
    let mut writer = CommandWriter::new();
    writer
        .admit(Handle(7))
        .refuse(Handle(8), 403, 1, Some(7), b"[no]")
        .join(Handle(7), b"lobby")
        .to(2, Some(b"{}"), &[Handle(1), Handle(2)])
        .rooms_except(1, None, &[b"a", b"", b"four"], &[Handle(3)])
        .broadcast(0, Some(b"12345"))
        .answer(Answer::Item, Handle(7), 7, Kind::Bytes, Some(b"\0"))
        .answer(
            Answer::Item,
            Handle(7),
            (1 << 53) - 1,
            Kind::Json,
            Some(b"[]"),
        )
        .settle(Handle(7), 3)
        .close(Handle(7), 1000, b"bye")
        .release(Handle(7));
    let mut commands = Commands::new(writer.bytes());
    assert_eq!(commands.next(), Some(Command::Admit(Handle(7))));
    let refuse = Command::Refuse {
        handle: Handle(8),
        status: 403,
        reason: 1,
        retry_after_ms: Some(7),
        issues: b"[no]",
    };
    assert_eq!(commands.next(), Some(refuse));
    assert_eq!(commands.next(), Some(Command::Join(Handle(7), b"lobby")));
    let Some(Command::To {
        route: 2,
        payload: Some(b"{}"),
        clients,
    }) = commands.next()
    else {
        panic!("not a To")
    };
    assert_eq!(clients.collect::<Vec<_>>(), [Handle(1), Handle(2)]);
    let Some(Command::Rooms {
        route: 1,
        payload: None,
        except,
        rooms,
    }) = commands.next()
    else {
        panic!("not a Rooms")
    };
    assert_eq!(except.collect::<Vec<_>>(), [Handle(3)]);
    assert_eq!(rooms.collect::<Vec<_>>(), [&b"a"[..], b"", b"four"]);
    let Some(Command::Broadcast {
        route: 0,
        payload: Some(b"12345"),
        except,
    }) = commands.next()
    else {
        panic!("not a Broadcast")
    };
    assert!(except.is_empty());
    let answer = Command::Answer {
        how: Answer::Item,
        handle: Handle(7),
        number: 7,
        kind: Kind::Bytes,
        payload: Some(b"\0"),
    };
    assert_eq!(commands.next(), Some(answer));
    let answer = Command::Answer {
        how: Answer::Item,
        handle: Handle(7),
        number: (1 << 53) - 1,
        kind: Kind::Json,
        payload: Some(b"[]"),
    };
    assert_eq!(commands.next(), Some(answer));
    assert_eq!(commands.next(), Some(Command::Settle(Handle(7), 3)));
    let close = Command::Close {
        handle: Handle(7),
        code: 1000,
        reason: b"bye",
    };
    assert_eq!(commands.next(), Some(close));
    assert_eq!(commands.next(), Some(Command::Release(Handle(7))));
    assert_eq!(commands.next(), None);
    assert!(commands.is_done());
}

#[test]
fn nonsense_ends_the_buffer_without_a_panic() {
    for bytes in [
        &[0_u8; 3][..],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 2, 0, 0, 0],
        &[1, 0, 0, 0, 255, 255, 255, 255],
        &[
            6, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255,
        ],
        &[99, 0, 0, 0, 2, 0, 0, 0],
    ] {
        let mut commands = Commands::new(bytes);
        assert_eq!(commands.next(), None);
        assert!(!commands.is_done());
    }
}

#[test]
fn a_room_name_past_the_limit_is_nonsense() {
    let mut writer = CommandWriter::new();
    writer.join(Handle(0), &[b'x'; MAX_ROOM_NAME + 1]);
    assert_eq!(Commands::new(writer.bytes()).next(), None);
}

/// One command of any kind, as its owner says it.
#[derive(Debug, Clone)]
enum Said {
    Handle(u8, u32),
    Refuse(u32, u16, u32, Option<u32>, Vec<u8>),
    Room(u8, u32, Vec<u8>),
    To(u32, Option<Vec<u8>>, Vec<u32>),
    ToIds(u32, Option<Vec<u8>>, Vec<[u8; 16]>),
    ExceptIds(Vec<[u8; 16]>),
    Route(u32, bool, Vec<u8>),
    Flush(u32),
    Mark(u32),
    Rooms(u32, Option<Vec<u8>>, Vec<Vec<u8>>, Vec<u32>),
    Broadcast(u32, Option<Vec<u8>>, Vec<u32>),
    Close(u32, u16, Vec<u8>),
    Error(u32, u32, u32, Option<u64>, Option<Vec<u8>>),
    Answer(u32, u32, u64, bool, Option<Vec<u8>>),
    Settle(u32, u32),
    Members(u32, u32, Vec<u8>),
    MoreMembers(u32, u32),
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let payload = || prop::option::of(prop::collection::vec(any::<u8>(), 0..50));
    let except = || prop::collection::vec(any::<u32>(), 0..5);
    prop_oneof![
        (0..6_u8, any::<u32>()).prop_map(|(kind, handle)| Said::Handle(kind, handle)),
        (
            any::<u32>(),
            any::<u16>(),
            any::<u32>(),
            prop::option::of(0..word::NO_RETRY),
            bytes()
        )
            .prop_map(|(handle, status, reason, retry, issues)| Said::Refuse(
                handle, status, reason, retry, issues
            )),
        (0..2_u8, any::<u32>(), bytes())
            .prop_map(|(kind, handle, room)| Said::Room(kind, handle, room)),
        (
            any::<u32>(),
            payload(),
            prop::collection::vec(any::<u32>(), 0..5)
        )
            .prop_map(|(route, payload, clients)| Said::To(route, payload, clients)),
        (
            any::<u32>(),
            payload(),
            prop::collection::vec(any::<[u8; 16]>(), 0..5)
        )
            .prop_map(|(route, payload, clients)| Said::ToIds(route, payload, clients)),
        prop::collection::vec(any::<[u8; 16]>(), 0..5).prop_map(Said::ExceptIds),
        (any::<u32>(), any::<bool>(), bytes())
            .prop_map(|(number, is_bytes, name)| Said::Route(number, is_bytes, name)),
        any::<u32>().prop_map(Said::Flush),
        any::<u32>().prop_map(Said::Mark),
        (
            any::<u32>(),
            payload(),
            prop::collection::vec(bytes(), 0..5),
            except(),
        )
            .prop_map(|(route, payload, rooms, except)| {
                Said::Rooms(route, payload, rooms, except)
            }),
        (any::<u32>(), payload(), except())
            .prop_map(|(route, payload, except)| Said::Broadcast(route, payload, except)),
        (any::<u32>(), any::<u16>(), bytes())
            .prop_map(|(handle, code, reason)| Said::Close(handle, code, reason)),
        (
            any::<u32>(),
            0..99_u32,
            any::<u32>(),
            prop::option::of(0..=MAX_ID),
            payload()
        )
            .prop_map(|(handle, code, route, number, detail)| {
                Said::Error(handle, code, route, number, detail)
            }),
        (0..4_u32, any::<u32>(), 0..=MAX_ID, any::<bool>(), payload()).prop_map(
            |(how, handle, number, is_bytes, payload)| {
                Said::Answer(how, handle, number, is_bytes, payload)
            }
        ),
        (any::<u32>(), any::<u32>()).prop_map(|(handle, number)| Said::Settle(handle, number)),
        (any::<u32>(), 0..2_u32, bytes())
            .prop_map(|(question, asks, room)| Said::Members(question, asks, room)),
        (any::<u32>(), any::<u32>())
            .prop_map(|(question, shard)| Said::MoreMembers(question, shard)),
    ]
}

fn kind(is_bytes: bool) -> Kind {
    if is_bytes { Kind::Bytes } else { Kind::Json }
}

fn handles(numbers: &[u32]) -> Vec<Handle> {
    numbers.iter().copied().map(Handle).collect()
}

fn numbers(handles: Handles<'_>) -> Vec<u32> {
    handles.map(|handle| handle.0).collect()
}

fn ids(ids: &[[u8; 16]]) -> Vec<ClientId> {
    ids.iter().copied().map(ClientId::from_bytes).collect()
}

fn write(said: &Said, writer: &mut CommandWriter) {
    match said {
        Said::Handle(0, handle) => writer.admit(Handle(*handle)),
        Said::Handle(1, handle) => writer.release(Handle(*handle)),
        Said::Handle(2, handle) => writer.pause(Handle(*handle)),
        Said::Handle(3, handle) => writer.resume(Handle(*handle)),
        Said::Handle(4, handle) => writer.terminate(Handle(*handle)),
        Said::Handle(_, handle) => writer.announce(Handle(*handle)),
        Said::Refuse(handle, status, reason, retry, issues) => {
            writer.refuse(Handle(*handle), *status, *reason, *retry, issues)
        }
        Said::Room(0, handle, room) => writer.join(Handle(*handle), room),
        Said::Room(_, handle, room) => writer.leave(Handle(*handle), room),
        Said::To(route, payload, clients) => {
            writer.to(*route, payload.as_deref(), &handles(clients))
        }
        Said::ToIds(route, payload, clients) => {
            writer.to_ids(*route, payload.as_deref(), &ids(clients))
        }
        Said::ExceptIds(clients) => writer.except_ids(&ids(clients)),
        Said::Route(number, is_bytes, name) => writer.route(*number, kind(*is_bytes), name),
        Said::Flush(number) => writer.flush(*number),
        Said::Mark(number) => writer.mark(*number),
        Said::Rooms(route, payload, rooms, except) => {
            let rooms: Vec<_> = rooms.iter().map(Vec::as_slice).collect();
            writer.rooms_except(*route, payload.as_deref(), &rooms, &handles(except))
        }
        Said::Broadcast(route, payload, except) => {
            writer.broadcast_except(*route, payload.as_deref(), &handles(except))
        }
        Said::Close(handle, code, reason) => writer.close(Handle(*handle), *code, reason),
        Said::Error(handle, code, route, number, detail) => {
            let code = ErrorCode::from_code(*code);
            writer.error(Handle(*handle), code, *route, *number, detail.as_deref())
        }
        Said::Answer(how, handle, number, is_bytes, payload) => {
            let how = Answer::from_code(*how).unwrap();
            let kind = kind(*is_bytes);
            writer.answer(how, Handle(*handle), *number, kind, payload.as_deref())
        }
        Said::Settle(handle, number) => writer.settle(Handle(*handle), *number),
        Said::Members(question, asks, room) => {
            writer.members(*question, Asks::from_code(*asks).unwrap(), room)
        }
        Said::MoreMembers(question, shard) => writer.more_members(*question, *shard),
    };
}

fn heard(command: Command<'_>) -> Said {
    let owned = |payload: Option<&[u8]>| payload.map(<[u8]>::to_vec);
    match command {
        Command::Admit(handle) => Said::Handle(0, handle.0),
        Command::Release(handle) => Said::Handle(1, handle.0),
        Command::Pause(handle) => Said::Handle(2, handle.0),
        Command::Resume(handle) => Said::Handle(3, handle.0),
        Command::Terminate(handle) => Said::Handle(4, handle.0),
        Command::Announce(handle) => Said::Handle(5, handle.0),
        Command::Refuse {
            handle,
            status,
            reason,
            retry_after_ms,
            issues,
        } => Said::Refuse(handle.0, status, reason, retry_after_ms, issues.to_vec()),
        Command::Join(handle, room) => Said::Room(0, handle.0, room.to_vec()),
        Command::Leave(handle, room) => Said::Room(1, handle.0, room.to_vec()),
        Command::To {
            route,
            payload,
            clients,
        } => Said::To(route, owned(payload), numbers(clients)),
        Command::ToIds {
            route,
            payload,
            clients,
        } => Said::ToIds(
            route,
            owned(payload),
            clients.map(ClientId::to_bytes).collect(),
        ),
        Command::ExceptIds(clients) => Said::ExceptIds(clients.map(ClientId::to_bytes).collect()),
        Command::Route(number, kind, name) => {
            Said::Route(number, kind == Kind::Bytes, name.to_vec())
        }
        Command::Flush(number) => Said::Flush(number),
        Command::Mark(number) => Said::Mark(number),
        Command::Rooms {
            route,
            payload,
            except,
            rooms,
        } => {
            let rooms = rooms.map(<[u8]>::to_vec).collect();
            Said::Rooms(route, owned(payload), rooms, numbers(except))
        }
        Command::Broadcast {
            route,
            payload,
            except,
        } => Said::Broadcast(route, owned(payload), numbers(except)),
        Command::Close {
            handle,
            code,
            reason,
        } => Said::Close(handle.0, code, reason.to_vec()),
        Command::Error {
            handle,
            code,
            route,
            number,
            detail,
        } => Said::Error(handle.0, code.code(), route, number, owned(detail)),
        Command::Answer {
            how,
            handle,
            number,
            kind,
            payload,
        } => Said::Answer(
            how.code(),
            handle.0,
            number,
            kind == Kind::Bytes,
            owned(payload),
        ),
        Command::Settle(handle, number) => Said::Settle(handle.0, number),
        Command::Members {
            question,
            asks,
            room,
        } => Said::Members(question, asks.code(), room.to_vec()),
        Command::MoreMembers { question, shard } => Said::MoreMembers(question, shard),
    }
}

proptest! {
    #[test]
    fn any_commands_are_read_back_and_a_cut_buffer_gives_a_beginning_of_them(
        all in prop::collection::vec(said(), 0..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut writer = CommandWriter::new();
        for said in &all {
            write(said, &mut writer);
        }
        let text = |all: &[Said]| all.iter().map(|said| format!("{said:?}")).collect::<Vec<_>>();
        let mut commands = Commands::new(writer.bytes());
        let read: Vec<_> = (&mut commands).map(heard).collect();
        prop_assert!(commands.is_done());
        prop_assert_eq!(text(&read), text(&all));

        let cut = cut.index(writer.bytes().len() + 1);
        let mut commands = Commands::new(&writer.bytes()[..cut]);
        let read: Vec<_> = (&mut commands).map(heard).collect();
        prop_assert_eq!(text(&read), text(&all[..read.len()]));
        prop_assert!(commands.is_done() || read.len() < all.len());
    }
}
