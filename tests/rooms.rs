//! Rooms, broadcasts, and that everybody gets everything once and in order.

mod support;

use support::{CLOSED, ECHO, Owner, config, text, wait_for};
use zocket::{Config, Handle};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_several_rooms_of_one_send_gets_it_once() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let (mut a, first) = owner.client().await;
    let (mut b, second) = owner.client().await;
    owner.submit(|it| {
        it.join(first, b"x")
            .join(first, b"y")
            .join(first, b"z")
            .join(second, b"y");
        it.rooms(ECHO, Some(b"1"), &[b"x", b"y", b"z", b"x", b"none"]);
        it.to(ECHO, Some(b"2"), &[first, second]);
    });
    for socket in [&mut a, &mut b] {
        assert_eq!(text(socket).await, r#"{"type":"echo","payload":1}"#);
        assert_eq!(text(socket).await, r#"{"type":"echo","payload":2}"#);
    }
    let metrics = owner.server.metrics();
    assert_eq!((metrics.sent, metrics.rooms), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_of_every_kind_arrive_in_order() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.join(handle, b"room");
        for n in 0..3000_u32 {
            let payload = n.to_string();
            let payload = Some(payload.as_bytes());
            match n % 5 {
                0 => it.to(ECHO, payload, &[handle]),
                1 | 2 => it.rooms(ECHO, payload, &[b"room"]),
                3 => it.rooms(ECHO, payload, &[b"room", b"other"]),
                _ => it.broadcast(ECHO, payload),
            };
        }
    });
    for n in 0..3000 {
        assert_eq!(
            text(&mut socket).await,
            format!(r#"{{"type":"echo","payload":{n}}}"#)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_a_room_or_the_server_gets_nothing_more() {
    let mut owner = Owner::start(config());
    let (mut a, first) = owner.client().await;
    let (b, second) = owner.client().await;
    owner.submit(|it| {
        it.join(first, b"r").join(second, b"r").leave(first, b"r");
        it.rooms(ECHO, Some(b"1"), &[b"r"])
            .to(ECHO, Some(b"2"), &[first]);
    });
    assert_eq!(text(&mut a).await, r#"{"type":"echo","payload":2}"#);
    assert_eq!(owner.server.metrics().rooms, 1);
    drop(b);
    assert_eq!(owner.next_of(CLOSED).handle, second);
    wait_for(&owner.server, |it| it.rooms == 0);
    owner.submit(|it| {
        it.join(second, b"r")
            .rooms(ECHO, None, &[b"r"])
            .broadcast(ECHO, None);
    });
    assert_eq!(text(&mut a).await, r#"{"type":"echo"}"#);
    wait_for(&owner.server, |it| it.sent == it.written + it.dropped);
    assert_eq!(owner.server.metrics().rooms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_used_again_only_after_its_release() {
    let mut owner = Owner::start(config());
    let (a, first) = owner.client().await;
    drop(a);
    owner.next_of(CLOSED);
    let (_b, second) = owner.client().await;
    assert_ne!(first, second);
    owner.submit(|it| {
        // The second is alive: releasing it is a mistake that changes nothing.
        it.release(first).release(second);
    });
    let (_c, third) = owner.client().await;
    assert_eq!(first, third);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_left_out_get_nothing_and_the_others_one_copy() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(owner.client().await);
    }
    let handles: Vec<_> = clients.iter().map(|(_, handle)| *handle).collect();
    let unknown = Handle(1_000_000);
    owner.submit(|it| {
        for &handle in &handles {
            it.join(handle, b"x").join(handle, b"y");
        }
        // A run of messages with the same exceptions, then of others, then with several rooms.
        let except = [handles[0], unknown, handles[0]];
        for payload in [b"1", b"2"] {
            it.rooms_except(ECHO, Some(payload), &[b"x"], &except);
        }
        it.rooms_except(ECHO, Some(b"3"), &[b"x"], &handles[1..3])
            .rooms(ECHO, Some(b"4"), &[b"x"])
            .rooms_except(ECHO, Some(b"5"), &[b"x", b"y", b"none"], &handles[2..])
            .broadcast_except(ECHO, Some(b"6"), &handles[..2])
            .broadcast_except(ECHO, Some(b"7"), &[unknown])
            .rooms_except(ECHO, Some(b"8"), &[b"x"], &handles);
    });
    let expected: [&[u8]; 4] = [
        &[3, 4, 5, 7],
        &[1, 2, 4, 5, 7],
        &[1, 2, 4, 6, 7],
        &[1, 2, 3, 4, 6, 7],
    ];
    for ((socket, _), expected) in clients.iter_mut().zip(expected) {
        for number in expected {
            let frame = format!(r#"{{"type":"echo","payload":{number}}}"#);
            assert_eq!(text(socket).await, frame);
        }
    }
    let sent = expected.iter().map(|it| it.len() as u64).sum::<u64>();
    wait_for(&owner.server, |it| it.written == sent);
    let metrics = owner.server.metrics();
    assert_eq!(
        (metrics.sent, metrics.queued, metrics.dropped),
        (sent, 0, 0)
    );
}
