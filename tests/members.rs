//! Questions about the members of rooms: every shard answers for its own, and a long answer comes in parts.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{CLOSED, FAULT, MEMBERS, Owner, STOPPED, Told, UPGRADE, config};
use zocket::{Asks, Config, Handle, StopMode, border::codes::limit::MAX_QUESTIONS};

/// Ids of a part, at most.
const PART: usize = 1_024;

/// Connects clients, and puts them into a room; returns their sockets, handles and ids.
async fn crowd(
    owner: &mut Owner,
    count: usize,
    room: &[u8],
) -> Vec<(tokio::net::TcpStream, Handle, String)> {
    use tokio::io::AsyncWriteExt;
    let mut crowd = Vec::new();
    for _ in 0..count {
        let address = owner.server.address();
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let told = owner.next_of(UPGRADE);
        let id = told.value[0].as_str().unwrap().to_owned();
        owner.submit(|it| {
            it.admit(told.handle).join(told.handle, room);
        });
        crowd.push((socket, told.handle, id));
    }
    crowd
}

/// A part of an answer: the question, the shard, how many it has, and ids.
fn part(told: &Told) -> (u64, u32, usize, Vec<String>) {
    assert_eq!(told.code, MEMBERS);
    let Value::Array(values) = &told.value else {
        panic!("no array")
    };
    let number = |at: usize| values[at].as_u64().unwrap();
    let ids = values[2..].iter().map(|it| it.as_str().unwrap().to_owned());
    let size = usize::try_from(number(1)).unwrap();
    (number(0), told.handle.0, size, ids.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shard_tells_of_its_members_and_how_many_they_are() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let red = crowd(&mut owner, 5, b"red").await;
    let _blue = crowd(&mut owner, 2, b"blue").await;
    owner.submit(|it| {
        it.members(7, Asks::Ids, b"red")
            .members(8, Asks::Size, b"red")
            .members(9, Asks::Ids, b"none");
    });
    let mut ids = BTreeSet::new();
    let mut shards = BTreeSet::new();
    let mut sizes = [0; 3];
    for _ in 0..6 {
        let (question, shard, size, part) = part(&owner.next_of(MEMBERS));
        let place = usize::try_from(question - 7).unwrap();
        sizes[place] += size;
        if place == 0 {
            assert_eq!(part.len(), size);
            shards.insert(shard);
            ids.extend(part);
        } else {
            assert!(part.is_empty());
        }
    }
    assert_eq!(sizes, [5, 5, 0]);
    assert_eq!(shards, BTreeSet::from([0, 1]));
    assert_eq!(ids, red.iter().map(|(_, _, id)| id.clone()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_comes_in_parts_of_the_moment_of_its_question() {
    let mut owner = Owner::start(config());
    let clients = crowd(&mut owner, 2 * PART + 1, b"red").await;
    let expected: BTreeSet<_> = clients.iter().map(|(_, _, id)| id.clone()).collect();
    owner.submit(|it| {
        it.members(1, Asks::Ids, b"red");
        // They leave, and others may have their places, before the owner asks for the rest.
        for (_, handle, _) in &clients {
            it.leave(*handle, b"red");
        }
        it.members(2, Asks::Ids, b"red")
            .more_members(1, 1)
            .more_members(3, 0);
    });
    let mut all = BTreeSet::new();
    let (question, shard, size, ids) = part(&owner.next_of(MEMBERS));
    assert_eq!(
        (question, shard, size, ids.len()),
        (1, 0, 2 * PART + 1, PART)
    );
    all.extend(ids);
    // Nothing was asked of another shard, or for a question that is not there.
    assert_eq!(part(&owner.next_of(MEMBERS)), (2, 0, 0, vec![]));
    drop(clients);
    for _ in 0..2 * PART {
        owner.next_of(CLOSED);
    }
    for left in [PART, 1] {
        owner.submit(|it| {
            it.more_members(1, 0);
        });
        let (question, _, size, ids) = part(&owner.next_of(MEMBERS));
        assert_eq!((question, size, ids.len()), (1, 2 * PART + 1, left));
        all.extend(ids);
    }
    assert_eq!(all, expected);
    // It is over.
    owner.submit(|it| {
        it.more_members(1, 0).members(4, Asks::Size, b"red");
    });
    assert_eq!(part(&owner.next_of(MEMBERS)).0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_long_answers_than_an_owner_may_leave_open_are_a_fault() {
    let mut owner = Owner::start(config());
    let _clients = crowd(&mut owner, PART + 1, b"red").await;
    let questions = u32::try_from(MAX_QUESTIONS).unwrap();
    owner.submit(|it| {
        for question in 0..=questions {
            it.members(question, Asks::Ids, b"red");
        }
        it.members(99, Asks::Size, b"red");
    });
    for question in 0..questions {
        let (number, _, size, ids) = part(&owner.next_of(MEMBERS));
        assert_eq!((number, size, ids.len()), (question.into(), PART + 1, PART));
    }
    let fault = owner.next();
    assert_eq!(
        (fault.code, &fault.value["code"]),
        (FAULT, &"INTERNAL".into())
    );
    // It is answered all the same, and the others are.
    assert_eq!(part(&owner.next()), (questions.into(), 0, 0, vec![]));
    assert_eq!(part(&owner.next()).2, PART + 1);
    owner.submit(|it| {
        it.more_members(0, 0).members(questions, Asks::Ids, b"red");
    });
    assert_eq!(part(&owner.next()).3.len(), 1);
    assert_eq!(part(&owner.next()).3.len(), PART);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_are_open_when_the_server_stops_keep_nothing_from_ending() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let _clients = crowd(&mut owner, 2 * PART + 3, b"red").await;
    owner.submit(|it| {
        it.members(1, Asks::Ids, b"red");
    });
    let parts = [owner.next_of(MEMBERS), owner.next_of(MEMBERS)];
    assert!(parts.iter().all(|told| part(told).3.len() == PART));
    let seen = owner.stop(StopMode::Terminate);
    assert_eq!(seen.iter().filter(|it| it.code == STOPPED).count(), 2);
    owner.submit(|it| {
        it.members(2, Asks::Ids, b"red").more_members(1, 0);
    });
}
