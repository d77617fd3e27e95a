//! Several owners of one engine.

mod support;

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use support::{CLOSED, ECHO, MEMBERS, Owner, STOPPED, UPGRADE, closed, config, text, wait_for};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message},
};
use zocket::{Asks, Config, StopMode};

/// Long enough for an event that should not come.
const A_WHILE: Duration = Duration::from_millis(100);

fn shared(io_threads: usize) -> Config {
    Config {
        is_shared: true,
        io_threads,
        ..config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_with_the_fewest_gets_the_next_connection() {
    let mut first = Owner::start(shared(2));
    let mut second = first.share();
    let (_a, a) = first.client().await;
    let (mut b, _) = second.client().await;
    let (_c, _) = first.client().await;
    let (_d, _) = second.client().await;
    b.close(None).await.unwrap();
    second.next_of(CLOSED);
    let (_e, _) = second.client().await;
    let counts = first.server.owners();
    let counts: Vec<_> = counts
        .iter()
        .map(|it| (it.connections, it.is_self))
        .collect();
    assert_eq!(counts, [(2, true), (2, false)]);
    first.submit(|it| {
        it.terminate(a);
    });
    assert_eq!(first.next().handle, a);
    assert_eq!(second.next_within(A_WHILE), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_the_members_that_belong_to_other_owners() {
    let mut first = Owner::start(shared(2));
    let mut second = first.share();
    let (mut a, in_room) = first.client().await;
    let (mut b, also) = second.client().await;
    first.submit(|it| {
        it.join(in_room, b"lobby");
    });
    second.submit(|it| {
        it.join(also, b"lobby").rooms(ECHO, Some(b"1"), &[b"lobby"]);
    });
    assert_eq!(text(&mut b).await, r#"{"type":"echo","payload":1}"#);
    first.submit(|it| {
        it.broadcast(ECHO, Some(b"2"));
    });
    let second_text = text(&mut b).await;
    assert_eq!(second_text, r#"{"type":"echo","payload":2}"#);
    let mut seen = text(&mut a).await;
    if seen.contains('1') {
        seen = text(&mut a).await;
    }
    assert_eq!(seen, second_text);
    a.send(Message::text(r#"{"type":"echo","payload":"mine"}"#))
        .await
        .unwrap();
    assert_eq!(first.next().value, json!("mine"));
    assert_eq!(second.next_within(A_WHILE), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_answer_gets_no_new_connections() {
    let first = Owner::start(shared(1));
    let mut second = first.share();
    // The first to look rings; nobody answers for the first owner.
    let mut sockets = Vec::new();
    let before = first.rings();
    let waiting = tokio::spawn(connect_async(first.url()));
    wait_for(&first.server, |_| first.rings() > before);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for _ in 0..3 {
        sockets.push(second.client().await);
    }
    let connections: Vec<_> = first
        .server
        .owners()
        .iter()
        .map(|it| it.connections)
        .collect();
    assert_eq!(connections, [0, 3]);
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_leaves_takes_its_clients_along_and_the_others_stay() {
    for io_threads in [1, 2] {
        let mut first = Owner::start(shared(io_threads));
        let mut second = first.share();
        let (mut a, in_first) = first.client().await;
        let (mut b, in_second) = second.client().await;
        let pending = tokio::spawn(connect_async(first.url()));
        first.next_of(UPGRADE);
        first.server.leave(StopMode::Close);
        assert_eq!(closed(&mut a).await, Some(1012));
        match pending.await.unwrap() {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            other => panic!("not refused: {other:?}"),
        }
        let mut ended = Vec::new();
        let mut stopped = 0;
        while stopped < first.server.shards() {
            let event = first.next();
            match event.code {
                CLOSED => ended.push(event.handle),
                STOPPED => stopped += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!(ended.len(), 2);
        assert!(ended.contains(&in_first));
        let (_c, _) = second.client().await;
        second.submit(|it| {
            it.to(ECHO, Some(b"3"), &[in_second]);
        });
        assert_eq!(text(&mut b).await, r#"{"type":"echo","payload":3}"#);
        // It is gone: what it still asks for does not happen.
        first.submit(|it| {
            it.broadcast(ECHO, Some(b"4"));
        });
        second.server.leave(StopMode::Close);
        assert_eq!(closed(&mut b).await, Some(1001));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_an_owner_that_is_gone_are_closed_and_counted() {
    let mut first = Owner::start(shared(2));
    let mut second = first.share();
    let mut sockets = Vec::new();
    let mut others = Vec::new();
    for _ in 0..4 {
        sockets.push(first.client().await.0);
        others.push(second.client().await);
    }
    let pending = tokio::spawn(connect_async(first.url()));
    first.next_of(UPGRADE);
    first.server.abandon();
    for mut socket in sockets {
        assert_eq!(closed(&mut socket).await, Some(1012));
    }
    assert!(pending.await.unwrap().is_err());
    wait_for(&second.server, |it| it.orphaned == 4);
    drop(first);
    // The numbers of its clients are free, and its own number too.
    let mut third = second.share();
    for _ in 0..4 {
        others.push(third.client().await);
    }
    assert_eq!(second.server.owners().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_the_last_owner_that_is_gone_are_closed_too_and_one_that_is_silent_is_cut_off()
 {
    let mut owner = Owner::start(shared(2));
    let engine = owner.server.engine();
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(owner.client().await.0);
    }
    // It never answers the close frame.
    let (_silent, _) = owner.client().await;
    let address = owner.server.address();
    let gone = std::thread::spawn(move || owner.server.abandon());
    for mut socket in sockets {
        assert_eq!(closed(&mut socket).await, Some(1012));
    }
    gone.join().unwrap();
    assert!(!engine.is_running());
    // The port is free.
    drop(std::net::TcpListener::bind(address).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_whose_end_a_gone_owner_has_not_heard_of_are_counted_once() {
    for leaves in [false, true] {
        let mut first = Owner::start(shared(2));
        let mut second = first.share();
        let mut clients = Vec::new();
        let mut others = Vec::new();
        for _ in 0..4 {
            clients.push(first.client().await);
            others.push(second.client().await);
        }
        let handles: Vec<_> = clients.iter().map(|(_, handle)| *handle).collect();
        for (socket, handle) in &mut clients[..2] {
            socket.close(None).await.unwrap();
            closed(socket).await;
            assert_eq!(first.next_of(CLOSED).handle, *handle);
        }
        let release = |owner: &Owner, handle| {
            owner.submit(|it| {
                it.release(handle);
            });
        };
        release(&first, handles[0]);
        if leaves {
            first.server.leave(StopMode::Close);
            for (socket, _) in &mut clients[2..] {
                assert_eq!(closed(socket).await, Some(1012));
            }
            while second.server.owners().len() > 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // It is late, and has heard of this one.
            release(&first, handles[2]);
        }
        first.server.abandon();
        for (socket, _) in &mut clients[2..] {
            closed(socket).await;
        }
        let expected = if leaves { 2 } else { 3 };
        wait_for(&second.server, |it| it.orphaned == expected);
        drop(first);
        let (_one_more, _) = second.client().await;
        assert_eq!(second.server.metrics().orphaned, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_gone_owner_that_does_not_close_is_cut_off() {
    let mut first = Owner::start(Config {
        close_timeout: Duration::from_millis(100),
        ..shared(1)
    });
    let second = first.share();
    // It never answers the close frame.
    let (socket, _) = first.client().await;
    first.server.abandon();
    wait_for(&second.server, |it| it.orphaned == 1);
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_spreads_the_clients_of_the_owner_that_leaves() {
    let mut first = Owner::start(shared(1));
    let _second = first.share();
    let (mut a, _) = first.client().await;
    first
        .server
        .leave(StopMode::Drain(Duration::from_millis(200)));
    assert_eq!(closed(&mut a).await, Some(1012));
    first.next_of(STOPPED);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_owner_hears_that_the_engine_stops() {
    let mut first = Owner::start(shared(2));
    let mut second = first.share();
    let (mut a, _) = first.client().await;
    let (mut b, _) = second.client().await;
    second.server.stop(StopMode::Close);
    assert_eq!(closed(&mut a).await, Some(1001));
    assert_eq!(closed(&mut b).await, Some(1001));
    for owner in [&mut first, &mut second] {
        owner.next_of(STOPPED);
        owner.next_of(STOPPED);
    }
    assert!(first.server.share(|| ()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_to_the_owner_that_asked_with_the_clients_of_all() {
    let mut first = Owner::start(shared(1));
    let mut second = first.share();
    let (_a, a) = first.client().await;
    let (_b, b) = second.client().await;
    first.submit(|it| {
        it.join(a, b"lobby");
    });
    second.submit(|it| {
        it.join(b, b"lobby").members(7, Asks::Ids, b"lobby");
    });
    // Both may have the same number.
    first.submit(|it| {
        it.members(7, Asks::Size, b"lobby");
    });
    let answer = second.next_of(MEMBERS).value;
    assert_eq!((&answer[0], &answer[1]), (&json!(7), &json!(2)));
    assert_eq!(answer.as_array().unwrap().len(), 4);
    assert_eq!(first.next_of(MEMBERS).value, json!([7, 2]));
    assert_eq!(second.next_within(A_WHILE), None);
}
