//! What does a shard pay to decode the commands of one hand-over?
//!
//! A hand-over is about 64 KiB. The count of what was decoded is checked in every round.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zocket::{Command, CommandWriter, Handle, command::Commands};

const HAND_OVER: usize = 64 * 1024;

/// Fills a hand-over with one kind of command; returns it and how many there are.
fn fill(write: impl Fn(&mut CommandWriter, u32)) -> (CommandWriter, u32) {
    let mut writer = CommandWriter::new();
    let mut count = 0;
    while writer.bytes().len() < HAND_OVER {
        write(&mut writer, count);
        count += 1;
    }
    (writer, count)
}

fn decode(criterion: &mut Criterion) {
    let payload = br#"{"text":"a message of about sixty-four bytes, as chats have it"}"#;
    let everybody: Vec<Handle> = (0..100).map(Handle).collect();
    let cases = [
        (
            "to-one/64B",
            fill(|it, n| {
                it.to(0, Some(payload), &[Handle(n)]);
            }),
        ),
        (
            "to-hundred/64B",
            fill(|it, _| {
                it.to(0, Some(payload), &everybody);
            }),
        ),
        (
            "room/64B",
            fill(|it, _| {
                it.rooms(0, Some(payload), &[b"lobby"]);
            }),
        ),
        (
            "join/12B",
            fill(|it, n| {
                it.join(Handle(n), b"room-of-game");
            }),
        ),
    ];
    let mut group = criterion.benchmark_group("decode");
    for (name, (writer, count)) in &cases {
        group.throughput(Throughput::Elements(u64::from(*count)));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            writer,
            |bencher, writer| {
                bencher.iter(|| {
                    let mut decoded = 0;
                    let mut reached = 0_u64;
                    for command in Commands::new(black_box(writer.bytes())) {
                        decoded += 1;
                        if let Command::To { clients, .. } = command {
                            reached += clients.map(|it| u64::from(it.0)).sum::<u64>();
                        }
                    }
                    assert_eq!(decoded, *count);
                    reached
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
