//! Any bytes in a compressed message are a message, or end the connection with 1007 or 1009. Another implementation comes to the same
//! end about what is too large, and no message takes more memory than it may have.

use std::sync::{LazyLock, Mutex};

use flate2::{Decompress, FlushDecompress, Status};
use zocket::{Compression, Config};

use super::{
    memory,
    owner::{self, BAD, CLOSED, Owner, REQUEST, UPGRADE},
};

const MAX_PAYLOAD: usize = 4096;
const OFFER: &[u8] = b"sec-websocket-extensions: permessage-deflate\r\n\r\n";
const STILL_THERE: &[u8] = b"\x89\x83\0\0\0\0end";
const YES: &[u8] = b"\x8a\x03end";
/// What ends a message, and a last block behind it.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// Bytes that are held for a connection, the buffer of the I/O thread included.
const EACH: usize = 128 * 1024;

static OWNER: LazyLock<Mutex<Owner>> = LazyLock::new(|| {
    let mut owner = Owner::start(Config {
        max_payload: MAX_PAYLOAD,
        io_threads: 1,
        heartbeat_interval: None,
        handshake_timeout: owner::NEVER,
        compression: Some(Compression {
            // Answers are not what is looked at.
            threshold: usize::MAX,
            ..Compression::default()
        }),
        ..Config::default()
    });
    // What inflates is made for the first message, and kept.
    check(&[0], &mut owner);
    Mutex::new(owner)
});

pub fn run(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_PAYLOAD)];
    let mut owner = OWNER.lock().expect("no panic before");
    memory::together(EACH + 2 * MAX_PAYLOAD + 4 * bytes.len(), || {
        check(bytes, &mut owner);
    });
}

fn check(bytes: &[u8], owner: &mut Owner) {
    let stream = owner.connect();
    let head = REQUEST.strip_suffix(b"\r\n").expect("a blank line");
    owner::send(&stream, &[head, OFFER].concat());
    let told = owner.next();
    assert_eq!(told.code, UPGRADE, "{told:?}");
    let handle = told.handle;
    owner.submit(|it| {
        it.admit(handle);
    });
    // In fragments of a length that depends on the bytes; binary, so that any bytes may come out.
    let length = [1000, 1, 7, 50][bytes.len() % 4].max(bytes.len() / 20);
    let mut fragments = bytes.chunks(length).peekable();
    let mut first = 0x42;
    if bytes.is_empty() {
        owner::send(&stream, &frame(first | 0x80, &[]));
    }
    while let Some(fragment) = fragments.next() {
        let end = if fragments.peek().is_none() { 0x80 } else { 0 };
        owner::send(&stream, &frame(first | end, fragment));
        first = 0;
    }
    owner::send(&stream, STILL_THERE);
    let read = owner::read_until(&stream, YES);
    let code = owner::check_output(&read).map(|(code, _)| code);
    let is_open = read.ends_with(YES);
    assert!(is_open || matches!(code, Some(1007 | 1009)), "{code:?}");
    match plain(bytes) {
        // Implementations differ in how strictly they look at the codes of a stream.
        Some(length) if length <= MAX_PAYLOAD => assert_ne!(code, Some(1009)),
        Some(_) => assert!(!is_open),
        None => {}
    }
    drop(stream);
    let mut messages = 0;
    loop {
        let told = owner.next();
        assert_eq!(told.handle, handle, "{told:?}");
        match told.code {
            BAD | 0.. => messages += 1,
            CLOSED => break,
            _ => panic!("{told:?}"),
        }
    }
    assert_eq!(messages, usize::from(is_open));
    owner.submit(|it| {
        it.release(handle);
    });
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len())
        .expect("a short one")
        .to_be_bytes();
    [&[first, 0xfe, length[0], length[1], 0, 0, 0, 0], payload].concat()
}

/// How long the message is that another implementation reads, one byte too much at most; `None` if it reads none that ends
/// where it should.
fn plain(bytes: &[u8]) -> Option<usize> {
    let whole = [bytes, &END].concat();
    let mut stream = Decompress::new(false);
    let mut out = Vec::with_capacity(MAX_PAYLOAD + 1);
    let status = stream.decompress_vec(&whole, &mut out, FlushDecompress::Sync);
    if out.len() > MAX_PAYLOAD {
        return Some(out.len());
    }
    let ends = status.ok()? == Status::StreamEnd && stream.total_in() == whole.len() as u64;
    ends.then_some(out.len())
}
