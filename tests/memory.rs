//! What hostile clients may make the server hold: every byte that is allocated in this process is counted.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{
    CLOSED, ECHO, Owner, config,
    raw::{Raw, UPGRADE, frame, header},
    text, wait_for,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex,
};
use zocket::Config;
use zocket::message::error::BadCode;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator, which keeps the promises; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The system moves pages of what is large, and holds nothing twice.
        let live = if size >= layout.size() {
            let more = size - layout.size();
            LIVE.fetch_add(more, Ordering::Relaxed) + more
        } else {
            LIVE.fetch_sub(layout.size() - size, Ordering::Relaxed)
        };
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises about pointer, layout and size are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `System` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by a test from its first line to its last, as what others allocate would be counted too.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Measured {
    before: usize,
}

/// Starts to measure; what the clients are going to send is best made before.
fn measure() -> Measured {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    Measured { before }
}

impl Measured {
    /// The most that was held at once since the start.
    fn check(&self, limit: usize) {
        let peak = PEAK.load(Ordering::Relaxed).saturating_sub(self.before);
        println!("{} KiB of at most {}", peak / KIB, limit / KIB);
        assert!(
            peak < limit,
            "{} KiB of at most {}",
            peak / KIB,
            limit / KIB
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_sees_what_is_held() {
    let _alone = ALONE.lock().await;
    let measured = measure();
    drop(std::hint::black_box(vec![1_u8; 3 * MIB]));
    let peak = PEAK.load(Ordering::Relaxed) - measured.before;
    // The test before this one may still be giving back its last bytes.
    assert!((3 * MIB - 64 * KIB..4 * MIB).contains(&peak), "{peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_requests_hold_no_more_than_a_head_each() {
    const CLIENTS: usize = 400;
    let _alone = ALONE.lock().await;
    let half = [
        UPGRADE.strip_suffix(b"\r\n").unwrap(),
        b"a: ",
        &vec![b'x'; 16_000],
    ]
    .concat();
    let measured = measure();
    let owner = Owner::start(config());
    let mut crowd = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = Raw::connect(&owner).await;
        raw.send(&half).await;
        crowd.push(raw);
    }
    // One that is refused has been read after all the others.
    let mut last = Raw::connect(&owner).await;
    last.send(b"GET / HTTP/1.1\r\n\r\n").await;
    last.rest().await;
    measured.check(CLIENTS * 32 * KIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_before_the_admission_are_kept_up_to_64_kib() {
    const CLIENTS: usize = 50;
    let _alone = ALONE.lock().await;
    let early = Arc::new(frame(0x82, &vec![0; 2000]).repeat(1000));
    let measured = measure();
    let mut owner = Owner::start(config());
    let mut sending = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = Raw::connect(&owner).await;
        raw.send(UPGRADE).await;
        owner.next_of(support::UPGRADE);
        let early = early.clone();
        sending.push(tokio::spawn(async move {
            raw.send(&early).await;
        }));
    }
    // One that is refused has had its turn after all that was there.
    let mut last = Raw::connect(&owner).await;
    last.send(b"GET / HTTP/1.1\r\n\r\n").await;
    last.rest().await;
    measured.check(CLIENTS * 200 * KIB);
    for sending in sending {
        sending.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_before_the_admission_go_at_once_when_their_client_resets() {
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(Config {
        handshake_timeout: Duration::from_secs(600),
        heartbeat_interval: None,
        ..config()
    });
    let mut raw = Raw::connect(&owner).await;
    raw.send(UPGRADE).await;
    let handle = owner.next_of(support::UPGRADE).handle;
    // The engine reads no further, and would not come to the end of this.
    raw.send(&frame(0x82, &vec![0; 2000]).repeat(40)).await;
    // One that is refused has had its turn after all that was there.
    let mut last = Raw::connect(&owner).await;
    last.send(b"GET / HTTP/1.1\r\n\r\n").await;
    last.rest().await;
    raw.stream.set_zero_linger().unwrap();
    drop(raw);
    let end = owner.next();
    assert_eq!((end.handle, end.code), (handle, CLOSED));
}

/// Waits until the server has read so many bytes, and dealt with them.
async fn has_read(owner: &mut Owner, bytes: u64) {
    wait_for(&owner.server, |it| it.bytes_in >= bytes);
    // There is one I/O thread, which opens another connection only then.
    Raw::open(owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_length_holds_no_more_than_what_has_arrived() {
    const LIARS: usize = 200;
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(config());
    for length in [1 << 40, i64::MAX as u64, u64::MAX] {
        let (mut raw, _) = Raw::open(&mut owner).await;
        let code = if length == u64::MAX { 1002 } else { 1009 };
        raw.send(&header(0x82, length)).await;
        assert_eq!(raw.closed().await.0, Some(code));
    }
    let mut liars = Vec::new();
    for _ in 0..LIARS {
        liars.push(Raw::open(&mut owner).await.0);
    }
    let lie = [&header(0x81, MIB as u64)[..], b"and no more"].concat();
    let before = owner.server.metrics().bytes_in;
    let measured = measure();
    for liar in &mut liars {
        liar.send(&lie).await;
    }
    has_read(&mut owner, before + (LIARS * lie.len()) as u64).await;
    // 64 KiB are the buffer of the I/O thread.
    measured.check(LIARS * KIB + 128 * KIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_and_the_frame_under_way_hold_one_message_together() {
    const MOST: usize = 16 * MIB;
    let _alone = ALONE.lock().await;
    let fragments = frame(0x02, &vec![7; MOST - 16]);
    let next = [header(0x80, 16), vec![7; 15]].concat();
    let lie = [header(0x80, MOST as u64), vec![7; 64 * KIB]].concat();
    let mut owner = Owner::start(Config {
        max_payload: MOST,
        ..config()
    });
    let (mut honest, _) = Raw::open(&mut owner).await;
    let (mut liar, _) = Raw::open(&mut owner).await;
    let before = owner.server.metrics().bytes_in;
    let measured = measure();
    honest.send(&fragments).await;
    honest.send(&next).await;
    has_read(&mut owner, before + (fragments.len() + next.len()) as u64).await;
    measured.check(MOST + 256 * KIB);
    liar.send(&fragments).await;
    liar.send(&lie).await;
    assert_eq!(liar.closed().await.0, Some(1009));
    measured.check(2 * MOST + 512 * KIB);
    // It is closed, but the client has not left.
    wait_for_live(measured.before + MOST + 256 * KIB).await;
}

/// Waits until no more than so much is held.
async fn wait_for_live(limit: usize) {
    let held = async {
        while LIVE.load(Ordering::Relaxed) > limit {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(support::DEADLINE, held).await;
    held.expect("less is held in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_million_fragments_holds_what_a_whole_one_does() {
    let _alone = ALONE.lock().await;
    let text = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(1_000_000));
    let mut bytes = frame(0x01, &text.as_bytes()[..1]);
    for byte in text[1..].bytes() {
        bytes.extend_from_slice(&frame(0x00, &[byte]));
    }
    bytes.extend_from_slice(&frame(0x80, b""));
    let measured = measure();
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    raw.send(&bytes).await;
    wait_for(&owner.server, |it| it.received == 1);
    // The message and its copy in the inbox.
    measured.check(3 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_fragments_and_pings_without_end_hold_nothing() {
    let _alone = ALONE.lock().await;
    let bytes = [
        frame(0x00, b""),
        frame(0x89, &[7; 125]),
        frame(0x8a, &[7; 125]),
    ]
    .concat()
    .repeat(20_000);
    let measured = measure();
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    raw.send(&frame(0x01, b"")).await;
    assert!(flood(&mut raw, &bytes).await > 0);
    measured.check(2 * MIB);
}

/// Sends bytes and a close frame while it reads, and keeps nothing; how many bytes came.
async fn flood(raw: &mut Raw, bytes: &[u8]) -> usize {
    let (mut reader, mut writer) = raw.stream.split();
    let writing = async {
        let _ = writer.write_all(bytes).await;
        let _ = writer.write_all(&frame(0x88, b"\x03\xe8")).await;
    };
    let reading = async {
        let mut chunk = [0; 4096];
        let mut read = 0;
        while let Ok(length @ 1..) = reader.read(&mut chunk).await {
            read += length;
        }
        read
    };
    tokio::join!(writing, reading).1
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_of_a_client_that_does_not_read_hold_one_pong() {
    let _alone = ALONE.lock().await;
    let chunk = format!("\"{}\"", "x".repeat(64 * KIB));
    let pings = frame(0x89, &[7; 125]).repeat(40_000);
    let mut owner = Owner::start(Config {
        max_backpressure: 64 * MIB,
        ..config()
    });
    let (mut raw, handle) = Raw::open(&mut owner).await;
    for _ in 0..400 {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[handle]);
        });
    }
    wait_for(&owner.server, |it| it.sent == 400);
    assert!(owner.server.metrics().queued > 0);
    let measured = measure();
    raw.send(&pings).await;
    raw.send(&frame(0x81, br#"{"type":"nothing"}"#)).await;
    assert_eq!(owner.next().code, support::NOTHING_BARE);
    measured.check(MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_of_a_client_that_does_not_read_end_it_at_the_bound() {
    let _alone = ALONE.lock().await;
    let flood = frame(0x81, b"[").repeat(200_000);
    let measured = measure();
    let mut owner = Owner::start(Config {
        max_backpressure: 64 * KIB,
        ..config()
    });
    let (mut raw, _) = Raw::open(&mut owner).await;
    let sending = tokio::spawn(async move {
        raw.send(&flood).await;
        raw
    });
    // An answer each, until the system's buffers and the outbox are full.
    owner.next_of(CLOSED);
    drop(sending.await.unwrap());
    measured.check(3 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_name_is_held_once_by_all_io_threads_and_comes_back() {
    const ROOMS: usize = 2_000;
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(Config {
        io_threads: 4,
        ..config()
    });
    let mut sockets = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (socket, handle) = owner.client().await;
        sockets.push(socket);
        clients.push(handle);
    }
    let names: Vec<_> = (0..ROOMS)
        .map(|n| format!("{n:r>4096}").into_bytes())
        .collect();
    let measured = measure();
    let held = || LIVE.load(Ordering::Relaxed).saturating_sub(measured.before) / KIB;
    for round in 0..2 {
        for name in &names {
            owner.submit(|it| {
                for &client in &clients {
                    it.join(client, name);
                }
            });
        }
        owner.submit(|it| {
            it.broadcast(ECHO, None);
        });
        // All shards have obeyed then.
        for socket in &mut sockets {
            text(socket).await;
        }
        assert_eq!(owner.server.metrics().rooms, ROOMS as u64);
        println!("{} KiB for {ROOMS} rooms of 4 KiB", held());
        assert!(held() < 12 * KIB, "{} KiB", held());
        for name in &names[1..] {
            owner.submit(|it| {
                for &client in &clients {
                    it.leave(client, name);
                }
            });
        }
        owner.submit(|it| {
            it.broadcast(ECHO, None);
        });
        for socket in &mut sockets {
            text(socket).await;
        }
        assert_eq!(owner.server.metrics().rooms, 1);
        println!("{} KiB after round {round}", held());
        assert!(held() < 3 * KIB, "{} KiB", held());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_that_end_before_an_owner_that_takes_nothing_are_let_go() {
    const CROWD: usize = 200;
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(Config {
        max_inbox: 1,
        handshake_timeout: Duration::from_millis(100),
        ..config()
    });
    // A bad message fills the inbox, and nobody takes it.
    let (mut raw, _) = Raw::open(&mut owner).await;
    raw.send(&frame(0x81, b"[")).await;
    wait_for(&owner.server, |it| {
        it.bad[BadCode::BadMessage as usize] == 1
    });
    let mut after_first = 0;
    for round in 0..8 {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut raw = Raw::connect(&owner).await;
            raw.send(UPGRADE).await;
            crowd.push(raw);
        }
        for mut raw in crowd {
            assert!(raw.rest().await.starts_with(b"HTTP/1.1 503"));
        }
        if round == 0 {
            after_first = LIVE.load(Ordering::Relaxed);
        }
    }
    // Of 1,600 upgrades. The tasks of the last ones may still end.
    wait_for_live(after_first + 400 * KIB).await;
    let grown = LIVE.load(Ordering::Relaxed).saturating_sub(after_first);
    println!("{} KiB for {} upgrades", grown / KIB, 7 * CROWD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_connections_leaves_nothing() {
    const CROWD: usize = 500;
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(config());
    for round in 0..3 {
        let before = LIVE.load(Ordering::Relaxed);
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(Raw::open(&mut owner).await);
        }
        let each = LIVE.load(Ordering::Relaxed).saturating_sub(before) / CROWD;
        println!("{each} bytes for each, with its client in this process");
        assert!(each < 4 * KIB, "{each} bytes");
        for (raw, handle) in crowd {
            drop(raw);
            owner.next_of(CLOSED);
            owner.submit(|it| {
                it.release(handle);
            });
        }
        // The runtimes keep a little of the first crowd.
        if round > 0 {
            wait_for_live(before + 16 * KIB).await;
        }
    }
}
