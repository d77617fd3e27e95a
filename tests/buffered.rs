//! What the whole server holds for its clients stays within `max_buffered_bytes`, whatever they do: every byte that is
//! allocated in this process is counted.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    CLOSED, DEADLINE, ECHO, FAULT, Owner, Told, config,
    raw::{Raw, frame, header},
    text, wait_for,
};
use tokio::{net::TcpSocket, sync::Mutex, task::JoinHandle, time::sleep};
use zocket::{Config, Handle, SlowClient, Snapshot};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const BOUND: usize = 16 * MIB;
/// So many clients would hold three times the bound.
const CROWD: usize = 48;

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

/// The most that has been allocated since `before`, in MiB.
fn peak(before: usize) -> usize {
    (PEAK.load(Ordering::Relaxed) - before) / MIB
}

fn measure() -> usize {
    let live = LIVE.load(Ordering::Relaxed);
    PEAK.store(live, Ordering::Relaxed);
    live
}

fn owner(slow_client: SlowClient) -> Owner {
    Owner::start(Config {
        io_threads: 2,
        max_buffered_bytes: BOUND,
        slow_client,
        ..config()
    })
}

/// A client with little room in the system.
async fn open(owner: &mut Owner) -> (Raw, Handle) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(owner.server.address()).await.unwrap();
    let mut raw = Raw::over(stream);
    raw.send(support::raw::UPGRADE).await;
    let handle = owner.admit();
    raw.head().await;
    (raw, handle)
}

fn assert_adds_up(metrics: &Snapshot) {
    assert_eq!(
        metrics.sent,
        metrics.written + metrics.queued + metrics.dropped,
        "{metrics:?}"
    );
}

/// How many of the events say that a client was cut off for the memory it held.
fn cut_off(events: &[Told]) -> usize {
    let is_cut = |told: &&Told| {
        told.code == FAULT
            && told.value["code"] == json!("SLOW_CLIENT")
            && told.value["message"]
                .as_str()
                .unwrap()
                .contains("held too much")
    };
    events.iter().filter(is_cut).count()
}

/// Takes events until nothing is held any more.
async fn emptied(owner: &mut Owner) {
    let deadline = Instant::now() + DEADLINE;
    while owner.server.metrics().buffered > 0 {
        while owner.next_within(Duration::ZERO).is_some() {}
        assert!(Instant::now() < deadline, "{:?}", owner.server.metrics());
        sleep(Duration::from_millis(5)).await;
    }
    let metrics = owner.server.metrics();
    assert_eq!(metrics.queued, 0);
    assert_adds_up(&metrics);
}

/// Takes events until the server holds so little that everybody is read again.
async fn relieved(owner: &mut Owner) -> Vec<Told> {
    let mut events = Vec::new();
    // A second until the first is cut off, and some for those that are read again then.
    for _ in 0..1000 {
        while let Some(told) = owner.next_within(Duration::from_millis(1)) {
            events.push(told);
        }
        sleep(Duration::from_millis(10)).await;
        let is_below = owner.server.metrics().buffered < BOUND as u64 * 3 / 4;
        if is_below && cut_off(&events) > 0 {
            return events;
        }
    }
    panic!("{:?}", owner.server.metrics());
}

