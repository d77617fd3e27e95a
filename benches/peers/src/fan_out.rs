//! Fan-out: one client publishes to a room, the others are its members and each get everything.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Fault,
    dialect::Around,
    message::{Stream, Template},
    options::Options,
    swarm::Swarm,
    window::{Phase, Window},
    wire::{Answers, PATIENCE},
};

/// A publication under way: when it was sent, and how many members still wait for it.
struct Publication {
    sent: Instant,
    missing: usize,
}

struct FanOut {
    /// To recognise a message that is no exact part of `stream`.
    news: Template,
    stream: Stream,
    /// The number each member gets next.
    due: Vec<u64>,
    under_way: VecDeque<Publication>,
    /// Number of the first of them.
    oldest: u64,
    window: Window,
}

/// Keeps `--in-flight` publications under way until the window is over, or sends so many each second.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let members = options.connections;
    let mut swarm = Swarm::open(options, members + 1)?;
    let dialect = options.dialect;
    let joining = |name| {
        let Around { before, after } = dialect.message(name);
        format!("{before}{{\"room\":\"bench\"}}{after}").into_bytes()
    };
    // The publisher, who is the last, joins nothing.
    let publisher = swarm.clients.pop();
    swarm.ask_all(|_| joining("join"), |_| joining("joined"))?;
    swarm.clients.extend(publisher);
    let publish = Template::new(dialect, "publish", "\"room\":\"bench\",", options.bytes);
    let publish = options.sent(publish);
    let news = || Template::new(dialect, "news", "", options.bytes);
    let mut fan_out = FanOut {
        news: news(),
        stream: Stream::new(news()),
        due: vec![0; members],
        under_way: VecDeque::new(),
        oldest: 0,
        window: Window::new(options),
    };
    let mut ready = Vec::new();
    let mut now = Instant::now();
    let mut timetable = options.rate.map(|rate| Timetable::new(rate, now));
    while fan_out.window.phase(now)? != Phase::Over {
        fan_out.retire();
        now = Instant::now();
        let mut wrote = false;
        while let Some(sent) = match &mut timetable {
            Some(timetable) => timetable.due(now),
            None => (fan_out.under_way.len() < options.in_flight).then_some(now),
        } {
            let number = fan_out.publish(sent);
            publish.write(number, &mut swarm.clients[members].out);
            wrote = true;
        }
        if wrote {
            swarm.clients[members].flush()?;
        }
        let left =
            (timetable.as_ref()).map_or(PATIENCE, |it| it.next.saturating_duration_since(now));
        now = swarm.wait(left, &mut ready)?;
        for &index in &ready {
            // For each socket: a thousand of them take milliseconds, and what the last one gets may
            // have come long after the first was read.
            now = Instant::now();
            let mut member = Member {
                index,
                now,
                is_remote: options.is_remote(index),
                of: &mut fan_out,
            };
            swarm.clients[index].receive(&mut swarm.scratch, &mut member)?;
        }
    }
    fan_out.window.result("deliveries", options)
}

/// Moments at which something is due, as far from each other as a rate says.
struct Timetable {
    start: Instant,
    gap: Duration,
    count: u32,
    next: Instant,
}

impl Timetable {
    fn new(rate: f64, start: Instant) -> Self {
        Self {
            start,
            gap: Duration::from_secs_f64(1.0 / rate),
            count: 0,
            next: start,
        }
    }

    /// The oldest moment that has come and was not told yet.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.next > now {
            return None;
        }
        self.count += 1;
        let due = self.next;
        self.next = self.start + self.gap * self.count;
        Some(due)
    }
}

impl FanOut {
    /// Forgets the publications that every member has.
    fn retire(&mut self) {
        while self.under_way.front().is_some_and(|it| it.missing == 0) {
            self.under_way.pop_front();
            self.oldest += 1;
        }
        self.stream.forget(self.oldest);
    }

    /// Notes one more publication; returns its number.
    fn publish(&mut self, sent: Instant) -> u64 {
        let number = self.oldest + self.under_way.len() as u64;
        self.stream.push(number);
        self.under_way.push_back(Publication {
            sent,
            missing: self.due.len(),
        });
        number
    }
}

/// What one member gets in one read.
struct Member<'a> {
    index: usize,
    now: Instant,
    is_remote: bool,
    of: &'a mut FanOut,
}

impl Member<'_> {
    /// The member got the message that was due.
    fn got(&mut self) -> Result<(), Fault> {
        let due = &mut self.of.due[self.index];
        let publication = usize::try_from(*due - self.of.oldest)
            .ok()
            .and_then(|at| self.of.under_way.get_mut(at))
            .ok_or("a message that was not published yet")?;
        publication.missing -= 1;
        *due += 1;
        let latency = self.now.saturating_duration_since(publication.sent);
        (self.of.window).delivered(self.now, latency, self.is_remote);
        Ok(())
    }
}

impl Answers for Member<'_> {
    fn exact(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(due) = self.of.due.get(self.index) else {
            return Ok(0);
        };
        let count = self.of.stream.matching(*due, bytes);
        for _ in 0..count {
            self.got()?;
        }
        Ok(count * self.of.stream.frame_length())
    }

    fn message(&mut self, text: &[u8]) -> Result<(), Fault> {
        let number = self.of.news.number(text)?;
        let wanted = *self
            .of
            .due
            .get(self.index)
            .ok_or("the publisher got a message")?;
        if number != wanted {
            let index = self.index;
            return Err(format!("member {index} got {number}, {wanted} was due").into());
        }
        self.got()
    }
}
