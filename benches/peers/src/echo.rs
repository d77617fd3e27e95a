//! Echo: closed loop (a fixed number under way), or open loop (sent on time, whatever comes back).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Fault,
    message::Template,
    options::Options,
    window::{Phase, Window},
    wire::{PATIENCE, Swarm},
};

/// A message under way: its number, and the moment from which its latency counts.
type UnderWay = VecDeque<(u64, Instant)>;

struct Echo {
    swarm: Swarm,
    sent: Template,
    expected: Template,
    under_way: Vec<UnderWay>,
    next: u64,
    window: Window,
}

/// Runs the closed or the open loop.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let swarm = Swarm::open(options, options.connections)?;
    let echo = Echo {
        swarm,
        sent: Template::new(options.dialect, "echo", "", options.bytes),
        expected: Template::new(options.dialect, options.dialect.answer(), "", options.bytes),
        under_way: vec![UnderWay::new(); options.connections],
        next: 0,
        window: Window::new(options),
    };
    match options.rate {
        None => echo.closed(options),
        Some(rate) => echo.open(options, rate),
    }
}

impl Echo {
    fn closed(mut self, options: &Options) -> Result<Value, Fault> {
        let now = Instant::now();
        for client in 0..options.connections {
            for _ in 0..options.in_flight {
                self.send(client, now);
            }
            self.swarm.clients[client].flush()?;
        }
        let mut ready = Vec::new();
        while self.window.phase(Instant::now())? != Phase::Over {
            self.swarm.wait(Instant::now() + PATIENCE, &mut ready)?;
            for &client in &ready {
                let answered = self.receive(client)?;
                let now = Instant::now();
                for _ in 0..answered {
                    self.send(client, now);
                }
                self.swarm.clients[client].flush()?;
            }
        }
        self.window.result("messages", options)
    }

    /// Message `i` is due `i / rate` after the start and goes to client `i % connections`. Its
    /// latency counts from there, also when the generator or the socket was late.
    fn open(mut self, options: &Options, rate: f64) -> Result<Value, Fault> {
        let start = Instant::now();
        let gap = Duration::from_secs_f64(1.0 / rate);
        let mut due = start;
        let mut ready = Vec::new();
        let mut touched = Vec::new();
        while self.window.phase(Instant::now())? != Phase::Over {
            self.swarm.wait(due, &mut ready)?;
            for &client in &ready {
                self.receive(client)?;
            }
            let now = Instant::now();
            while due <= now {
                let client = usize::try_from(self.next)? % options.connections;
                self.send(client, due);
                touched.push(client);
                #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
                let offset = gap.mul_f64(self.next as f64);
                due = start + offset;
            }
            for client in touched.drain(..) {
                self.swarm.clients[client].flush()?;
            }
        }
        let waiting: usize = self.under_way.iter().map(VecDeque::len).sum();
        let mut line = self.window.result("messages", options)?;
        line["rate"] = rate.into();
        line["waiting_at_end"] = waiting.into();
        Ok(line)
    }

    fn send(&mut self, client: usize, from: Instant) {
        self.sent
            .write(self.next, &mut self.swarm.clients[client].out);
        self.under_way[client].push_back((self.next, from));
        self.next += 1;
    }

    /// Takes and checks what one client got; returns how many answers that were.
    fn receive(&mut self, client: usize) -> Result<usize, Fault> {
        let Self {
            swarm,
            expected,
            under_way,
            window,
            ..
        } = self;
        let now = Instant::now();
        let mut answered = 0;
        swarm.clients[client].receive(&mut swarm.scratch, |text| {
            let number = expected.number(text)?;
            match under_way[client].pop_front() {
                Some((wanted, from)) if wanted == number => {
                    window.answered(now, now.saturating_duration_since(from), 1);
                    answered += 1;
                    Ok(())
                }
                wanted => Err(format!("answer {number} came, {wanted:?} was due").into()),
            }
        })?;
        Ok(answered)
    }
}
