//! What does it cost to find the number of an incoming route, among few and among many?
//!
//! `hit` asks for every name in turn, `miss` for names that differ from one in their last letter.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zocket::Routes;

const COUNTS: [usize; 3] = [1, 10, 300];

/// Dotted paths of a few lengths, as nested routers make them.
fn names(count: usize) -> Vec<String> {
    let parents = ["chat", "chat.rooms", "game.lobby.players", "admin"];
    (0..count)
        .map(|n| format!("{}.message{n}", parents[n % parents.len()]))
        .collect()
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for count in COUNTS {
        let hits = names(count);
        let misses: Vec<String> = hits.iter().map(|name| format!("{name}x")).collect();
        let routes = Routes::new(hits.clone(), vec![]);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("hit", count), |bencher| {
            bencher.iter(|| {
                for (number, name) in (0..).zip(&hits) {
                    assert_eq!(routes.incoming(black_box(name)), Some(number));
                }
            });
        });
        group.bench_function(BenchmarkId::new("miss", count), |bencher| {
            bencher.iter(|| {
                for name in &misses {
                    assert_eq!(routes.incoming(black_box(name)), None);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
