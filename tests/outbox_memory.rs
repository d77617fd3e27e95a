//! What waits for a client that does not read holds no more memory than `max_backpressure`, a tenth of it, and one message:
//! every byte that is allocated in this process is counted.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use support::{CLOSED, CURSOR, ECHO, Owner, STATE, TICK, UPGRADE, config, raw::Raw, wait_for};
use tokio::sync::Mutex;
use zocket::{CommandWriter, Config, Handle, SlowClient};

const KIB: usize = 1024;
const LIMIT: usize = 1024 * KIB;
/// Ten bytes.
const SMALL: &[u8] = b"\"01234567\"";
const ROOM: &[u8] = b"room";

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator, which keeps the promises; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
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

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Sends batches to `clients` clients that do not read until all of them have lost messages again and again; then what each of
/// them holds must be within the bound. The largest message has `largest` bytes.
async fn check(
    clients: usize,
    largest: usize,
    mut batch: impl FnMut(&mut CommandWriter, &[Handle]),
) {
    let _alone = ALONE.lock().await;
    let mut owner = Owner::start(Config {
        max_backpressure: LIMIT,
        slow_client: SlowClient::Drop,
        heartbeat_interval: None,
        ..config()
    });
    let mut slow = Vec::new();
    for _ in 0..clients {
        slow.push(Raw::open(&mut owner).await);
    }
    let handles: Vec<_> = slow.iter().map(|(_, handle)| *handle).collect();
    owner.submit(|it| {
        for handle in &handles {
            it.join(*handle, ROOM);
        }
    });
    // Last of all, so that it is told of when everything before it is done.
    let settle = async |owner: &mut Owner| {
        let mut last = Raw::connect(owner).await;
        last.send(support::raw::UPGRADE).await;
        owner.next_of(UPGRADE);
        drop(last);
        owner.next_of(CLOSED);
    };
    // The system takes some more for a while.
    let (mut written, mut rounds) = (0, 0);
    while rounds < 5 {
        for _ in 0..20 {
            owner.submit(|it| batch(it, &handles));
        }
        settle(&mut owner).await;
        let metrics = owner.server.metrics();
        let is_full = metrics.dropped > 0 && metrics.written == written;
        rounds = if is_full { rounds + 1 } else { 0 };
        written = metrics.written;
    }
    let metrics = owner.server.metrics();
    assert_eq!(
        metrics.sent,
        metrics.written + metrics.queued + metrics.dropped
    );
    let with = live();
    for (raw, _) in slow {
        raw.stream.set_zero_linger().unwrap();
        drop(raw);
        owner.next_of(CLOSED);
    }
    wait_for(&owner.server, |it| it.queued == 0);
    settle(&mut owner).await;
    let held = (with - live()) / clients;
    println!("{} KiB for each of {clients}, {metrics:?}", held / KIB);
    assert!(held > LIMIT / 2, "{} KiB: too little waits", held / KIB);
    assert!(
        held <= LIMIT * 11 / 10 + largest,
        "{} KiB for each of {clients}",
        held / KIB
    );
    let metrics = owner.server.metrics();
    assert_eq!(metrics.sent, metrics.written + metrics.dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_messages_to_one_client() {
    check(1, KIB, |it, handles| {
        for _ in 0..1000 {
            it.to(ECHO, Some(SMALL), handles);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_messages_to_many_that_cannot_be_joined() {
    check(4, KIB, |it, handles| {
        for _ in 0..500 {
            it.to(ECHO, Some(SMALL), handles)
                .rooms(TICK, Some(SMALL), &[ROOM])
                .broadcast(ECHO, Some(SMALL));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_keep_their_latest_between_others() {
    check(2, KIB, |it, handles| {
        for number in 0..500 {
            it.to(ECHO, Some(SMALL), &handles[number % 2..][..1])
                .broadcast(STATE, Some(SMALL))
                .rooms(ECHO, Some(SMALL), &[ROOM])
                .to(CURSOR, Some(SMALL), handles);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn middling_messages_to_many() {
    let payload = format!("\"{}\"", "x".repeat(700));
    check(2, KIB, |it, handles| {
        for number in 0..20 {
            it.to(ECHO, Some(payload.as_bytes()), handles)
                .to(ECHO, Some(payload.as_bytes()), &handles[number % 2..][..1])
                .rooms(TICK, Some(payload.as_bytes()), &[ROOM]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_to_one_client_and_to_many() {
    let large = format!("\"{}\"", "x".repeat(300 * KIB));
    check(2, 301 * KIB, |it, handles| {
        for number in 0..2 {
            it.to(ECHO, Some(large.as_bytes()), &handles[number..][..1])
                .to(ECHO, Some(SMALL), &handles[number..][..1])
                .rooms(ECHO, Some(large.as_bytes()), &[ROOM]);
        }
    })
    .await;
}
