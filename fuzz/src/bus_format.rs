//! Any bytes on a channel of the bus become whole commands with payloads that fit their routes, once, or nothing. They hold no more
//! memory than they may. What is understood, also what processes tell each other, is written and read back the same.

use serde_json::value::RawValue;
use zocket::{BusProbe, Command, MAX_ROOM_NAME, border::reader::Commands};

use super::memory;

/// Bytes that taking a message may hold for each of its own: a field of a room has six at least, and takes 16 in a vector that
/// doubles, and eight in a command that doubles.
const TAKEN: usize = 16;
/// Bytes that are held besides: what was seen, and a text.
const SOME: usize = 4096;

pub fn run(bytes: &[u8]) {
    memory::alone(|| check(bytes));
}

/// The first byte chooses the channel.
fn check(bytes: &[u8]) {
    let Some((&channel, message)) = bytes.split_first() else {
        return;
    };
    let mut process = BusProbe::new();
    let most = TAKEN * message.len() + SOME;
    let taken = memory::at_most(most, || process.take(channel, message).map(<[u8]>::to_vec));
    match taken {
        Err(why) => assert!(!why.is_empty() && why.chars().count() < 400),
        Ok(commands) => {
            check_commands(&commands);
            if !commands.is_empty() {
                let again = process.take(channel, message);
                assert_eq!(again, Ok(&[][..]), "it is delivered once");
            }
        }
    }
    let written = memory::at_most(most, || BusProbe::rewritten(message));
    if let Some(written) = written {
        // What a newer version adds is left out.
        assert!(written.len() <= message.len() + SOME);
        assert_eq!(BusProbe::rewritten(&written).as_ref(), Some(&written));
    }
}

fn check_commands(bytes: &[u8]) {
    let mut commands = Commands::new(bytes);
    let mut sends = 0;
    for command in &mut commands {
        match command {
            Command::ExceptIds(ids) => {
                assert!(sends == 0 && ids.count() > 0);
                continue;
            }
            Command::Broadcast { route, payload, .. } => check_payload(route, payload),
            Command::ToIds {
                route,
                payload,
                clients,
            } => {
                check_payload(route, payload);
                assert!(clients.count() > 0);
            }
            Command::Rooms {
                route,
                payload,
                rooms,
                ..
            } => {
                check_payload(route, payload);
                let lengths: Vec<_> = rooms.map(<[u8]>::len).collect();
                assert!(!lengths.is_empty());
                assert!(lengths.iter().all(|it| (1..=MAX_ROOM_NAME).contains(it)));
            }
            other => panic!("nobody may ask for {other:?}"),
        }
        sends += 1;
    }
    assert!(commands.is_done() && sends <= 1);
    assert_eq!(sends == 0, bytes.is_empty());
}

/// It goes into a frame as it is.
fn check_payload(route: u32, payload: Option<&[u8]>) {
    match route {
        0 => {
            let text = payload.map(|it| str::from_utf8(it).expect("text"));
            assert!(text.is_none_or(|it| serde_json::from_str::<&RawValue>(it).is_ok()));
        }
        1 => assert!(payload.is_some()),
        _ => panic!("there is no such route"),
    }
}
