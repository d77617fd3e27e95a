//! TLS of the engine's own, through real sockets.
#![cfg(feature = "tls")]

mod support;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use support::{
    DEADLINE, ECHO, Owner, raw,
    tls::{Authority, Client, SecureSocket, options, secure, secure_with, server},
    wait_for,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        HandshakeKind,
        version::{TLS12, TLS13},
    },
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use zocket::{ClientCertificates, Echo, MinVersion, Reason, StopMode, Tls, border::codes::upgrade};

/// Longer than a second, as the machine may be busy.
const QUICKLY: Duration = Duration::from_millis(1900);

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_and_go_with_both_versions() {
    for version in [&TLS12, &TLS13] {
        let (mut owner, mut client) = server(|_| ());
        client.versions = vec![version];
        let (mut socket, handle) = client.connect(&mut owner).await;
        socket
            .send(Message::text(r#"{"type":"echo","payload":1}"#))
            .await
            .unwrap();
        assert_eq!(owner.next().value, 1);
        owner.submit(|it| {
            it.to(ECHO, Some(b"2"), &[handle])
                .broadcast(ECHO, Some(b"3"));
        });
        for payload in [2, 3] {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            assert_eq!(text, format!(r#"{{"type":"echo","payload":{payload}}}"#));
        }
        wait_for(&owner.server, |it| (it.sent, it.written) == (2, 2));
        socket.close(None).await.unwrap();
        assert_eq!(owner.next().code, support::CLOSED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_come_back_whole() {
    let (owner, client) = echo(|config| config.max_payload = 32 << 20);
    let mut socket = open(&client, &owner).await;
    for length in [1, 16_384, 16_385, 100_000, 16 << 20] {
        let message: String = (0..length)
            .map(|i| char::from(b'a' + u8::try_from(i % 23).unwrap()))
            .collect();
        socket.send(Message::text(message.clone())).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(answer == message.as_str(), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_send_byte_by_byte() {
    let (owner, client) = echo(|_| ());
    let stream = TcpStream::connect(owner.server.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let connector = TlsConnector::from(Arc::new(client.config()));
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, Bytewise(stream)).await.unwrap();
    let (mut socket, _) = client_async("wss://localhost/", stream).await.unwrap();
    for message in ["", "a", &"b".repeat(2000)] {
        socket.send(Message::text(message)).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap(), message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_gets_a_plain_answer_that_names_the_scheme() {
    let (owner, _) = server(|_| ());
    let mut stream = TcpStream::connect(owner.server.address()).await.unwrap();
    stream.write_all(raw::UPGRADE).await.unwrap();
    let mut answer = String::new();
    let read = timeout(QUICKLY, stream.read_to_string(&mut answer));
    read.await.expect("the end").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("wss://"), "{answer}");
    assert_eq!(refused(&owner, Reason::Malformed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_ends_quickly_and_is_counted() {
    let (owner, client) = server(|_| ());
    let whole: &[&[u8]] = &[
        b"\0\0\0\0",
        b"\x80\x2e\x01\x03\x01",
        b"get / HTTP/1.1\r\n\r\n",
        // A record that is too long, one of no known kind inside, and one of another version.
        &[22, 3, 1, 0xff, 0xff, 1],
        &[22, 3, 1, 0, 4, 99, 0, 0, 0],
        &[22, 9, 9, 0, 4, 1, 0, 0, 0],
    ];
    for (index, bytes) in (1..).zip(whole) {
        let mut stream = TcpStream::connect(owner.server.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(QUICKLY, stream.read_to_end(&mut answer)).await;
        end.expect("the end").unwrap();
        // An alert, if anything.
        assert!(
            answer.first().is_none_or(|first| *first == 21),
            "{answer:?}"
        );
        assert_eq!(refused(&owner, Reason::Malformed), index, "{bytes:?}");
    }
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_a_plain_port_ends_quickly_and_is_counted() {
    let owner = Owner::start(support::config());
    let client = Authority::new().client();
    let secured = timeout(QUICKLY, client.secure(&owner, "localhost"));
    assert!(secured.await.expect("the end").is_err());
    assert_eq!(refused(&owner, Reason::Malformed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_out_of_time() {
    let (owner, _) = server(|config| config.handshake_timeout = Duration::from_millis(300));
    let hello: &[&[u8]] = &[b"", &[22], &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]];
    let mut streams = Vec::new();
    for bytes in hello {
        let mut stream = TcpStream::connect(owner.server.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        streams.push(stream);
    }
    for mut stream in streams {
        let mut answer = Vec::new();
        let end = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        end.expect("the end").unwrap();
        assert_eq!(answer, b"");
    }
    assert_eq!(refused(&owner, Reason::Timeout), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_handshake_without_a_request_gets_408() {
    let (owner, client) = server(|config| config.handshake_timeout = Duration::from_millis(300));
    let mut stream = client.secure(&owner, "localhost").await.unwrap();
    let mut answer = String::new();
    let read = timeout(DEADLINE, stream.read_to_string(&mut answer));
    read.await.expect("the end").expect("that says so");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(refused(&owner, Reason::Timeout), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_without_end_is_cut_short() {
    let (owner, _) = server(|_| ());
    let mut stream = TcpStream::connect(owner.server.address()).await.unwrap();
    // One message of 60,000 bytes in records of 4,096.
    let mut record = vec![22, 3, 1, 16, 0, 1, 0, 0xea, 0x60];
    record.resize(5 + 4096, 0);
    // More of it is not needed.
    for _ in 0..9 {
        if stream.write_all(&record).await.is_err() {
            break;
        }
        record[5..9].fill(0);
    }
    wait_for(&owner.server, |it| {
        it.refused[Reason::Malformed as usize] == 1
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_that_of_the_named_server() {
    let authority = Authority::new();
    let mut options = options(authority.identity("other.test"));
    for name in ["One.test", "*.two.test"] {
        let identity = authority.identity(name);
        options.sni.push((name.to_owned(), identity));
    }
    let owner = Owner::start(secure(&options));
    let client = authority.client();
    for name in [
        "one.test",
        "ONE.test",
        "a.two.test",
        "B.two.test",
        "other.test",
    ] {
        client.secure(&owner, name).await.expect(name);
    }
    // Those get the certificate of `other.test`.
    for name in ["two.test", "a.b.two.test", "three.test", "127.0.0.1"] {
        let error = client.secure(&owner, name).await.expect_err(name);
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_older_than_the_oldest_are_refused() {
    let authority = Authority::new();
    let mut options = options(authority.identity("localhost"));
    options.min_version = MinVersion::Tls13;
    let owner = Owner::start(secure(&options));
    let mut client = authority.client();
    client.versions = vec![&TLS12];
    let error = client.secure(&owner, "localhost").await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    wait_for(&owner.server, |it| {
        it.refused[Reason::Malformed as usize] == 1
    });
    client.versions = vec![&TLS12, &TLS13];
    client.secure(&owner, "localhost").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_until_the_material_changes_and_connections_stay() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let first = options(authority.identity("localhost"));
        let owner = Owner::start_with(secure(&first), Echo);
        let mut client = authority.client();
        client.versions = vec![version];
        let config = Arc::new(client.config());
        let handshake = async || {
            let stream = secure_with(config.clone(), &owner, "localhost")
                .await
                .unwrap();
            let (mut socket, _) = client_async("wss://localhost/", stream).await.unwrap();
            socket.send(Message::text("x")).await.unwrap();
            socket.next().await.unwrap().unwrap();
            let kind = socket.get_ref().get_ref().1.handshake_kind().unwrap();
            (kind, socket)
        };
        let (kind, mut open) = handshake().await;
        assert_eq!(kind, HandshakeKind::Full);
        assert_eq!(handshake().await.0, HandshakeKind::Resumed);
        assert_eq!(handshake().await.0, HandshakeKind::Resumed);
        // The same certificate: only that it was set anew counts.
        assert!(owner.server.set_tls(Tls::new(&first).unwrap()));
        assert_eq!(handshake().await.0, HandshakeKind::Full);
        assert_eq!(handshake().await.0, HandshakeKind::Resumed);
        open.send(Message::text("still here")).await.unwrap();
        let answer = open.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap(), "still here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_during_a_thousand_handshakes() {
    const HANDSHAKES: usize = 1000;
    let authority = Authority::new();
    let material: Vec<_> = (0..4)
        .map(|_| Tls::new(&options(authority.identity("localhost"))).unwrap())
        .collect();
    let config = zocket::Config {
        tls: Some(material[0].clone()),
        io_threads: 2,
        ..support::config()
    };
    let owner = Arc::new(Owner::start_with(config, Echo));
    let client = authority.client();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (owner, client) = (owner.clone(), client.clone());
        tasks.spawn(async move {
            for _ in 0..HANDSHAKES / 8 {
                let mut socket = open(&client, &owner).await;
                socket.send(Message::text("x")).await.unwrap();
                socket.next().await.unwrap().unwrap();
            }
        });
    }
    let mut replaced = 0;
    while !tasks.is_empty() {
        if let Ok(task) = timeout(Duration::from_millis(5), tasks.join_next()).await {
            task.unwrap().unwrap();
        }
        assert!(owner.server.set_tls(material[replaced % 4].clone()));
        replaced += 1;
    }
    assert!(replaced > 10, "{replaced}");
    let metrics = owner.server.metrics();
    assert_eq!(metrics.accepted, HANDSHAKES as u64);
    assert_eq!(metrics.refused.iter().sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_there_is_nothing_to_replace() {
    let authority = Authority::new();
    let owner = Owner::start(support::config());
    let material = Tls::new(&options(authority.identity("localhost"))).unwrap();
    assert!(!owner.server.set_tls(material));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_with_a_certificate_are_let_in_where_that_is_required() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let mut options = options(servers.identity("localhost"));
    options.ca = vec![clients.pem().into_bytes()];
    options.clients = ClientCertificates::Required;
    let owner = Owner::start_with(secure(&options), Echo);
    let mut client = servers.client();
    for version in [&TLS12, &TLS13] {
        client.versions = vec![version];
        for identity in [None, Some(servers.identity("stranger"))] {
            client.identity = identity;
            // In TLS 1.3 a client hears of it with its first read.
            let refused = async {
                let stream = client.secure(&owner, "localhost").await?;
                client_async("wss://localhost/", stream)
                    .await
                    .map_err(std::io::Error::other)
            };
            assert!(refused.await.is_err());
        }
        client.identity = Some(clients.identity("friend"));
        // Each time anew: a certificate may have expired since.
        let config = Arc::new(client.config());
        for _ in 0..2 {
            let stream = secure_with(config.clone(), &owner, "localhost")
                .await
                .unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full));
            client_async("wss://localhost/", stream).await.unwrap();
        }
    }
    wait_for(&owner.server, |it| {
        it.refused[Reason::Malformed as usize] == 4
    });
    assert_eq!(owner.server.metrics().accepted, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_sees_a_certificate_only_if_it_is_verified_and_only_of_its_own_site() {
    let (servers, clients) = (Authority::new(), Authority::new());
    for asked in [ClientCertificates::Asked, ClientCertificates::Required] {
        let mut options = options(servers.identity("localhost"));
        options.ca = vec![clients.pem().into_bytes()];
        options.clients = asked;
        let mut owner = Owner::start(secure(&options));
        let friend = clients.identity("friend");
        let mut cases = vec![
            (Some(friend.clone()), None, true),
            (Some(friend.clone()), Some("https://localhost"), true),
            (Some(friend.clone()), Some("https://evil.test"), false),
        ];
        if asked == ClientCertificates::Asked {
            cases.push((None, None, false));
            cases.push((Some(servers.identity("stranger")), None, false));
        }
        for (identity, origin, is_shown) in cases {
            let mut client = servers.client();
            client.identity = identity;
            let mut request = "wss://localhost/".into_client_request().unwrap();
            if let Some(origin) = origin {
                request
                    .headers_mut()
                    .insert("origin", origin.parse().unwrap());
            }
            let stream = client.secure(&owner, "localhost").await.unwrap();
            let upgrading = tokio::spawn(client_async(request, stream));
            let told = owner.next_of(support::UPGRADE).value;
            // A number that says whether it is encrypted, then the subprotocol, then the certificate.
            assert_ne!(told[8].as_u64().unwrap() & u64::from(upgrade::SECURE), 0);
            let expected = String::from_utf8(friend.cert.clone()).unwrap();
            let expected = expected.replace("\r\n", "\n");
            let shown = told[10].as_str();
            assert_eq!(shown, is_shown.then_some(&*expected), "{origin:?}");
            upgrading.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_short_is_over() {
    let (mut owner, client) = server(|_| ());
    for cut in 0..4 {
        let (mut socket, handle) = client.connect(&mut owner).await;
        let (stream, session) = socket.get_mut().get_mut();
        let mut record = Vec::new();
        std::io::Write::write_all(&mut session.writer(), &raw::frame(0x81, &[b'x'; 500])).unwrap();
        session.write_tls(&mut record).unwrap();
        match cut {
            // In the middle of a record.
            0 => stream.write_all(&record[..100]).await.unwrap(),
            // Between two, without the word that nothing follows.
            1 => {}
            // A record that was changed on its way.
            2 => {
                record[50] ^= 1;
                stream.write_all(&record).await.unwrap();
            }
            // Plain text in between.
            _ => stream.write_all(&[b'x'; 500]).await.unwrap(),
        }
        if cut < 2 {
            stream.shutdown().await.unwrap();
        }
        let closed = owner.next_of(support::CLOSED);
        assert_eq!(closed.handle, handle);
        let mut end = Vec::new();
        // Perhaps with an alert, or a reset.
        let read = timeout(DEADLINE, stream.read_to_end(&mut end));
        let _ = read.await.expect("the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_is_answered_in_kind() {
    let (mut owner, client) = server(|_| ());
    let (mut socket, handle) = client.connect(&mut owner).await;
    owner.submit(|it| {
        it.close(handle, 1000, b"");
    });
    let mut code = None;
    while let Some(message) = socket.next().await {
        if let Message::Close(frame) = message.expect("no cut") {
            code = frame.map(|frame| u16::from(frame.code));
        }
    }
    assert_eq!(code, Some(1000));
    // No error: the word that nothing follows has come before the end.
    let mut rest = Vec::new();
    let read = socket.get_mut().read_to_end(&mut rest);
    timeout(DEADLINE, read).await.expect("the end").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_slow_client_is_bounded_and_counted() {
    const LIMIT: usize = 256 * 1024;
    let (mut owner, client) = server(|config| {
        config.max_backpressure = LIMIT;
        config.slow_client = zocket::SlowClient::Drop;
    });
    let (mut socket, handle) = client.connect(&mut owner).await;
    let payload = format!("\"{}\"", "x".repeat(10_000));
    let frame = payload.len() + 40;
    let mut sent = 0;
    while owner.server.metrics().dropped < 100 {
        owner.submit(|it| {
            it.to(ECHO, Some(payload.as_bytes()), &[handle]);
        });
        sent += 1;
        wait_for(&owner.server, |it| it.sent == sent);
        let metrics = owner.server.metrics();
        let most = LIMIT + LIMIT / 10 + frame;
        assert!(metrics.buffered <= most as u64, "{metrics:?}");
        assert_eq!(
            metrics.sent,
            metrics.written + metrics.queued + metrics.dropped
        );
    }
    let metrics = owner.server.metrics();
    assert!(
        metrics.queued >= ((LIMIT - 2 * frame) / frame) as u64,
        "{metrics:?}"
    );
    // What is counted as written or queued arrives; nothing else does.
    let expected = metrics.written + metrics.queued;
    for _ in 0..expected {
        let message = timeout(DEADLINE, socket.next()).await.expect("in time");
        assert!(message.unwrap().unwrap().len() > payload.len());
    }
    wait_for(&owner.server, |it| it.queued == 0 && it.buffered == 0);
    assert_eq!(owner.server.metrics().written, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vanished_client_did_not_get_is_dropped() {
    let (mut owner, client) = server(|_| ());
    let (socket, handle) = client.connect(&mut owner).await;
    let payload = format!("\"{}\"", "x".repeat(100_000));
    let mut sent = 0;
    while owner.server.metrics().queued < 3 {
        owner.submit(|it| {
            it.to(ECHO, Some(payload.as_bytes()), &[handle]);
        });
        sent += 1;
        wait_for(&owner.server, |it| it.sent == sent);
    }
    drop(socket);
    owner.next_of(support::CLOSED);
    wait_for(&owner.server, |it| it.queued == 0 && it.buffered == 0);
    let metrics = owner.server.metrics();
    assert!(metrics.dropped >= 3, "{metrics:?}");
    assert_eq!(metrics.sent, metrics.written + metrics.dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_not_complete_are_counted_as_held() {
    let (mut owner, client) = server(|_| ());
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let (mut socket, _) = client.connect(&mut owner).await;
        let (stream, _) = socket.get_mut().get_mut();
        // The header of a record of 16,000 bytes, and all but one of them.
        let mut record = vec![23, 3, 3, 0x3e, 0x80];
        record.resize(5 + 15_999, 7);
        stream.write_all(&record).await.unwrap();
        sockets.push(socket);
    }
    wait_for(&owner.server, |it| it.buffered >= 4 * 16_004);
    drop(sockets);
    for _ in 0..4 {
        owner.next_of(support::CLOSED);
    }
    wait_for(&owner.server, |it| it.buffered == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_handshakes_and_says_goodbye() {
    let (mut owner, client) = server(|_| ());
    let (mut socket, _) = client.connect(&mut owner).await;
    let mut stalled = TcpStream::connect(owner.server.address()).await.unwrap();
    stalled.write_all(&[22, 3, 1]).await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || owner.stop(StopMode::Close));
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            code = frame.map(|frame| u16::from(frame.code));
        }
    }
    assert_eq!(code, Some(1001));
    drop(socket);
    let mut end = Vec::new();
    let _ = timeout(DEADLINE, stalled.read_to_end(&mut end))
        .await
        .expect("the end");
    drop(stalled);
    stopping.await.unwrap();
}

/// A server that echoes what comes, and what its clients need.
fn echo(change: impl FnOnce(&mut zocket::Config)) -> (Owner, Client) {
    let authority = Authority::new();
    let mut config = secure(&options(authority.identity("localhost")));
    change(&mut config);
    (Owner::start_with(config, Echo), authority.client())
}

/// A connection to such a server.
async fn open(client: &Client, owner: &Owner) -> SecureSocket {
    let stream = client.secure(owner, "localhost").await.unwrap();
    client_async("wss://localhost/", stream).await.unwrap().0
}

fn refused(owner: &Owner, reason: Reason) -> u64 {
    owner.server.metrics().refused[reason as usize]
}

/// A socket that sends one byte at a time.
struct Bytewise(TcpStream);

impl AsyncRead for Bytewise {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Bytewise {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let first = &bytes[..bytes.len().min(1)];
        Pin::new(&mut self.0).poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
