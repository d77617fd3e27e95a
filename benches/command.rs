//! What does a shard pay to decode the commands of one hand-over, and its owner to have payloads put into them?
//!
//! A hand-over is about 64 KiB. The count of what was decoded is checked in every round, and so are the bytes of what was
//! put together.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zocket::{
    Command, CommandWriter, Handle,
    border::{payloads::write_with_payloads, reader::Commands},
};

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

/// Sends to single clients with their payloads beside them, and the same whole. Of the payloads each has a number and a text.
fn beside(text: &str) -> (Vec<u8>, String, CommandWriter, u32) {
    let (mut commands, mut texts, mut whole) = (Vec::new(), String::new(), CommandWriter::new());
    let mut count = 0;
    let units = u32::try_from(text.encode_utf16().count()).expect("a short text");
    let quoted = serde_json::to_string(text).expect("text is JSON");
    while commands.len() + texts.len() < HAND_OVER {
        let payload = [5, 2 << 30, count, 9, 1 << 30 | units, 2];
        let command = [6 | 6 << 8, 12, u32::MAX, 0, 1, count];
        let words = command.iter().chain(&payload);
        commands.extend(words.flat_map(|word| word.to_le_bytes()));
        texts.extend(["{\"n\":", ",\"text\":\"", text, "\"}"]);
        let json = format!("{{\"n\":{count},\"text\":{quoted}}}");
        whole.to(0, Some(json.as_bytes()), &[Handle(count)]);
        count += 1;
    }
    (commands, texts, whole, count)
}

fn payloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payloads");
    for (name, text) in [
        ("plain/38B", "a message as chats have it, of no size"),
        (
            "escaped/38B",
            "a \"message\" with\nlines, of nearly no size",
        ),
        ("cyrillic/38B", "сообщение в чате, ру"),
        ("plain/16KiB", &"sixteen letters ".repeat(1024)),
    ] {
        let (commands, texts, whole, count) = beside(text);
        group.throughput(Throughput::Elements(u64::from(count)));
        let mut all = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                all.clear();
                write_with_payloads(
                    black_box(&mut all),
                    black_box(&commands),
                    black_box(texts.as_bytes()),
                );
                assert_eq!(all.len(), whole.bytes().len());
            });
        });
        assert_eq!(all, whole.bytes());
    }
    group.finish();
}

criterion_group!(benches, decode, payloads);
criterion_main!(benches);
