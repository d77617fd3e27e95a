//! How fast do messages go through the engine and back, over a real socket, without JavaScript?
//!
//! `frames` is the raw echo: socket, tungstenite, outbox. `envelope` adds what a server with an
//! owner does: envelope and route, event, batch, another thread, command, encoded answer. Their
//! difference is the border. One client sends a number of messages at once and compares every byte
//! that comes back.

mod support;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Client, Owner, Side, frames, payload};
use zocket::{Echo, Routes, Server, StopMode};

/// Messages sent at once, and bytes of each payload.
const CASES: [(usize, usize, &str); 4] = [
    (1, 64, "one/64B"),
    (256, 64, "256/64B"),
    (1, 16 * 1024, "one/16KiB"),
    (16, 16 * 1024, "16/16KiB"),
];

fn raw(criterion: &mut Criterion) {
    let routes = Arc::new(Routes::new(vec![], vec![]));
    let server = Server::bind(support::config(), routes, Echo, || ()).expect("a free port");
    let mut client = Client::open(server.address());
    let mut group = criterion.benchmark_group("frames");
    for (count, bytes, name) in CASES {
        let text = payload(bytes);
        let sent = frames(&text, count, Side::Client);
        let expected = frames(&text, count, Side::Server);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                client.send(&sent);
                client.expect(&expected);
            });
        });
    }
    group.finish();
    server.stop(StopMode::Terminate);
    server.join();
}

fn envelope(criterion: &mut Criterion) {
    let owner = Owner::start();
    let (mut client, _) = owner.client();
    let mut group = criterion.benchmark_group("envelope");
    for (count, bytes, name) in CASES {
        let payload = payload(bytes);
        let text = |route: &str| format!("{{\"type\":\"{route}\",\"payload\":{payload}}}");
        let sent = frames(&text("echo"), count, Side::Client);
        let expected = frames(&text("echoed"), count, Side::Server);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                client.send(&sent);
                client.expect(&expected);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, raw, envelope);
criterion_main!(benches);