/// Sends the half of a message of a MiB each, in fragments.
fn send_halves(crowd: Vec<Raw>) -> Vec<JoinHandle<Raw>> {
    let mut half = header(0x01, MIB as u64 / 2);
    half.resize(half.len() + MIB / 2, b'x');
    half.extend(header(0x00, MIB as u64 / 2));
    half.resize(half.len() + MIB / 2 - 1000, b'x');
    let half = Arc::new(half);
    let sending = crowd.into_iter().map(|mut raw| {
        let half = half.clone();
        tokio::spawn(async move {
            raw.send(&half).await;
            raw
        })
    });
    sending.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_messages_are_bounded_and_those_that_hold_the_most_go_after_a_second() {
    let _alone = ALONE.lock().await;
    let mut owner = owner(SlowClient::Drop);
    let (mut honest, handle) = owner.client().await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(open(&mut owner).await.0);
    }
    let before = measure();
    let sending = send_halves(crowd);
    wait_for(&owner.server, |it| it.buffered > BOUND as u64 * 5 / 8);
    let events = relieved(&mut owner).await;
    let cut = cut_off(&events);
    println!("{} MiB, {cut} cut off", peak(before));
    // The halves stay on the side of the clients, once.
    assert!(
        peak(before) <= BOUND * 11 / 10 / MIB + 2,
        "{} MiB",
        peak(before)
    );
    assert!((1..CROWD).contains(&cut), "{cut}");
    // Others go on, and in order.
    owner.submit(|it| {
        for number in 0..100 {
            it.to(ECHO, Some(number.to_string().as_bytes()), &[handle]);
        }
    });
    for number in 0..100 {
        let expected = format!(r#"{{"type":"echo","payload":{number}}}"#);
        assert_eq!(text(&mut honest).await, expected);
    }
    for sending in sending {
        sending.abort();
    }
    emptied(&mut owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_many_is_bounded_and_those_that_hold_the_most_go_after_a_second() {
    for slow_client in [SlowClient::Drop, SlowClient::Disconnect] {
        let _alone = ALONE.lock().await;
        let mut owner = owner(slow_client);
        let (mut honest, handle) = owner.client().await;
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(open(&mut owner).await);
        }
        for (number, (_, handle)) in crowd.iter().enumerate() {
            owner.submit(|it| {
                it.join(*handle, number.to_string().as_bytes());
            });
        }
        let payload = format!("\"{}\"", "x".repeat(20_000));
        let payload = Some(payload.as_bytes());
        let before = measure();
        let mut events = Vec::new();
        for round in 0..400_u32 {
            for (number, (_, handle)) in crowd.iter().enumerate() {
                owner.submit(|it| {
                    if round % 2 == 0 {
                        it.to(ECHO, payload, &[*handle]);
                    } else {
                        it.rooms(ECHO, payload, &[number.to_string().as_bytes()]);
                    }
                });
            }
            owner.submit(|it| {
                it.to(ECHO, Some(round.to_string().as_bytes()), &[handle]);
            });
            let expected = format!(r#"{{"type":"echo","payload":{round}}}"#);
            assert_eq!(text(&mut honest).await, expected);
            // Commands that a thread has not obeyed yet have a bound of their own.
            let sent = u64::from(round + 1) * (CROWD as u64 + 1);
            let is_obeyed =
                |it: &Snapshot| slow_client == SlowClient::Disconnect || it.sent == sent;
            wait_for(&owner.server, is_obeyed);
            while let Some(told) = owner.next_within(Duration::ZERO) {
                events.push(told);
            }
            assert_adds_up(&owner.server.metrics());
        }
        let metrics = owner.server.metrics();
        println!(
            "{slow_client:?}: {} MiB, {} events, {metrics:?}",
            peak(before),
            events.len()
        );
        // With one that is gone nothing tells when all commands are obeyed.
        let commands = match slow_client {
            SlowClient::Drop => 2,
            SlowClient::Disconnect => 16,
        };
        assert!(
            peak(before) <= BOUND * 11 / 10 / MIB + commands,
            "{} MiB",
            peak(before)
        );
        assert!(metrics.dropped > 0);
        let ended = |events: &[Told]| events.iter().filter(|it| it.code == CLOSED).count();
        match slow_client {
            // As nothing more is sent, those that are left do not have to go.
            SlowClient::Disconnect => assert!(ended(&events) > 0),
            SlowClient::Drop => {
                if cut_off(&events) == 0 {
                    events.extend(relieved(&mut owner).await);
                }
                assert!(ended(&events) < CROWD);
            }
        }
        drop(crowd);
        emptied(&mut owner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_many_share_is_counted_once_for_each_thread() {
    let _alone = ALONE.lock().await;
    let mut owner = owner(SlowClient::Drop);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(open(&mut owner).await);
    }
    let payload = format!("\"{}\"", "x".repeat(MIB));
    for _ in 0..8 {
        owner.submit(|it| {
            it.broadcast(ECHO, Some(payload.as_bytes()));
        });
    }
    wait_for(&owner.server, |it| it.sent == 8 * CROWD as u64);
    let metrics = owner.server.metrics();
    assert!(metrics.queued > CROWD as u64, "{metrics:?}");
    assert!(
        (2 * MIB as u64..9 * MIB as u64).contains(&metrics.buffered),
        "{metrics:?}"
    );
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(owner.next_within(Duration::ZERO), None);
    drop(crowd);
    emptied(&mut owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_not_read_meanwhile_is_read_on() {
    let _alone = ALONE.lock().await;
    let mut owner = owner(SlowClient::Drop);
    let (mut honest, handle) = open(&mut owner).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(open(&mut owner).await.0);
    }
    let sending = send_halves(crowd);
    wait_for(&owner.server, |it| it.buffered > BOUND as u64 * 5 / 8);
    let message = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(200 * KIB));
    let bytes = frame(0x81, message.as_bytes());
    let honest = tokio::spawn(async move {
        honest.send(&bytes).await;
        honest
    });
    loop {
        let told = owner.next();
        if told.handle == handle {
            assert_eq!(told.code, 0);
            break;
        }
    }
    honest.await.unwrap();
    for sending in sending {
        sending.abort();
    }
}
