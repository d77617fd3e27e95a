//! Sockets that somebody else accepted: served like all others, by an engine that need not listen itself.

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use support::{
    CLOSED, Owner, UPGRADE, config,
    raw::{UPGRADE as REQUEST, frame},
    wait_for,
};
use zocket::{Config, Handed, Listen, Reason, StdStream, StopMode, handshake::caller::Caller};

fn nowhere() -> Config {
    Config {
        listen: Listen::Nowhere,
        ..config()
    }
}

/// Both ends of a TCP connection: the client's, and the one that was accepted.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(support::DEADLINE)).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Hands a socket over with what was read from it; returns the client's end.
fn hand(owner: &Owner, read: &[u8]) -> TcpStream {
    let (client, accepted) = connected();
    let stream = StdStream::Tcp(accepted);
    owner.server.serve(Handed {
        caller: Caller::from(stream.peer().unwrap()),
        stream,
        read: read.to_vec(),
        link: None,
    });
    owner.server.wake();
    client
}

fn status(client: &mut TcpStream) -> String {
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    String::from_utf8(head[9..].to_vec()).unwrap()
}

fn refused(owner: &Owner, reason: Reason) -> u64 {
    owner.server.metrics().refused[reason as usize]
}

#[test]
fn a_handed_socket_is_served_with_what_came_early() {
    let mut owner = Owner::start(nowhere());
    assert_eq!(owner.server.address().port(), 0);
    let message = frame(0x81, br#"{"type":"echo","payload":1}"#);
    let mut client = hand(&owner, &[REQUEST, &message].concat());
    let handle = owner.admit();
    assert_eq!(status(&mut client), "101");
    wait_for(&owner.server, |it| it.received == 1);
    drop(client);
    assert_eq!(owner.next_of(CLOSED).handle, handle);
}

#[test]
fn a_handed_socket_has_its_deadline() {
    let mut owner = Owner::start(Config {
        handshake_timeout: Duration::from_millis(200),
        ..nowhere()
    });
    let mut client = hand(&owner, REQUEST);
    owner.next_of(UPGRADE);
    assert_eq!(status(&mut client), "503");
    assert_eq!(refused(&owner, Reason::Timeout), 1);
}

#[test]
fn handed_sockets_past_the_places_are_refused_at_once() {
    let mut owner = Owner::start(Config {
        max_pending_handshakes: Some(8),
        ..nowhere()
    });
    let waiting: Vec<_> = (0..8).map(|_| hand(&owner, REQUEST)).collect();
    for _ in &waiting {
        owner.next_of(UPGRADE);
    }
    for _ in 0..3 {
        let mut late = hand(&owner, REQUEST);
        assert_eq!(status(&mut late), "503");
    }
    assert_eq!(refused(&owner, Reason::MaxConnections), 3);
    // A place that becomes free is there for the next.
    drop(waiting);
    for _ in 0..8 {
        owner.next_of(CLOSED);
    }
    let mut next = hand(&owner, REQUEST);
    owner.admit();
    assert_eq!(status(&mut next), "101");
}

#[test]
fn handed_sockets_are_dealt_round_the_threads() {
    let mut owner = Owner::start(Config {
        io_threads: 3,
        ..nowhere()
    });
    let clients: Vec<_> = (0..6).map(|_| hand(&owner, REQUEST)).collect();
    let mut shards: Vec<_> = (clients.iter())
        .map(|_| owner.next_of(UPGRADE).handle.0 % 3)
        .collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_server_that_stops_refuses_handed_sockets_to_the_last() {
    let mut owner = Owner::start(Config {
        io_threads: 3,
        ..nowhere()
    });
    let mut open = hand(&owner, REQUEST);
    owner.admit();
    assert_eq!(status(&mut open), "101");
    owner.server.stop(StopMode::Drain(support::DEADLINE));
    for _ in 0..6 {
        assert_eq!(status(&mut hand(&owner, REQUEST)), "503");
    }
    owner.stop(StopMode::Terminate);
    for _ in 0..3 {
        assert_eq!(status(&mut hand(&owner, REQUEST)), "503");
    }
    assert_eq!(refused(&owner, Reason::Stop), 9);
}

#[test]
#[cfg(unix)]
fn the_other_end_of_a_pair_sees_when_the_engine_has_closed_its_own() {
    let mut owner = Owner::start(nowhere());
    let (stream, theirs) = zocket::pair().unwrap();
    let mut theirs = std::os::unix::net::UnixStream::from(theirs);
    theirs.set_nonblocking(false).unwrap();
    let link = Arc::new(());
    let engine = Arc::downgrade(&link);
    owner.server.serve(Handed {
        stream,
        caller: Caller::from(zocket::Peer::Local),
        read: REQUEST.to_vec(),
        link: Some(link),
    });
    // It may lie there until then. A thread that is just awake takes it before.
    owner.server.wake();
    let handle = owner.admit();
    let mut head = [0; 12];
    theirs.read_exact(&mut head).unwrap();
    assert_eq!(&head[9..], b"101");
    assert_eq!(engine.strong_count(), 1);
    theirs.write_all(&frame(0x88, &[0x03, 0xe8])).unwrap();
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    drop(theirs);
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while engine.strong_count() > 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(2));
    }
}
