//! The thread of the bus: takes commands, follows the rooms of the shards, and keeps the connection.
//!
//! It waits for no client and for no owner. It waits for a shard only as the owner does, when the shard's mailbox is full.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    pin::pin,
    sync::Arc,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::{
    sync::mpsc::{channel, unbounded_channel},
    time::{Instant, sleep_until},
};

use crate::{
    border::{
        buffers::Buffers,
        command::{Command, Commands},
        event::Event,
        handle::Process,
        mailbox::{Mail, Mailbox, StopMode},
        owner::{OwnerNumber, Owners},
        writer::CommandWriter,
    },
    bus::{
        books::{self, Books, Fate},
        channels::Channel,
        incoming::{Incoming, Outcome},
        link::{Ask, Failure, Line, Link, REPORTS, Report},
        notices::{self, Outage, Trouble, Troubles},
        numbers::{self, Numbers},
        outgoing::Outgoing,
        queue::{Queue, Ticket},
        seen::Seen,
        subscriptions::{Change, Subscriptions},
    },
    config::bus::{BusConfig, Transport},
    message::{protocol::Kind, routes::Routes},
    rooms::{changes::RoomChanges, directory::RoomDirectory},
};

/// Commands for the shards are handed over when they have so many bytes.
const HAND_OVER: usize = 64 * 1024;
/// How long the other processes have to come back after an outage, before what waited leaves.
const SETTLING: Duration = Duration::from_millis(500);
/// The shortest and the longest time between two attempts to connect.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// A connection that held so long ends the series of attempts.
const STABLE: Duration = Duration::from_secs(5);
/// How often something is looked at: while publications wait, and otherwise.
const TICKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How often old rows are freed.
const TIDY: Duration = Duration::from_secs(10);
/// How long what waits may still leave when the server stops.
const PARTING: Duration = Duration::from_secs(2);

/// What the thread shares with others.
pub(crate) struct Parts {
    pub(crate) config: BusConfig,
    pub(crate) process: Process,
    /// Commands of the owner, as the shards get them.
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) changes: Arc<RoomChanges>,
    pub(crate) books: Arc<Books>,
    pub(crate) directory: Arc<RoomDirectory>,
    pub(crate) shards: Vec<Arc<Mailbox>>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) routes: Arc<Routes>,
    /// Those who hear of it.
    pub(crate) owners: Arc<Owners>,
}

/// Where the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none until then.
    Away(Instant),
    /// An attempt is under way.
    Connecting,
    /// The bus has not confirmed all subscriptions.
    Subscribing,
    /// Publications may leave from then on.
    Settling(Instant),
    /// Publications leave.
    Open,
}

/// The state of the thread.
pub(crate) struct Bus {
    parts: Parts,
    /// The numbers of the outgoing routes.
    numbers: HashMap<String, u32>,
    outgoing: Outgoing,
    incoming: Incoming,
    queue: Queue,
    subscriptions: Subscriptions,
    state: State,
    link: Option<Link>,
    attempts: u32,
    since: Instant,
    has_been_connected: bool,
    outage: Outage,
    troubles: Troubles,
    told: Instant,
    tidied: Instant,
    /// When the thread ends at the latest.
    ending: Option<Instant>,
    deliveries: CommandWriter,
    /// Numbers of routes that are not in the table.
    routes: HashMap<u32, String>,
    flushes: Flushes,
}

/// Those who wait until the bus has what was published.
#[derive(Default)]
struct Flushes {
    /// Who waits, and for which publications: all up to this one.
    waiting: VecDeque<(OwnerNumber, u32, Ticket)>,
    /// How many publications had failed when the last one was answered.
    failed: u64,
}

/// Runs until the server stops.
pub(crate) async fn run(parts: Parts) {
    let mut bus = Bus::new(parts);
    bus.work().await;
    bus.queue.drop_all();
    bus.answer_flushes();
    bus.parts.books.connected.store(false, Ordering::Relaxed);
    let ended = notices::ended();
    bus.tell_all(&ended, &ended);
}

