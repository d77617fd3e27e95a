//! Routes that say for themselves what becomes of their messages for a client that does not read.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    CLOSED, CURSOR, ECHO, FAULT, Owner, STATE, Socket, TICK, VITAL, closed, config, text, wait_for,
};
use zocket::{CommandWriter, Config, Handle, SlowClient, Snapshot, StopMode};

const CHUNK: usize = 64 * 1024;
/// So many chunks are more than the system's own buffers hold.
const MANY: u32 = 400;
const ROOM: &[u8] = b"room";

/// The payload of message `number`.
fn chunk(number: u32) -> String {
    format!("[{number},\"{}\"]", "x".repeat(CHUNK))
}

/// The route's name and the number of a message.
fn parse(text: &str) -> (String, u32) {
    let message: Value = serde_json::from_str(text).unwrap();
    let number = message["payload"][0].as_u64().unwrap();
    (
        message["type"].as_str().unwrap().to_owned(),
        u32::try_from(number).unwrap(),
    )
}

/// Sends in one of the three ways.
fn send(it: &mut CommandWriter, route: u32, number: u32, handle: Handle) {
    let payload = chunk(number);
    let payload = Some(payload.as_bytes());
    match number % 4 {
        0 => it.to(route, payload, &[handle]),
        1 => it.to(route, payload, &[handle, handle]),
        2 => it.rooms(route, payload, &[ROOM, ROOM]),
        _ if number.is_multiple_of(3) => it.rooms(route, payload, &[ROOM]),
        _ => it.broadcast(route, payload),
    };
}

async fn client_in_room(owner: &mut Owner) -> (Socket, Handle) {
    let (socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.join(handle, ROOM);
    });
    (socket, handle)
}

/// The counters once so many messages have been sent; they add up.
fn sent(owner: &Owner, count: u32) -> Snapshot {
    wait_for(&owner.server, |it| it.sent == u64::from(count));
    let metrics = owner.server.metrics();
    assert_eq!(
        metrics.sent,
        metrics.written + metrics.queued + metrics.dropped
    );
    metrics
}

/// Reads until the message with this number has come.
async fn read_to(socket: &mut Socket, last: u32) -> Vec<(String, u32)> {
    let mut read = Vec::new();
    while read.last().is_none_or(|(_, number)| *number != last) {
        read.push(parse(&text(socket).await));
    }
    read
}

fn assert_in_order(read: &[(String, u32)]) {
    assert!(read.is_sorted_by(|(_, one), (_, other)| one < other));
}

