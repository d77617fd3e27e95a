//! Requests that nobody should send, through a real TCP port: each gets a status or a close, and nobody else notices.

mod support;

use std::{fs, path::PathBuf, time::Duration};

use support::{
    CLOSED, DEADLINE, FAULT, Owner, config,
    raw::{Raw, UPGRADE, frame},
    wait_for,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use zocket::{
    AllowedOrigins, Config, Reason, Rules, StopMode,
    handshake::head::{MAX_FIELDS, MAX_HEAD},
};

/// The requests in `fuzz/seeds/handshake`, with the status at the start of each name.
fn corpus() -> Vec<(String, u16, Vec<u8>)> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "seeds", "handshake"]
        .iter()
        .collect();
    let mut corpus: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let status = name[..3].parse().unwrap();
            (name, status, fs::read(path).unwrap())
        })
        .collect();
    corpus.sort();
    assert!(corpus.len() > 80);
    corpus
}

/// The status of an answer, of which there must be no second one.
fn only_status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "{text}");
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some(status.parse().unwrap())
}

/// Whether a client of before is still served.
async fn is_served(owner: &mut Owner, bystander: &mut Raw) {
    bystander.send(&frame(0x81, br#"{"type":"nothing"}"#)).await;
    owner.next_of(support::NOTHING_BARE);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_corpus_gets_the_status_it_deserves_and_only_one_answer() {
    let mut owner = Owner::start(config());
    let (mut bystander, _) = Raw::open(&mut owner).await;
    for (name, status, request) in corpus() {
        if status == 408 {
            continue;
        }
        let mut raw = Raw::connect(&owner).await;
        raw.send(&request).await;
        if status == 101 {
            owner.admit();
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{name}: {head}");
        } else {
            let answer = raw.rest().await;
            assert_eq!(only_status(&answer), Some(status), "{name}");
        }
        is_served(&mut owner, &mut bystander).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_pieces_of_one_byte_is_judged_the_same() {
    let mut owner = Owner::start(config());
    for (name, status, request) in corpus() {
        if status == 408 || request.len() > 400 {
            continue;
        }
        let mut raw = Raw::connect(&owner).await;
        for byte in &request {
            raw.send(&[*byte]).await;
        }
        if status == 101 {
            owner.admit();
            assert!(raw.head().await.starts_with("HTTP/1.1 101 "), "{name}");
        } else {
            assert_eq!(only_status(&raw.rest().await), Some(status), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_silence_and_one_byte_at_a_time_end_with_408() {
    let owner = Owner::start(Config {
        handshake_timeout: Duration::from_millis(300),
        ..config()
    });
    let mut waiting = Vec::new();
    for (name, status, request) in corpus() {
        if status == 408 {
            let mut raw = Raw::connect(&owner).await;
            raw.send(&request).await;
            waiting.push((name, raw));
        }
    }
    assert!(waiting.len() >= 5);
    for (name, mut raw) in waiting {
        assert_eq!(only_status(&raw.rest().await), Some(408), "{name}");
    }

    let mut raw = Raw::connect(&owner).await;
    let (mut reader, mut writer) = raw.stream.split();
    let trickle = async {
        loop {
            // Ends when the server has had enough.
            if writer.write_all(b"x").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = async {
        use tokio::io::AsyncReadExt;
        let mut answer = vec![0; 12];
        reader.read_exact(&mut answer).await.unwrap();
        answer
    };
    tokio::select! {
        () = trickle => panic!("closed without an answer"),
        answer = timeout(DEADLINE, answer) => assert_eq!(answer.unwrap(), b"HTTP/1.1 408"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_past_the_limits_get_431_before_they_end() {
    let mut owner = Owner::start(config());
    let (mut bystander, _) = Raw::open(&mut owner).await;
    let start = UPGRADE.strip_suffix(b"\r\n").unwrap();
    let parameters: Vec<_> = (0..100_000).map(|n| format!("p{n}=")).collect();
    let parameters = parameters.join("&");
    for bytes in [
        [start, b"a: ", &vec![b'x'; MAX_HEAD]].concat(),
        [start, &vec![b'x'; MAX_HEAD]].concat(),
        [start, &b"a: b\r\n".repeat(MAX_FIELDS)].concat(),
        vec![b'G'; MAX_HEAD],
        format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD)).into_bytes(),
        format!("GET /?{parameters} HTTP/1.1\r\n").into_bytes(),
        b"\r\n"
            .iter()
            .chain(&vec![b' '; MAX_HEAD])
            .copied()
            .collect(),
    ] {
        let mut raw = Raw::connect(&owner).await;
        raw.send(&bytes).await;
        let answer = raw.rest().await;
        let start = bytes[..40].escape_ascii();
        assert_eq!(only_status(&answer), Some(431), "{start}");
        is_served(&mut owner, &mut bystander).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_parameters_and_fields_as_fit_all_arrive() {
    let mut owner = Owner::start(config());
    let start = std::str::from_utf8(UPGRADE).unwrap();
    let parameters: Vec<_> = (5..).take(3800).map(|n| format!("{n:x}")).collect();
    let request = start.replacen("/ ", &format!("/?{} ", parameters.join("&")), 1);
    assert!((MAX_HEAD - 2000..MAX_HEAD).contains(&request.len()));
    let mut raw = Raw::connect(&owner).await;
    raw.send(request.as_bytes()).await;
    let told = owner.next();
    assert_eq!(told.value[1].as_object().unwrap().len(), 3805);

    let fields: Vec<_> = (5..MAX_FIELDS).map(|n| format!("f{n}: v\r\n")).collect();
    let fields = fields.concat();
    let request = start.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1);
    let mut raw = Raw::connect(&owner).await;
    raw.send(request.as_bytes()).await;
    let told = owner.next_of(support::UPGRADE);
    assert_eq!(told.value[1].as_object().unwrap().len(), MAX_FIELDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_sending_after_a_refusal_is_cut_off() {
    let owner = Owner::start(config());
    let mut raw = Raw::connect(&owner).await;
    raw.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let junk = [b'x'; 4096];
    let flood = async { while raw.stream.write_all(&junk).await.is_ok() {} };
    timeout(DEADLINE, flood).await.expect("an end");
    assert_eq!(
        owner.server.metrics().refused[Reason::NotUpgrade as usize],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_body_with_its_refused_request_gets_the_answer_and_no_reset() {
    let mut owner = Owner::start(Config {
        max_connections: Some(1),
        rules: Rules {
            path: Some("/ws".to_owned()),
            ..Rules::default()
        },
        ..config()
    });
    let on_path = [b"GET /ws", UPGRADE.strip_prefix(b"GET /").unwrap()].concat();
    let (_bystander, ..) = Raw::open_with(&mut owner, &on_path).await;
    // More than the system keeps for a socket that nobody reads.
    let body = vec![b'x'; 16 * 1024 * 1024];
    for (status, request) in [(404, UPGRADE), (503, &on_path[..])] {
        let mut plain = Raw::connect(&owner).await;
        plain.send(request).await;
        let answer = plain.rest().await;
        assert_eq!(only_status(&answer), Some(status));
        // The engine reads on for two seconds, which are not long for a machine that is busy.
        let until_one_is_read = async {
            loop {
                let mut raw = Raw::connect(&owner).await;
                raw.send(request).await;
                let mut same = Vec::new();
                let is_read = raw.stream.write_all(&body).await.is_ok();
                let is_whole = raw.stream.read_to_end(&mut same).await.is_ok();
                if is_read && is_whole {
                    return same;
                }
            }
        };
        let same = timeout(DEADLINE, until_one_is_read).await;
        assert_eq!(same.expect("no reset"), answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_give_their_places_back() {
    // Never so many at once that one is dropped for another.
    const PLACES: usize = 32;
    const AT_ONCE: usize = 8;
    for (status, request) in [
        (404, UPGRADE.to_vec()),
        (426, b"GET /ws HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        (431, [&b"GET /ws?"[..], &[b'x'; MAX_HEAD]].concat()),
    ] {
        let mut owner = Owner::start(Config {
            max_pending_handshakes: Some(PLACES),
            rules: Rules {
                path: Some("/ws".to_owned()),
                ..Rules::default()
            },
            ..config()
        });
        for _ in 0..3 * PLACES / AT_ONCE {
            let mut all = Vec::new();
            for _ in 0..AT_ONCE {
                let mut raw = Raw::connect(&owner).await;
                raw.send(&request).await;
                all.push(raw);
            }
            for mut raw in all {
                assert_eq!(only_status(&raw.rest().await), Some(status));
            }
        }
        let on_path = [b"GET /ws", UPGRADE.strip_prefix(b"GET /").unwrap()].concat();
        let mut good = Vec::new();
        for _ in 0..=PLACES {
            good.push(Raw::open_with(&mut owner, &on_path).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_half_requests_does_not_disturb_who_is_connected() {
    let mut owner = Owner::start(Config {
        handshake_timeout: Duration::from_millis(500),
        ..config()
    });
    let (mut bystander, _) = Raw::open(&mut owner).await;
    let mut crowd = Vec::new();
    for n in 0..300 {
        let mut raw = Raw::connect(&owner).await;
        raw.send(&UPGRADE[..n % UPGRADE.len()]).await;
        crowd.push(raw);
        if n % 50 == 0 {
            is_served(&mut owner, &mut bystander).await;
        }
    }
    for raw in &mut crowd {
        assert_eq!(only_status(&raw.rest().await), Some(408));
    }
    is_served(&mut owner, &mut bystander).await;
    assert_eq!(
        owner.server.metrics().refused[Reason::Timeout as usize],
        300
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_requests_are_limited_by_not_accepting_more() {
    let mut owner = Owner::start(Config {
        max_pending_handshakes: Some(2),
        ..config()
    });
    let mut undecided = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::connect(&owner).await;
        raw.send(UPGRADE).await;
        undecided.push(raw);
    }
    let mut handles = vec![owner.next().handle, owner.next().handle];
    while let Some(event) = owner.next_within(Duration::from_millis(100)) {
        handles.push(event.handle);
    }
    // One more is accepted while there is a request that might have to make room for it.
    assert!((2..=3).contains(&handles.len()), "{handles:?}");
    // One that leaves makes room, and so does one that is admitted.
    drop(undecided.remove(0));
    for &handle in &handles[1..] {
        owner.submit(|it| {
            it.admit(handle);
        });
    }
    for _ in handles.len()..5 {
        owner.admit();
    }
    for raw in &mut undecided {
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    }
}

/// Addresses of this machine besides the usual one.
#[cfg(target_os = "linux")]
const FLOODER: [u8; 4] = [127, 0, 0, 2];
#[cfg(target_os = "linux")]
const MODEST: [u8; 4] = [127, 0, 0, 3];

/// Whether the server has closed or reset the connection without a word.
#[cfg(target_os = "linux")]
async fn is_dropped(raw: &mut Raw) -> bool {
    let mut byte = [0];
    let read = timeout(Duration::from_millis(20), raw.stream.read(&mut byte)).await;
    read.is_ok_and(|read| !read.is_ok_and(|read| read > 0))
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn half_requests_of_one_address_make_room_for_others_oldest_first() {
    let mut owner = Owner::start(Config {
        max_pending_handshakes: Some(16),
        handshake_timeout: DEADLINE,
        io_threads: 2,
        ..config()
    });
    let mut modest = Raw::connect_from(MODEST, &owner).await;
    modest.send(&UPGRADE[..20]).await;
    let mut flood = Vec::new();
    for n in 0..15 {
        let mut raw = Raw::connect_from(FLOODER, &owner).await;
        raw.send(&UPGRADE[..n]).await;
        flood.push(raw);
    }
    let mut served = Vec::new();
    for _ in 0..40 {
        let (raw, _) = Raw::open(&mut owner).await;
        served.push(raw);
    }
    // Each of these stays incomplete, so that each needs a place of the flood.
    let mut more = Vec::new();
    for n in 1..=8_u64 {
        let mut raw = Raw::connect(&owner).await;
        raw.send(&UPGRADE[..30]).await;
        let (other, _) = Raw::open(&mut owner).await;
        more.push((raw, other));
        wait_for(&owner.server, |it| {
            it.refused[Reason::Timeout as usize] >= n - 1
        });
    }
    let dropped = owner.server.metrics().refused[Reason::Timeout as usize];
    assert!((7..=9).contains(&dropped), "{dropped}");
    let (gone, left) = flood.split_at_mut(usize::try_from(dropped).unwrap());
    for raw in gone {
        assert_eq!(raw.rest().await, b"");
    }
    for raw in left {
        assert!(!is_dropped(raw).await);
    }
    assert!(!is_dropped(&mut modest).await);
    // Who still had something to say is heard.
    modest.send(&UPGRADE[20..]).await;
    owner.admit();
    assert!(modest.head().await.starts_with("HTTP/1.1 101 "));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_half_requests_from_one_address_locks_nobody_out() {
    let mut owner = Owner::start(Config {
        max_pending_handshakes: Some(64),
        handshake_timeout: DEADLINE * 2,
        io_threads: 2,
        ..config()
    });
    let (mut bystander, _) = Raw::open(&mut owner).await;
    let mut flood = Vec::new();
    for n in 0..1500 {
        let mut raw = Raw::connect_from(FLOODER, &owner).await;
        raw.send(&UPGRADE[..n % UPGRADE.len()]).await;
        flood.push(raw);
        if n % 100 == 99 {
            // From its address and from another.
            for from in [FLOODER, [127, 0, 0, 1]] {
                let mut raw = Raw::connect_from(from, &owner).await;
                raw.send(UPGRADE).await;
                owner.admit();
                assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
            }
            owner.next_of(CLOSED);
        }
    }
    is_served(&mut owner, &mut bystander).await;
    wait_for(&owner.server, |it| {
        it.refused[Reason::Timeout as usize] >= 1500 - 65
    });
    drop(flood);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_do_not_leave_after_a_refusal_make_room_too() {
    let mut owner = Owner::start(Config {
        max_connections: Some(1),
        io_threads: 2,
        ..config()
    });
    let (mut bystander, handle) = Raw::open(&mut owner).await;
    let mut refused = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::connect_from(FLOODER, &owner).await;
        raw.send(b"GET / HTTP/1.1\r\n\r\n").await;
        refused.push(raw);
    }
    is_served(&mut owner, &mut bystander).await;
    drop(bystander);
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    Raw::open(&mut owner).await;
    drop(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_counts_until_its_socket_is_closed() {
    let mut owner = Owner::start(Config {
        max_connections: Some(1),
        max_connections_per_address: Some(1),
        ..config()
    });
    let (mut raw, handle) = Raw::open(&mut owner).await;
    raw.send(&frame(0x88, &[])).await;
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    // It has ended, and its close frame is answered; but the client keeps the socket.
    let mut other = Raw::connect(&owner).await;
    other.send(UPGRADE).await;
    assert_eq!(only_status(&other.rest().await), Some(429));
    assert_eq!(raw.closed().await.0, Some(1005));
    drop(raw);
    loop {
        let mut again = Raw::connect(&owner).await;
        again.send(UPGRADE).await;
        if let Some(event) = owner.next_within(Duration::from_millis(50)) {
            assert_eq!(event.code, support::UPGRADE);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_owner_refused_is_a_pending_socket_until_it_is_closed() {
    let mut owner = Owner::start(Config {
        max_connections: Some(1),
        max_pending_handshakes: Some(1),
        ..config()
    });
    let mut first = Raw::connect(&owner).await;
    first.send(UPGRADE).await;
    let handle = owner.next_of(support::UPGRADE).handle;
    owner.submit(|it| {
        it.refuse(handle, 403, Reason::Connect as u32, None, b"");
    });
    assert!(first.head().await.starts_with("HTTP/1.1 403 "));
    // It keeps its socket, but no place among the connections.
    Raw::open(&mut owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_origins_do_not_pile_up_before_an_owner_that_does_not_look() {
    const COUNT: u64 = 400;
    let limit = 4096;
    let mut owner = Owner::start(Config {
        max_inbox: limit,
        rules: Rules {
            path: None,
            origins: AllowedOrigins::List(vec![]),
            ..Rules::default()
        },
        ..config()
    });
    let request = String::from_utf8(UPGRADE.to_vec()).unwrap();
    let request = request.replacen("host", "origin: http://evil.example\r\nhost", 1);
    for _ in 0..COUNT {
        let mut raw = Raw::connect(&owner).await;
        raw.send(request.as_bytes()).await;
        assert_eq!(only_status(&raw.rest().await), Some(403));
    }
    wait_for(&owner.server, |it| {
        it.refused[Reason::Origin as usize] == COUNT
    });
    let mut told = 0;
    let mut bytes = 0;
    while let Some(event) = owner.next_within(Duration::from_millis(50)) {
        assert_eq!(event.code, FAULT);
        told += 1;
        bytes += event.value.to_string().len();
    }
    assert!(told > 0);
    assert!(
        bytes <= limit + 200,
        "{told} faults of {bytes} bytes waited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_waited_before_a_full_inbox_is_unknown_to_the_owner_when_the_server_stops()
{
    let mut owner = Owner::start(Config {
        max_inbox: 1,
        ..config()
    });
    let mut known = Raw::connect(&owner).await;
    known.send(UPGRADE).await;
    let handle = owner.next().handle;
    let (mut told, mut unknown) = (Raw::connect(&owner).await, Raw::connect(&owner).await);
    for raw in [&mut told, &mut unknown] {
        raw.send(UPGRADE).await;
    }
    // One of the two fills the inbox; the other is there when a request after it has been answered.
    let mut last = Raw::connect(&owner).await;
    last.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(only_status(&last.rest().await), Some(426));
    let events = owner.stop(StopMode::Terminate);
    let of = |code| -> Vec<_> {
        let events = events.iter().filter(|event| event.code == code);
        events.map(|event| event.handle).collect()
    };
    let (upgrades, ends) = (of(support::UPGRADE), of(CLOSED));
    assert_eq!(upgrades.len(), 1, "{events:?}");
    assert_eq!(ends.len(), 2, "{events:?}");
    assert!(ends.contains(&handle) && ends.contains(&upgrades[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_admitted_in_the_moment_of_a_stop_is_not_refused_as_well() {
    for _ in 0..20 {
        let mut owner = Owner::start(config());
        let mut raw = Raw::connect(&owner).await;
        raw.send(UPGRADE).await;
        let handle = owner.next().handle;
        owner.submit(|it| {
            it.admit(handle);
        });
        owner.stop(StopMode::Terminate);
        only_status(&raw.rest().await);
    }
}
