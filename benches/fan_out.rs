//! How fast does a message for a room reach all its members, over real sockets, without JavaScript?
//!
//! The commands of one batch are handed over at once, as the JavaScript side does; then every
//! member reads and compares every byte. Throughput counts deliveries. The time is that of writing
//! and reading, one system call each for every member and batch.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Client, ECHOED, Owner, Side, frames, payload};
use zocket::CommandWriter;

const ROOM: &[u8] = b"lobby";

/// Members, messages in one batch, bytes of each payload.
const CASES: [(usize, usize, usize, &str); 4] = [
    (100, 1, 64, "100-members/64B"),
    (1000, 1, 64, "1000-members/64B"),
    (1000, 8, 64, "1000-members-8-messages/64B"),
    (100, 1, 16 * 1024, "100-members/16KiB"),
];

fn room(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("room");
    for (members, count, bytes, name) in CASES {
        let owner = Owner::start();
        let mut commands = CommandWriter::new();
        let mut clients: Vec<Client> = (0..members)
            .map(|_| {
                let (client, handle) = owner.client();
                commands.join(handle, ROOM);
                client
            })
            .collect();
        owner.server.submit(commands.bytes());
        commands.clear();

        let payload = payload(bytes);
        for _ in 0..count {
            commands.rooms(ECHOED, Some(payload.as_bytes()), &[ROOM]);
        }
        let text = format!("{{\"type\":\"echoed\",\"payload\":{payload}}}");
        let expected = frames(&text, count, Side::Server);
        group.throughput(Throughput::Elements((members * count) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                owner.server.submit(commands.bytes());
                // The last to join is the last to be written to: waiting for it first, the reader
                // sleeps once and not once for every member.
                for client in clients.iter_mut().rev() {
                    client.expect(&expected);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, room);
criterion_main!(benches);
