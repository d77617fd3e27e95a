//! How fast do messages go from a shard to its owner while both are at the inbox?
//!
//! Many clients send at once, and the owner takes and counts; nothing is answered. In `rung` it
//! takes when the bell rings, as the JavaScript side does. In `polling` it takes without pause, so
//! that the shard finds the lock in use as often as can be.

mod support;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Client, DEADLINE, Side, config, frames};
use zocket::{Batch, CommandWriter, EnvelopeProtocol, Routes, Server, ServerHandle, StopMode};

const CLIENTS: usize = 32;
/// Of each client at once. With more than 128 in the inbox a client is not read, so that this many
/// take turns.
const MESSAGES: usize = 256;
/// Stands once in every message and nowhere else, so that counting costs the owner next to nothing.
const MARK: u8 = b'!';

/// The owner's side, and the thread that sends.
struct Inbox {
    server: ServerHandle,
    rung: Receiver<()>,
    /// Asks every client for its messages.
    go: Sender<()>,
}

impl Inbox {
    fn open() -> Self {
        let (bell, rung) = sync_channel(1);
        let routes = Arc::new(Routes::new(vec!["count".into()], vec![]));
        let protocol = EnvelopeProtocol::new(routes.clone());
        let server = Server::bind(config(), routes, protocol, move || {
            // Full means that it rings already.
            let _ = bell.try_send(());
        })
        .expect("a free port");
        let (go, asked) = channel();
        let address = server.address();
        thread::spawn(move || {
            let text = format!(
                "{{\"type\":\"count\",\"payload\":\"{}\"}}",
                char::from(MARK)
            );
            let block = frames(&text, MESSAGES, Side::Client);
            let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::open(address)).collect();
            while asked.recv().is_ok() {
                for client in &mut clients {
                    client.send(&block);
                }
            }
        });
        let inbox = Self { server, rung, go };
        let mut admitted = 0;
        while admitted < CLIENTS {
            inbox.wait();
            while let Some(batch) = inbox.server.take(0) {
                admitted += admit(&inbox.server, &batch);
            }
        }
        inbox
    }

    fn wait(&self) {
        self.rung.recv_timeout(DEADLINE).expect("a bell in time");
        self.server.answer();
    }

    /// Takes the way of this owner until everything has come.
    fn take_all(&self, owner: Owner) {
        self.go.send(()).expect("the clients are there");
        let started = Instant::now();
        let mut left = CLIENTS * MESSAGES;
        while left > 0 {
            match owner {
                Owner::Rung => self.wait(),
                Owner::Polling => assert!(started.elapsed() < DEADLINE, "{left} did not come"),
            }
            while let Some(batch) = self.server.take(0) {
                let marks = batch.values().iter().map(|it| usize::from(*it == MARK));
                left -= marks.sum::<usize>();
                self.server.recycle(0, batch);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Owner {
    Rung,
    Polling,
}

/// Admits every upgrade of the batch; returns how many there were.
fn admit(server: &ServerHandle, batch: &Batch) -> usize {
    let mut commands = CommandWriter::new();
    for head in batch.heads() {
        assert_eq!(head.code, -1, "only upgrades come before the messages");
        commands.admit(head.handle);
    }
    server.submit(commands.bytes());
    batch.heads().len()
}

fn contention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inbox");
    group.measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements((CLIENTS * MESSAGES) as u64));
    for (name, owner) in [("rung", Owner::Rung), ("polling", Owner::Polling)] {
        let inbox = Inbox::open();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| inbox.take_all(owner));
        });
        inbox.server.stop(StopMode::Terminate);
        inbox.server.join();
    }
    group.finish();
}

criterion_group!(benches, contention);
criterion_main!(benches);
