//! Any bytes behind a handshake end as RFC 6455 says, in whatever pieces they come; messages that were complete are
//! told, and the end is told once.

use std::sync::{LazyLock, Mutex};

use zocket::Config;

use super::{
    judge::{Judgement, Verdict, judge},
    memory,
    owner::{self, BAD, CLOSED, Owner, REQUEST, UPGRADE},
};

const MAX_PAYLOAD: usize = 1000;
const STILL_THERE: &[u8] = b"\x89\x83\0\0\0\0end";
const YES: &[u8] = b"\x8a\x03end";

static OWNER: LazyLock<Mutex<Owner>> = LazyLock::new(|| {
    Mutex::new(Owner::start(Config {
        max_payload: MAX_PAYLOAD,
        io_threads: 1,
        heartbeat_interval: None,
        handshake_timeout: owner::NEVER,
        ..Config::default()
    }))
});

/// Bytes that are held for a connection, the buffer of the I/O thread included, and for each byte that it sends: six are a
/// message that gets an answer of a hundred.
const EACH: usize = 96 * 1024;
const ANSWERED: usize = 64;

pub fn run(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(8192)];
    let mut owner = OWNER.lock().expect("no panic before");
    let judgement = judge(bytes, MAX_PAYLOAD);
    let most = MAX_PAYLOAD + EACH + ANSWERED * bytes.len();
    memory::together(most, || check(bytes, &mut owner, judgement));
}

fn check(bytes: &[u8], owner: &mut Owner, judgement: Judgement) {
    // Pieces of a length that depends on the bytes; some come before the admission.
    let sum = bytes.iter().fold(bytes.len(), |sum, byte| {
        sum * 31 % 8191 + usize::from(*byte)
    });
    let (early, rest) = bytes.split_at(sum % (bytes.len() + 1));
    let stream = owner.connect();
    owner::send(&stream, &[REQUEST, early].concat());
    let told = owner.next();
    assert_eq!(told.code, UPGRADE, "{told:?}");
    let handle = told.handle;
    let before = owner.server.opened();
    owner.submit(|it| {
        it.admit(handle);
    });
    // Who leaves before its 101 has said nothing.
    while owner.server.opened() == before {
        std::thread::yield_now();
    }
    for piece in rest.chunks([1, 2, 7, 100, 5000][sum % 5].max(rest.len() / 50)) {
        owner::send(&stream, piece);
    }
    match judgement.verdict {
        Verdict::Open => owner::send(&stream, STILL_THERE),
        Verdict::Half => owner::send_no_more(&stream),
        Verdict::Close(_) => {}
    }
    let read = owner::read_until(
        &stream,
        if judgement.verdict == Verdict::Open {
            YES
        } else {
            b""
        },
    );
    let code = owner::check_output(&read).map(|(code, _)| code);
    match judgement.verdict {
        Verdict::Open => assert!(read.ends_with(YES), "{}", read.escape_ascii()),
        Verdict::Half => assert_eq!(code, None),
        Verdict::Close(expected) => assert_eq!(code, Some(expected)),
    }
    drop(stream);

    let mut messages = 0;
    loop {
        let told = owner.next();
        assert_eq!(told.handle, handle, "{told:?}");
        match told.code {
            BAD => messages += count_of(&told.value),
            0.. => messages += 1,
            CLOSED => break,
            _ => panic!("{told:?}"),
        }
    }
    assert_eq!(messages, judgement.messages);
    owner.submit(|it| {
        it.release(handle);
    });
}

/// How many bad messages an event tells of: one, unless it is a count.
fn count_of(value: &str) -> usize {
    let event: serde_json::Value = serde_json::from_str(value).expect("JSON");
    event.get("count").map_or(1, |count| {
        usize::try_from(count.as_u64().expect("a count")).expect("few")
    })
}
