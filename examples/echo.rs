//! A WebSocket server that sends every message back as it came: what the conformance suite and
//! the benchmarks talk to.
//!
//! Start it with `cargo run --release --example echo -- 9001`; it runs until it is killed.

use std::{env, error::Error, sync::Arc, thread};

use zocket::{Compression, Config, Echo, Routes, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let Some(port) = arguments.next() else {
        return Err("usage: echo PORT [IO_THREADS]".into());
    };
    let io_threads = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let config = Config {
        hostname: Some("127.0.0.1".into()),
        port: port.parse()?,
        io_threads,
        max_payload: 32 * 1024 * 1024,
        max_backpressure: 64 * 1024 * 1024,
        // For clients that offer it; even the shortest messages, so that suites see them.
        compression: cfg!(feature = "deflate").then(|| Compression {
            threshold: 0,
            ..Compression::default()
        }),
        ..Config::default()
    };
    let server = Server::bind(config, Arc::new(Routes::new(vec![], vec![])), Echo, || ())?;
    println!("listening on {}", server.address());
    loop {
        // The I/O threads do the work, and an echo has no events.
        thread::park();
    }
}
