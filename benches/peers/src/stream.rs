//! Streams: each client reads one after the other, and checks every item.

use std::time::Instant;

use serde_json::Value;

use crate::{
    Fault,
    dialect::Streaming,
    message::{FIRST, Template},
    options::Options,
    swarm::Swarm,
    window::{Phase, Window},
    wire::PATIENCE,
};

/// Items of a stream, and the number of the first, as the application has them.
const ITEMS: usize = 1_000;
const FIRST_ITEM: u64 = 2_000_000_000;
/// The reader says so after so many items, or when no more has come.
const PORTION: usize = 32;

/// What is said and expected, in order.
struct Script {
    ask: Template,
    /// The items, each with its number, and what comes before and after them.
    expected: Vec<Template>,
    /// Which of those are items.
    first: usize,
    /// Says that so many items were taken, one more than the place here.
    taken: Vec<Template>,
}

impl Script {
    fn new(streaming: &Streaming, bytes: usize) -> Self {
        let item = |n: u64| Template::around(&streaming.item, FIRST_ITEM + n, "", bytes);
        let started = streaming.started.iter().map(|text| Template::of(text));
        let items = (0..ITEMS as u64).map(item);
        let ended = Template::of(&streaming.ended);
        let more = |count| {
            let text = format!(r#"{{"type":"$more","id":{FIRST},"payload":{count}}}"#);
            Template::of(&text)
        };
        let portions = if streaming.has_credit { PORTION } else { 0 };
        Self {
            ask: Template::around(&streaming.ask, FIRST_ITEM, "", bytes),
            expected: started.chain(items).chain([ended]).collect(),
            first: usize::from(streaming.started.is_some()),
            taken: (1..=portions).map(more).collect(),
        }
    }

    /// Says that so many items were taken.
    fn take(&self, items: usize, number: u64, out: &mut Vec<u8>) {
        let Some(portion) = self.taken.last() else {
            return;
        };
        for _ in 0..items / PORTION {
            portion.write(number, out);
        }
        if !items.is_multiple_of(PORTION) {
            self.taken[items % PORTION - 1].write(number, out);
        }
    }

    /// Asks for one more stream.
    fn begin(&self, next: &mut u64, now: Instant, out: &mut Vec<u8>) -> Reading {
        let number = *next;
        *next += 1;
        self.ask.write(number, out);
        Reading {
            number,
            asked: now,
            next: 0,
        }
    }
}

/// The stream that a client reads.
struct Reading {
    number: u64,
    asked: Instant,
    /// Which message comes next.
    next: usize,
}

/// Reads streams until the window is over.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let streaming = options.dialect.stream();
    let streaming = streaming.ok_or("there are no streams in this dialect")?;
    let script = Script::new(&streaming, options.bytes);
    let mut swarm = Swarm::open(options, options.connections)?;
    let mut window = Window::new(options);
    let mut now = Instant::now();
    let mut next = 0;
    let mut readings = Vec::new();
    for client in &mut swarm.clients {
        readings.push(script.begin(&mut next, now, &mut client.out));
        client.flush()?;
    }
    let mut ready = Vec::new();
    while window.phase(now)? != Phase::Over {
        now = swarm.wait(PATIENCE, &mut ready)?;
        for &index in &ready {
            now = Instant::now();
            let reading = &mut readings[index];
            let client = &mut swarm.clients[index];
            let mut items = 0;
            client.receive(&mut swarm.scratch, &mut |text: &[u8]| {
                let expected = script.expected.get(reading.next);
                let expected = expected.ok_or("a message after the end of a stream")?;
                let number = expected.number(text)?;
                if number != reading.number {
                    return Err(format!("stream {number}, not {}", reading.number).into());
                }
                if (script.first..script.first + ITEMS).contains(&reading.next) {
                    let latency = now.saturating_duration_since(reading.asked);
                    window.answered(now, latency, 1);
                    items += 1;
                }
                reading.next += 1;
                Ok(())
            })?;
            if reading.next == script.expected.len() {
                *reading = script.begin(&mut next, now, &mut client.out);
            } else {
                script.take(items, reading.number, &mut client.out);
            }
            client.flush()?;
        }
    }
    window.result("items", options)
}
