//! Rooms, broadcasts, and that everybody gets everything once and in order.

mod support;

use support::{CLOSED, ECHO, Owner, config, text, wait_for};
use zocket::Config;

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
