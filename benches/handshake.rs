//! What does the engine pay to check one upgrade request, and to answer it?
//!
//! `parse` is given the whole head at once, as most clients send it; `drip` a byte more each time,
//! as a hostile one does.

use std::{fmt::Write, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zocket::{
    Peer, Rules,
    handshake::{
        caller::Caller,
        request::{Head, parse},
        response::SwitchingProtocols,
    },
};

const CALLER: Caller = Caller {
    peer: Peer::Local,
    secure: false,
    certificate: None,
};

fn request(target: &str, extra: usize) -> String {
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://example.com\r\n"
    );
    for n in 0..extra {
        let _ = write!(
            head,
            "X-Header-{n}: a value of some forty bytes, all in all\r\n"
        );
    }
    head.push_str("\r\n");
    head
}

fn accept(head: &[u8]) -> String {
    match parse(black_box(head), &Rules::default(), &CALLER) {
        Head::Complete {
            length,
            request: Ok(request),
            ..
        } if length == head.len() => request.accept,
        _ => panic!("the request is sound"),
    }
}

fn upgrade(criterion: &mut Criterion) {
    let cases = [
        ("bare", request("/", 0)),
        (
            "browser",
            request("/chat?authorization=abc%20def&name=x", 12),
        ),
        ("full", request("/", 90)),
    ];
    let mut group = criterion.benchmark_group("upgrade");
    for (name, head) in &cases {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", name), head, |bencher, head| {
            bencher.iter(|| accept(head.as_bytes()));
        });
    }
    let head = request("/", 12);
    group.throughput(Throughput::Bytes(head.len() as u64));
    group.bench_function("drip/browser", |bencher| {
        bencher.iter(|| {
            for end in 0..head.len() {
                let partial = parse(
                    black_box(&head.as_bytes()[..end]),
                    &Rules::default(),
                    &CALLER,
                );
                assert!(matches!(partial, Head::Partial));
            }
            accept(head.as_bytes())
        });
    });
    group.bench_function("answer/bare", |bencher| {
        let accept = accept(cases[0].1.as_bytes());
        let switching = SwitchingProtocols {
            accept: &accept,
            ..Default::default()
        };
        bencher.iter(|| black_box(switching).to_response().len());
    });
    group.finish();
}

criterion_group!(benches, upgrade);
criterion_main!(benches);
