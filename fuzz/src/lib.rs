//! What is fuzzed: functions that take any bytes and panic when a promise does not hold, or when they hold more memory than
//! such bytes may cost (`memory.rs`). The fuzzer runs them through `fuzz_targets/`, the engine's tests
//! (`tests/fuzz.rs`) over the seeds and some thousand mutations of them.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "also a module of a test, where nothing is reachable"
)]

pub mod binary;
#[cfg(feature = "bus")]
pub mod bus_format;
pub mod commands;
pub mod deflate;
pub mod envelope;
pub mod frames;
pub mod handshake;
mod judge;
mod limits;
pub mod memory;
mod owner;
pub mod session;
