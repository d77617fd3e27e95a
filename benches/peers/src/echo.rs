//! Echoes and calls: closed loop (a fixed number under way), or open loop (sent on time, whatever comes back).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Fault,
    message::{FIRST, Template},
    options::Options,
    swarm::Swarm,
    window::{Phase, Window},
    wire::PATIENCE,
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
    /// What the answers are called.
    unit: &'static str,
}

/// Runs the closed or the open loop.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let dialect = options.dialect;
    let sent = options.sent(Template::new(dialect, "echo", "", options.bytes));
    let expected = Template::new(dialect, dialect.answer(), "", options.bytes);
    exchange(options, sent, expected, "messages")
}

/// The same with bytes.
pub(crate) fn run_bytes(options: &Options) -> Result<Value, Fault> {
    let of = |name| Template::bytes(name, options.bytes);
    exchange(options, of("blob"), of("back"), "messages")
}

/// The same with calls and their replies.
pub(crate) fn run_calls(options: &Options) -> Result<Value, Fault> {
    let (call, reply) = options.dialect.call();
    let of = |around| Template::around(around, FIRST, "", options.bytes);
    exchange(options, of(&call), of(&reply), "replies")
}

fn exchange(
    options: &Options,
    sent: Template,
    expected: Template,
    unit: &'static str,
) -> Result<Value, Fault> {
    let swarm = Swarm::open(options, options.connections)?;
    let echo = Echo {
        swarm,
        sent,
        expected,
        under_way: vec![UnderWay::new(); options.connections],
        next: 0,
        window: Window::new(options),
        unit,
    };
    match options.rate {
        None => echo.closed(options),
        Some(rate) => echo.open(options, rate),
    }
}

impl Echo {
    fn closed(mut self, options: &Options) -> Result<Value, Fault> {
        let mut now = Instant::now();
        // Spread over all, so that they are not the ones that came first.
        let active = options.active.min(options.connections);
        for talker in 0..active {
            let client = talker * options.connections / active;
            for _ in 0..options.in_flight {
                self.send(client, now);
            }
            self.swarm.clients[client].flush()?;
        }
        let mut ready = Vec::new();
        while self.window.phase(now)? != Phase::Over {
            now = self.swarm.wait(PATIENCE, &mut ready)?;
            for &client in &ready {
                // One look at the clock for the answers and for what is sent because of them, so
                // that the time to read and to write counts as latency.
                now = Instant::now();
                let answered = self.receive(client, now)?;
                for _ in 0..answered {
                    self.send(client, now);
                }
                self.swarm.clients[client].flush()?;
            }
        }
        self.window.result(self.unit, options)
    }

    /// Message `i` is due `i / rate` after the start and goes to client `i % connections`. Its
    /// latency counts from there, also when the generator or the socket was late.
    fn open(mut self, options: &Options, rate: f64) -> Result<Value, Fault> {
        let start = Instant::now();
        let gap = Duration::from_secs_f64(1.0 / rate);
        let mut due = start;
        let mut now = start;
        let mut ready = Vec::new();
        let mut touched = Vec::new();
        while self.window.phase(now)? != Phase::Over {
            let left = due.saturating_duration_since(now);
            now = self.swarm.wait(left, &mut ready)?;
            for &client in &ready {
                now = Instant::now();
                self.receive(client, now)?;
            }
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
        let mut line = self.window.result(self.unit, options)?;
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
    fn receive(&mut self, client: usize, now: Instant) -> Result<usize, Fault> {
        let Self {
            swarm,
            expected,
            under_way,
            window,
            ..
        } = self;
        let mut answered = 0;
        swarm.clients[client].receive(&mut swarm.scratch, &mut |text: &[u8]| {
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
