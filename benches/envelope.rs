//! What does the engine pay for the envelope of one message, on the way in and on the way out?
//!
//! `parse` splits an incoming text and looks its route up, `encode` makes one outgoing frame. `value` is the yardstick:
//! what a full parse of the same text costs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use zocket::Routes;
use zocket::message::envelope::{encode_frame, parse};

/// Name and bytes of text in the payload.
const SIZES: [(&str, usize); 4] = [
    ("64B", 16),
    ("1KiB", 1 << 10),
    ("16KiB", 16 << 10),
    ("1MiB", 1 << 20),
];

/// A payload of numbers, nesting and text with some escapes, the same in every run.
fn payload(length: usize) -> String {
    let words = ["hello ", "wörld ", "line\n", "\"quoted\" ", "plain text "];
    let mut seed = 0x2545_f491_u32;
    let mut lines = vec![String::new()];
    let mut written = 0;
    while written < length {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words[(seed >> 16) as usize % words.len()];
        written += word.len();
        match lines.last_mut() {
            Some(line) if line.len() < 200 => line.push_str(word),
            _ => lines.push(word.to_owned()),
        }
    }
    match lines.as_slice() {
        [line] => json!({ "text": line, "at": 17 }),
        lines => json!({ "lines": lines, "at": 1_700_000_000.5 }),
    }
    .to_string()
}

fn routes() -> Routes {
    let names = |direction: &str| (0..50).map(|n| format!("chat.{direction}{n}")).collect();
    Routes::new(names("message"), names("onMessage"))
}

fn incoming(criterion: &mut Criterion) {
    let routes = routes();
    let mut group = criterion.benchmark_group("incoming");
    for (name, length) in SIZES {
        let payload = payload(length);
        let text = format!(r#"{{"type":"chat.message7","payload":{payload}}}"#);
        let read = || {
            let envelope = parse(black_box(&text)).expect("the text is an envelope");
            (
                envelope.kind.and_then(|kind| routes.incoming(&kind)),
                envelope.payload,
            )
        };
        assert_eq!(read(), (Some(7), Some(payload.as_str())));

        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("parse", name), |bencher| {
            bencher.iter(read);
        });
        group.bench_function(BenchmarkId::new("value", name), |bencher| {
            bencher.iter(|| serde_json::from_str::<Value>(black_box(&text)).expect("it is JSON"));
        });
    }
    group.finish();
}

fn outgoing(criterion: &mut Criterion) {
    let routes = routes();
    let mut group = criterion.benchmark_group("outgoing");
    for (name, length) in SIZES {
        let payload = payload(length);
        let mut out = Vec::new();
        let mut write = || {
            out.clear();
            let prefix = routes.prefix(black_box(7)).expect("there are 50 routes");
            encode_frame(&mut out, prefix, Some(black_box(payload.as_bytes())))
        };
        let length = write();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(&mut write);
        });
        let end = format!(r#"{{"type":"chat.onMessage7","payload":{payload}}}"#);
        assert!(out.len() == length && out.ends_with(end.as_bytes()));
    }
    group.finish();
}

criterion_group!(benches, incoming, outgoing);
criterion_main!(benches);