impl Bus {
    fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let numbers = parts.routes.outgoing_names();
        let numbers = (0..)
            .zip(numbers)
            .map(|(number, name)| (name.clone(), number));
        let mut subscriptions = Subscriptions::default();
        for channel in [Channel::Everybody, Channel::Process(parts.process)] {
            subscriptions.open(channel, None);
        }
        let process = parts.process;
        Self {
            numbers: numbers.collect(),
            outgoing: Outgoing {
                process,
                numbers: Numbers::default(),
                except: Vec::new(),
            },
            incoming: Incoming {
                process,
                seen: Seen::default(),
            },
            queue: Queue::new(parts.books.clone()),
            subscriptions,
            state: State::Away(now),
            link: None,
            attempts: 0,
            since: now,
            has_been_connected: false,
            outage: Outage::default(),
            troubles: Troubles::default(),
            told: now,
            tidied: now,
            ending: None,
            deliveries: CommandWriter::new(),
            routes: HashMap::new(),
            flushes: Flushes::default(),
            parts,
        }
    }

    async fn work(&mut self) {
        let mailbox = self.parts.mailbox.clone();
        let changes = self.parts.changes.clone();
        let mut mail = Vec::new();
        let mut reports = Vec::new();
        loop {
            let now = Instant::now();
            self.advance(now);
            if self.is_over(now) {
                return;
            }
            let mut link = self.link.take();
            let came = async {
                match &mut link {
                    Some(link) => link.reports.recv_many(&mut reports, REPORTS).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = mailbox.take(&mut mail) => {}
                (rooms, marks) = changes.take() => {
                    self.link = link;
                    for name in rooms {
                        self.follow(&name);
                    }
                    for mark in marks {
                        self.subscriptions.wait(mark);
                    }
                    continue;
                }
                _ = came => {}
                () = sleep_until(self.next_look(now)) => {}
            }
            self.link = link;
            for mail in mail.drain(..) {
                if let Some(StopMode::Terminate) = self.read(mail) {
                    return;
                }
            }
            for report in reports.drain(..) {
                self.hear(report);
            }
            self.deliver();
        }
    }

    /// When to look at the time again.
    fn next_look(&self, now: Instant) -> Instant {
        let tick = now + TICKS[usize::from(self.queue.is_empty() && self.ending.is_none())];
        match self.state {
            State::Away(until) | State::Settling(until) => tick.min(until),
            _ => tick,
        }
    }

    /// Does all that time brings.
    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Away(until) if until <= now => self.connect(),
            State::Settling(until) if until <= now => self.state = State::Open,
            State::Subscribing if self.subscriptions.are_confirmed() => self.connected(now),
            _ => {}
        }
        self.queue.expire(now);
        while let Some(change) = self.subscriptions.expire(now) {
            self.change(change);
        }
        if self.state == State::Open || matches!(self.state, State::Settling(_)) {
            while let Some((owner, number)) = self.subscriptions.ready() {
                self.tell_one(owner, &notices::done(number));
            }
        }
        if self.state == State::Open
            && let Some(link) = &self.link
        {
            while let Some(waiting) = self.queue.take(now) {
                // A connection that has just ended reports that.
                let _ = link.asks.send(Ask::Publish(waiting));
            }
        }
        self.answer_flushes();
        if now.duration_since(self.told) >= TICKS[1] {
            self.told = now;
            for trouble in self.troubles.take() {
                self.tell(&trouble);
            }
        }
        if now.duration_since(self.tidied) >= TIDY {
            self.tidied = now;
            self.outgoing.numbers.tidy(now);
            self.incoming.seen.tidy(now);
        }
        let rooms = self.subscriptions.rooms() as u64;
        self.parts.books.rooms.store(rooms, Ordering::Relaxed);
    }

    fn is_over(&self, now: Instant) -> bool {
        let is_away = matches!(self.state, State::Away(_) | State::Connecting);
        (self.ending).is_some_and(|by| self.queue.is_empty() || is_away || by <= now)
    }

    // The connection.

    fn connect(&mut self) {
        let (asks, asked) = unbounded_channel();
        let (reporting, reports) = channel(REPORTS);
        let line = Line {
            asks: asked,
            reports: reporting,
        };
        self.link = Some(Link { asks, reports });
        self.state = State::Connecting;
        let prefix = self.parts.config.prefix.clone();
        match self.parts.config.transport.clone() {
            #[cfg(feature = "redis")]
            Transport::Redis(redis) => {
                tokio::spawn(async move {
                    pin!(crate::bus::redis::run(&redis, &prefix, line)).await;
                });
            }
        }
    }

    /// The bus has confirmed all subscriptions.
    fn connected(&mut self, now: Instant) {
        let books = &self.parts.books;
        books.connected.store(true, Ordering::Relaxed);
        if mem::replace(&mut self.has_been_connected, true) {
            books::add(&books.reconnects, 1);
        }
        self.since = now;
        // Nobody has to come back where nothing was away.
        self.state = if self.outage.is_told() {
            State::Settling(now + SETTLING)
        } else {
            State::Open
        };
        let news = self.outage.over(&self.place());
        self.tell_all(&news, &notices::connected());
    }

    fn lost(&mut self, failure: &Failure, now: Instant) {
        self.link = None;
        self.parts.books.connected.store(false, Ordering::Relaxed);
        self.queue.lost();
        self.subscriptions.lost();
        let was_open = matches!(self.state, State::Open | State::Settling(_));
        if was_open && now.duration_since(self.since) >= STABLE {
            self.attempts = 0;
        }
        self.state = State::Away(now + backoff(self.attempts));
        self.attempts += 1;
        let news = self.outage.lost(&self.place(), failure);
        if let Some(news) = news {
            self.tell(&news);
        }
    }

    fn place(&self) -> String {
        self.parts.config.transport.to_string()
    }

    // Rooms.

    /// Reads a room with members, and lets go of one without.
    fn follow(&mut self, name: &Arc<[u8]>) {
        let channel = Channel::of_room(name);
        let change = if self.parts.directory.has(name) {
            self.subscriptions.open(channel, Some(name))
        } else {
            self.subscriptions.emptied(channel, Instant::now())
        };
        if let Some(change) = change {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        if let Change::Unsubscribe(channel) = change {
            self.incoming.seen.left(channel);
        }
        // A connection that comes later asks for all.
        if matches!(self.state, State::Away(_) | State::Connecting) {
            return;
        }
        self.ask(match change {
            Change::Subscribe(channel) => Ask::Subscribe(channel),
            Change::Unsubscribe(channel) => Ask::Unsubscribe(channel),
        });
    }

    fn ask(&self, ask: Ask) {
        if let Some(link) = &self.link {
            // A connection that has just ended reports that.
            let _ = link.asks.send(ask);
        }
    }

    // Out.

    /// Reads mail; returns how the server stops, if it does.
    fn read(&mut self, mail: Mail) -> Option<StopMode> {
        match mail {
            Mail::Commands(owner, commands) => {
                self.publish(owner, &commands);
                self.parts.buffers.give_back(commands);
            }
            Mail::Stop(mode) => {
                (self.ending).get_or_insert_with(|| Instant::now() + PARTING);
                return Some(mode);
            }
            // Nobody sends these here.
            _ => {}
        }
        None
    }

    fn publish(&mut self, owner: OwnerNumber, commands: &[u8]) {
        let Self {
            parts,
            outgoing,
            queue,
            troubles,
            routes,
            flushes,
            ..
        } = self;
        let now = Instant::now();
        for command in Commands::new(commands) {
            match command {
                Command::Route(number, name) => {
                    routes.insert(number, String::from_utf8_lossy(name).into_owned());
                    continue;
                }
                Command::Flush(number) => {
                    (flushes.waiting).push_back((owner, number, queue.last()));
                    continue;
                }
                _ => {}
            }
            let name = |route: u32| {
                let known = parts.routes.outgoing_names().get(route as usize);
                let kind = known.map_or(Kind::Json, |_| parts.routes.outgoing_kind(route));
                let name = known.or_else(|| routes.get(&route)).cloned();
                name.map(|name| (name, kind))
            };
            outgoing.each(&command, now, name, |channel, bytes| {
                parts.books.publish();
                if bytes.len() > parts.config.max_message {
                    parts.books.end(Fate::Dropped, 1);
                    troubles.note(Trouble::TooLong, format!("has {} bytes", bytes.len()));
                } else {
                    queue.push(channel, bytes, now);
                }
            });
        }
    }

    // In.

    fn hear(&mut self, report: Report) {
        match report {
            Report::Connected => {
                self.state = State::Subscribing;
                for channel in self.subscriptions.all().collect::<Vec<_>>() {
                    self.ask(Ask::Subscribe(channel));
                }
            }
            Report::Answered(ticket, fate) => self.queue.answered(ticket, fate),
            Report::Refused(ticket, why) => {
                self.queue.answered(ticket, Fate::Dropped);
                self.troubles.note(Trouble::Refused, why);
            }
            Report::Subscribed(channel) => self.subscriptions.confirmed(channel),
            Report::Received(channel, bytes) => self.receive(channel, &bytes),
            Report::Foreign => self.malformed("its channel is not one of ours".to_owned()),
            Report::Lost(failure) => self.lost(&failure, Instant::now()),
        }
    }

    fn receive(&mut self, channel: Channel, bytes: &[u8]) {
        let routes = &self.parts.routes;
        let number_of = |name: &str| {
            let number = self.numbers.get(name).copied();
            number.map(|number| (number, routes.outgoing_kind(number)))
        };
        let outcome = self.incoming.take(
            (channel, bytes),
            &self.subscriptions,
            Instant::now(),
            number_of,
            &mut self.deliveries,
        );
        let books = &self.parts.books;
        match outcome {
            Outcome::Taken { missed } => {
                books::add(&books.received, 1);
                books::add(&books.missed, missed);
            }
            Outcome::Ignored { missed } => books::add(&books.missed, missed),
            Outcome::Malformed(why) => self.malformed(why),
        }
        if self.deliveries.bytes().len() >= HAND_OVER {
            self.deliver();
        }
    }

    fn malformed(&mut self, why: String) {
        books::add(&self.parts.books.malformed, 1);
        self.troubles.note(Trouble::Malformed, why);
    }

    /// Hands over what came, as if the owner had sent it.
    fn deliver(&mut self) {
        if self.deliveries.bytes().is_empty() {
            return;
        }
        let mut buffer = self.parts.buffers.get();
        buffer.extend_from_slice(self.deliveries.bytes());
        self.deliveries.clear();
        let commands = Arc::new(buffer);
        for mailbox in &self.parts.shards {
            mailbox.commands(OwnerNumber::NOBODY, commands.clone());
        }
    }

    /// Tells the oldest owner, who hears of what concerns the process.
    fn tell(&self, value: &str) {
        if let Some(owner) = self.parts.owners.all().first() {
            notices::tell(owner, &Event::Bus { value });
        }
    }

    /// Tells one owner, by its number.
    fn tell_one(&self, owner: u8, value: &str) {
        let owners = self.parts.owners.all();
        if let Some(owner) = owners.iter().find(|it| it.number.raw() == owner) {
            notices::tell(owner, &Event::Bus { value });
        }
    }

    /// Answers those whose publications have their answers.
    fn answer_flushes(&mut self) {
        while let Some((owner, number, last)) = self.flushes.waiting.front().copied() {
            if !self.queue.is_settled(last) {
                return;
            }
            self.flushes.waiting.pop_front();
            let failed = self.parts.books.failed();
            let since = failed - mem::replace(&mut self.flushes.failed, failed);
            self.tell_one(owner.raw(), &notices::flushed(number, since));
        }
    }

    /// Tells all owners. The others than the oldest do not report it.
    fn tell_all(&self, value: &str, quiet: &str) {
        for (index, owner) in self.parts.owners.all().iter().enumerate() {
            let value = if index == 0 { value } else { quiet };
            notices::tell(owner, &Event::Bus { value });
        }
    }
}

/// How long to wait before an attempt: twice as long each time, and up to half of it more or less.
fn backoff(attempts: u32) -> Duration {
    let [first, longest] = BACKOFF;
    let whole = first.saturating_mul(1 << attempts.min(8)).min(longest);
    let share = u32::try_from(numbers::random() % 1_001).unwrap_or_default();
    (whole / 2 + whole / 2_000 * share).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_more_and_more_rarely_and_not_in_step() {
        for attempts in 0..20 {
            let waits: Vec<_> = (0..50).map(|_| backoff(attempts)).collect();
            assert!(
                waits
                    .iter()
                    .all(|it| (BACKOFF[0]..=BACKOFF[1]).contains(it))
            );
            if attempts > 1 {
                assert!(waits.iter().any(|it| it != &waits[0]));
            }
        }
        assert!(backoff(10) >= BACKOFF[1] / 2);
    }
}
