//! What `fuzz/` looks for, in short: the functions it fuzzes run over its seeds, and over mutations of them that are the
//! same in every run.

use std::{
    env, fs,
    panic::{RefUnwindSafe, catch_unwind},
    path::PathBuf,
};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// How many mutations each target gets; more by hand.
fn cases(usual: u32) -> u32 {
    let wanted = env::var("FUZZ_CASES").ok();
    wanted.map_or(usual, |wanted| {
        wanted.parse().expect("FUZZ_CASES is a number")
    })
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "seeds", target]
        .iter()
        .collect();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() > 10);
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Some of another seed.
    Splice(Index, Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let telling = prop::sample::select(b"\0\x01\x7f\x80\xff\r\n :\"\\{}[],".to_vec());
    let byte = prop_oneof![any::<u8>(), telling];
    prop_oneof![
        (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        (any::<Index>(), prop::collection::vec(byte, 1..8))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1..16_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), any::<Index>(), any::<Index>(), 1..64_usize)
            .prop_map(|(at, seed, from, length)| Edit::Splice(at, seed, from, length)),
    ]
}

fn apply(edit: &Edit, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let length = bytes.len();
    match edit {
        Edit::Flip(at, bits) if length > 0 => bytes[at.index(length)] ^= bits,
        Edit::Flip(..) => {}
        Edit::Insert(at, inserted) => {
            let at = at.index(length + 1);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Edit::Remove(at, count) => {
            let at = at.index(length + 1);
            bytes.drain(at..length.min(at + count));
        }
        Edit::Splice(at, seed, from, count) => {
            let other = &seeds[seed.index(seeds.len())];
            let from = from.index(other.len() + 1);
            let at = at.index(length + 1);
            bytes.splice(at..at, other[from..].iter().copied().take(*count));
        }
    }
}

fn replay(target: &str, usual: u32, run: impl Fn(&[u8]) + RefUnwindSafe) {
    // What makes inputs is not what is looked at.
    let _apart = targets::memory::Apart::new(true);
    let seeds = seeds(target);
    for seed in &seeds {
        let outcome = catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "the seed {}", seed.escape_ascii());
    }
    let config = ProptestConfig {
        cases: cases(usual),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (any::<Index>(), prop::collection::vec(edit(), 1..6));
    let outcome = runner.run(&strategy, |(seed, edits)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        for edit in &edits {
            apply(edit, &mut bytes, &seeds);
        }
        catch_unwind(|| run(&bytes))
            .map_err(|_| TestCaseError::fail(bytes.escape_ascii().to_string()))
    });
    outcome.unwrap();
}

#[test]
fn envelopes() {
    replay("envelope", 20_000, targets::envelope::run);
}

#[test]
fn heads_of_binary_messages() {
    replay("binary", 20_000, targets::binary::run);
}

#[cfg(feature = "bus")]
#[test]
fn messages_on_the_bus() {
    replay("bus_format", 20_000, targets::bus_format::run);
}

#[test]
fn handshakes() {
    replay("handshake", 10_000, targets::handshake::run);
}

#[test]
fn commands() {
    replay("commands", 20_000, targets::commands::run);
}

#[cfg(feature = "deflate")]
#[test]
fn deflated_messages() {
    replay("deflate", 1_000, targets::deflate::run);
}

#[test]
fn frames() {
    replay("frames", 2_000, targets::frames::run);
}

#[test]
fn sessions() {
    replay("session", 300, targets::session::run);
}