/// Sends `MANY` messages to a client that does not read, in batches of so many; then it reads.
async fn only_the_newest_waits(in_one_batch: u32, max_backpressure: usize) {
    let mut owner = Owner::start(Config {
        max_backpressure,
        ..config()
    });
    let (mut socket, handle) = client_in_room(&mut owner).await;
    for first in (0..MANY).step_by(in_one_batch as usize) {
        owner.submit(|it| {
            for number in first..MANY.min(first + in_one_batch) {
                send(it, STATE, number, handle);
            }
        });
    }
    sent(&owner, MANY);
    // Another may have begun to leave.
    wait_for(&owner.server, |it| it.queued <= 2 && it.dropped > 0);

    let read = read_to(&mut socket, MANY - 1).await;
    assert_in_order(&read);
    wait_for(&owner.server, |it| it.queued == 0);
    let metrics = sent(&owner, MANY);
    assert_eq!(metrics.written, read.len() as u64);
    owner.submit(|it| send(it, STATE, MANY, handle));
    assert_eq!(parse(&text(&mut socket).await).1, MANY);
    assert!(
        owner
            .stop(StopMode::Terminate)
            .iter()
            .all(|it| it.code != FAULT)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_route_that_keeps_its_latest_only_the_newest_waits_for_a_client_that_does_not_read() {
    only_the_newest_waits(1, 256 * 1024).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_batch_sends_is_superseded_too() {
    only_the_newest_waits(MANY, 256 * 1024).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_limit_it_is_superseded_as_well() {
    only_the_newest_waits(MANY, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_waits_past_the_limit_too() {
    only_the_newest_waits(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_other_routes_all_arrive_and_everything_keeps_its_order() {
    let mut owner = Owner::start(Config {
        max_backpressure: usize::MAX,
        ..config()
    });
    let (mut socket, handle) = client_in_room(&mut owner).await;
    let routes = [ECHO, STATE, CURSOR, STATE, TICK, CURSOR, VITAL];
    for first in (0..MANY).step_by(8) {
        owner.submit(|it| {
            for number in first..first + 8 {
                send(it, routes[number as usize % routes.len()], number, handle);
            }
        });
    }
    sent(&owner, MANY);
    owner.submit(|it| {
        let payload = format!("[{MANY}]");
        it.to(ECHO, Some(payload.as_bytes()), &[handle]);
    });
    let read = read_to(&mut socket, MANY).await;
    assert_in_order(&read);
    for (at, route) in routes.iter().enumerate() {
        let numbers = (0..MANY).filter(|number| *number as usize % routes.len() == at);
        let mut arrived = numbers
            .clone()
            .filter(|number| read.iter().any(|it| it.1 == *number));
        if matches!(*route, STATE | CURSOR) {
            assert!(arrived.count() < numbers.count());
        } else {
            assert!(numbers.eq(&mut arrived), "route {route}");
        }
    }
    let last = |route: u32| (0..MANY).rfind(|it| routes[*it as usize % routes.len()] == route);
    for (name, route) in [("state", STATE), ("cursor", CURSOR)] {
        assert!(read.contains(&(name.to_owned(), last(route).unwrap())));
    }
    let metrics = sent(&owner, MANY + 1);
    assert_eq!(metrics.written, read.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_room_the_quick_get_every_message_and_the_slow_the_newest() {
    let mut owner = Owner::start(Config {
        max_backpressure: 256 * 1024,
        ..config()
    });
    let (mut slow, _) = client_in_room(&mut owner).await;
    let (mut quick, _) = client_in_room(&mut owner).await;
    for number in 0..MANY {
        let payload = chunk(number);
        owner.submit(|it| {
            it.rooms(STATE, Some(payload.as_bytes()), &[ROOM]);
        });
        assert_eq!(parse(&text(&mut quick).await), ("state".to_owned(), number));
    }
    let read = read_to(&mut slow, MANY - 1).await;
    assert!(read.len() < MANY as usize);
    assert_in_order(&read);
    wait_for(&owner.server, |it| it.queued == 0);
    assert_eq!(
        sent(&owner, 2 * MANY).written,
        u64::from(MANY) + read.len() as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_the_socket_takes_everything_nothing_is_superseded() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = client_in_room(&mut owner).await;
    owner.submit(|it| {
        for number in 0..100 {
            let payload = format!("[{number}]");
            it.to(STATE, Some(payload.as_bytes()), &[handle]).rooms(
                CURSOR,
                Some(payload.as_bytes()),
                &[ROOM],
            );
        }
    });
    for number in 0..100 {
        for route in ["state", "cursor"] {
            let read = parse(&text(&mut socket).await);
            assert_eq!(read, (route.to_owned(), number));
        }
    }
    assert_eq!(sent(&owner, 200).dropped, 0);
}

/// A client that does not read, for whom more than the limit waits, beside one that does.
struct Overfull {
    owner: Owner,
    slow: Socket,
    handle: Handle,
    quick: Socket,
    quick_handle: Handle,
}

impl Overfull {
    async fn make(slow_client: SlowClient) -> Self {
        let mut owner = Owner::start(Config {
            max_backpressure: 256 * 1024,
            slow_client,
            ..config()
        });
        let (slow, handle) = client_in_room(&mut owner).await;
        let (quick, quick_handle) = owner.client().await;
        let mut this = Self {
            owner,
            slow,
            handle,
            quick,
            quick_handle,
        };
        let chunk = chunk(0);
        let (mut dropped, mut refused) = (0, 0);
        // The system may take some more for a while.
        for _ in 0..10_000 {
            this.owner.submit(|it| {
                it.to(TICK, Some(chunk.as_bytes()), &[handle]);
            });
            this.settle().await;
            let now = this.owner.server.metrics().dropped;
            refused = if now > dropped { refused + 1 } else { 0 };
            dropped = now;
            if refused == 50 {
                return this;
            }
        }
        panic!("nothing is dropped");
    }

    /// Waits until everything that has been handed over is done.
    async fn settle(&mut self) {
        let quick = self.quick_handle;
        self.owner.submit(|it| {
            it.to(ECHO, Some(b"[\"settled\"]"), &[quick]);
        });
        while !text(&mut self.quick).await.contains("settled") {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_a_route_with_drop_loses_messages_and_no_client() {
    let mut overfull = Overfull::make(SlowClient::Disconnect).await;
    let handle = overfull.handle;
    overfull.owner.submit(|it| {
        it.to(STATE, Some(b"[1000]"), &[handle])
            .to(TICK, Some(b"[1001]"), &[handle])
            .rooms(TICK, Some(b"[1002]"), &[ROOM])
            .to(CURSOR, Some(b"[1003]"), &[handle]);
    });
    overfull.settle().await;
    let read = read_to(&mut overfull.slow, 1003).await;
    let late: Vec<_> = read.iter().filter(|it| it.1 >= 1000).collect();
    assert_eq!(
        late,
        [&("state".to_owned(), 1000), &("cursor".to_owned(), 1003)]
    );
    let events = overfull.owner.stop(StopMode::Terminate);
    assert!(events.iter().all(|it| it.code != FAULT));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_a_route_with_disconnect_cuts_off_though_the_server_drops() {
    let ways: [fn(&mut CommandWriter, Handle); 3] = [
        |it, handle| {
            it.to(VITAL, Some(b"[1]"), &[handle]);
        },
        |it, _| {
            it.rooms(VITAL, Some(b"[1]"), &[ROOM]);
        },
        // Other policies before and behind it in one go.
        |it, _| {
            it.broadcast(ECHO, Some(b"[1]"))
                .broadcast(VITAL, Some(b"[2]"))
                .broadcast(TICK, Some(b"[3]"));
        },
    ];
    for way in ways {
        let mut overfull = Overfull::make(SlowClient::Drop).await;
        let handle = overfull.handle;
        overfull.owner.submit(|it| {
            it.to(ECHO, Some(b"[0]"), &[handle])
                .broadcast(ECHO, Some(b"[0]"));
        });
        overfull.settle().await;
        assert_eq!(overfull.owner.next_within(Duration::ZERO), None);
        overfull.owner.submit(|it| way(it, handle));
        let fault = overfull.owner.next();
        assert_eq!(fault.value["code"], json!("SLOW_CLIENT"));
        let ended = overfull.owner.next();
        assert_eq!((ended.code, ended.handle), (CLOSED, handle));
        wait_for(&overfull.owner.server, |it| it.queued == 0);
        let metrics = overfull.owner.server.metrics();
        assert_eq!(metrics.sent, metrics.written + metrics.dropped);
        overfull.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_server_stops_is_the_newest_and_leaves_before_the_close_frame() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = client_in_room(&mut owner).await;
    for number in 0..MANY {
        owner.submit(|it| send(it, STATE, number, handle));
    }
    sent(&owner, MANY);
    owner.server.stop(StopMode::Close);
    read_to(&mut socket, MANY - 1).await;
    assert_eq!(closed(&mut socket).await, Some(1001));
}
