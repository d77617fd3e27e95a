//! Load generator of the peer comparison: one thread, non-blocking sockets, every answer checked.
//!
//! Prints one JSON line. What it asks of a server is in `benches/README.md`.
#![forbid(unsafe_code)]

mod dialect;
mod echo;
mod fan_out;
mod frame;
mod handshakes;
mod histogram;
mod idle;
mod message;
mod options;
mod rooms;
mod secure;
mod stream;
mod swarm;
mod usage;
mod window;
mod wire;

use std::process::ExitCode;

use options::{Mode, Options};

/// What went wrong, for people; the generator gives up at the first fault.
type Fault = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("zocket-load: {fault} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    let result = match options.mode {
        Mode::Echo => echo::run(&options),
        Mode::Bytes => echo::run_bytes(&options),
        Mode::Call => echo::run_calls(&options),
        Mode::Stream => stream::run(&options),
        Mode::FanOut => fan_out::run(&options),
        Mode::Rooms => rooms::run(&options),
        Mode::Handshakes => handshakes::run(&options),
        Mode::Idle => idle::run(&options),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("zocket-load: {fault}");
            ExitCode::FAILURE
        }
    }
}
