//! The thread of the bus: takes commands, follows the rooms of the shards, and keeps the connection.
//!
//! It waits for no client and for no owner. It waits for a shard only as the owner does, when the shard's mailbox is full.

use std::{
    collections::HashSet, future::pending, mem, pin::pin, sync::Arc, sync::atomic::Ordering,
    time::Duration,
};

use tokio::{
    sync::mpsc::{channel, unbounded_channel},
    time::{Instant, sleep_until},
};

use crate::{
    border::{
        codes::members,
        command::Command,
        event::Event,
        mailbox::{Mail, StopMode},
        owner::OwnerNumber,
        reader::Commands,
        writer::CommandWriter,
    },
    bus::{
        backoff::backoff,
        books::{self, Fate},
        channels::Channel,
        control,
        flushes::Flushes,
        incoming::{Incoming, Outcome},
        lanes::Lanes,
        link::{Ask, Failure, Line, Link, REPORTS, Report},
        names::Names,
        notices::{self, Outage, Trouble, Troubles},
        numbers::{Ids, Numbers},
        orders::Rest,
        outgoing::Outgoing,
        parts::{Hands, Parts},
        queue::Queue,
        seen::Seen,
        subscriptions::{Change, Subscriptions},
        talk::Talk,
        thinning::Thinning,
    },
    config::bus::Transport,
    rooms::{RoomName, changes::Mark},
};

/// Commands for the shards are handed over when they have so many bytes.
const HAND_OVER: usize = 64 * 1024;
/// How long the other processes have to come back after an outage, before what waited leaves.
const SETTLING: Duration = Duration::from_millis(500);
/// A connection that held so long ends the series of attempts.
const STABLE: Duration = Duration::from_secs(5);
/// How long the bus may take to confirm one more subscription of a new connection.
const CONFIRMING: Duration = Duration::from_secs(10);
/// How often the owner hears of troubles.
const TOLD: Duration = Duration::from_secs(1);
/// How often old rows are freed.
const TIDY: Duration = Duration::from_secs(10);
/// Past so much more time than planned between two turns, the process was suspended. Others are forgotten after five seconds at least.
const PAUSE: Duration = Duration::from_secs(2);
/// How long what waits may still leave when the server stops.
const PARTING: Duration = Duration::from_secs(2);

/// Where the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none until then.
    Away(Instant),
    /// An attempt is under way.
    Connecting,
    /// The bus has not confirmed all subscriptions up to this place. Later ones keep nothing waiting, as rooms come all the time.
    Subscribing(u64),
    /// Publications may leave from then on.
    Settling(Instant),
    /// Publications leave.
    Open,
}

/// The state of the thread.
pub(crate) struct Bus {
    parts: Parts,
    names: Names,
    outgoing: Outgoing,
    incoming: Incoming,
    queue: Queue,
    subscriptions: Subscriptions,
    /// The lanes that nobody serves.
    away: Lanes,
    state: State,
    link: Option<Link>,
    attempts: u32,
    since: Instant,
    /// When the bus has confirmed a subscription, or a connection was made.
    confirmed: Instant,
    has_been_connected: bool,
    outage: Outage,
    troubles: Troubles,
    told: Instant,
    tidied: Instant,
    /// When the thread ends at the latest.
    ending: Option<Instant>,
    deliveries: CommandWriter,
    flushes: Flushes,
    talk: Talk,
    thinning: Thinning,
}

/// Runs until the server stops.
pub(crate) async fn run(parts: Parts) {
    let mut bus = Bus::new(parts);
    bus.work().await;
    bus.queue.drop_all();
    bus.answer_flushes();
    bus.parts.books.connected.store(false, Ordering::Relaxed);
    let ended = notices::ended();
    bus.parts.tell_all(&ended, &ended);
}

impl Bus {
    fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let names = Names::new(parts.routes.clone());
        let mut subscriptions = match parts.config.transport {
            #[cfg(feature = "redis")]
            Transport::Redis(_) => Subscriptions::default(),
            #[cfg(feature = "nats")]
            Transport::Nats(_) => Subscriptions::new(crate::bus::nats::MOST_EMPTY),
        };
        for channel in [Channel::Everybody, Channel::Process(parts.process)] {
            subscriptions.open(channel, None);
        }
        let process = parts.process;
        Self {
            incoming: Incoming {
                process,
                delivers: names.has_outgoing(),
                seen: Seen::default(),
            },
            names,
            outgoing: Outgoing {
                process,
                numbers: Numbers::default(),
                ids: Ids::default(),
                except: Vec::new(),
            },
            queue: Queue::new(parts.books.clone(), parts.config.prefix.clone()),
            away: Lanes::default(),
            subscriptions,
            state: State::Away(now),
            link: None,
            attempts: 0,
            since: now,
            confirmed: now,
            has_been_connected: false,
            outage: Outage::default(),
            troubles: Troubles::default(),
            told: now,
            tidied: now,
            ending: None,
            deliveries: CommandWriter::new(),
            flushes: Flushes::default(),
            talk: Talk::new(!parts.config.is_publisher, now),
            thinning: Thinning::default(),
            parts,
        }
    }

    async fn work(&mut self) {
        let mailbox = self.parts.mailbox.clone();
        let changes = self.parts.changes.clone();
        let mut mail = Vec::new();
        let mut reports = Vec::new();
        let mut planned: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if planned.is_some_and(|at| at + PAUSE <= now) {
                self.resumed(now);
            }
            self.advance(now);
            if self.is_over(now) {
                return;
            }
            let mut link = self.link.take();
            let came = async {
                match &mut link {
                    Some(link) => link.reports.recv_many(&mut reports, REPORTS).await,
                    None => pending().await,
                }
            };
            planned = self.next_look();
            let look = async {
                match planned {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            let mut has_ended = false;
            tokio::select! {
                () = mailbox.take(&mut mail) => {}
                (rooms, marks) = changes.take() => {
                    self.link = link;
                    self.follow_changes((rooms, marks), now);
                    continue;
                }
                count = came => has_ended = count == 0,
                () = look => {}
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
            if has_ended {
                // It panicked, and so reported nothing.
                self.lost(&Failure::away("the connection broke"), Instant::now());
            }
            self.deliver();
        }
    }

    /// When there is something to do if nothing comes before.
    fn next_look(&self) -> Option<Instant> {
        let state = match self.state {
            State::Away(until) | State::Settling(until) => Some(until),
            State::Subscribing(_) => Some(self.confirmed + CONFIRMING),
            _ => None,
        };
        let troubles = (!self.troubles.is_empty()).then(|| self.told + TOLD);
        let keeps = !(self.outgoing.numbers.is_empty()
            && self.incoming.seen.is_empty()
            && self.talk.questions.is_empty());
        let tidy = keeps.then(|| self.tidied + TIDY);
        let (queue, subscriptions) = (self.queue.due(), self.subscriptions.due());
        let talk = self.talk.due(Instant::now());
        let all = [
            state,
            queue,
            subscriptions,
            troubles,
            tidy,
            talk,
            self.thinning.due(),
            self.ending,
        ];
        all.into_iter().flatten().min()
    }

    /// Does all that time brings.
    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Away(until) if until <= now => self.connect(),
            State::Settling(until) if until <= now => self.state = State::Open,
            State::Subscribing(last) if self.subscriptions.are_asked(last) => {
                self.connected(now);
            }
            State::Subscribing(_) if now.duration_since(self.confirmed) >= CONFIRMING => {
                let seconds = CONFIRMING.as_secs();
                let text = format_args!("it has not confirmed our channels for {seconds} s");
                self.lost(&Failure::away(text), now);
            }
            _ => {}
        }
        self.queue.expire(now);
        while let Some(closed) = self.subscriptions.expire(now) {
            self.incoming.seen.left(closed);
        }
        self.subscribe();
        if self.is_connected() {
            while let Some((owner, number)) = self.subscriptions.ready() {
                let owner = OwnerNumber::of(owner);
                if owner == OwnerNumber::NOBODY {
                    self.with_hands(|talk, hands| talk.orders.answer(number, hands));
                } else {
                    let value = &notices::done(number);
                    self.parts.tell(owner, &Event::Bus { value });
                }
            }
        }
        let is_away = self.outage.is_told() && !self.reaches_all();
        self.with_hands(|talk, hands| talk.advance(is_away, hands));
        if self.state == State::Open
            && let Some(link) = &self.link
        {
            while let Some(waiting) = self.queue.take(now) {
                // A connection that has just ended reports that.
                let _ = link.asks.send(Ask::Publish(waiting));
            }
        }
        self.answer_flushes();
        if now.duration_since(self.told) >= TOLD {
            self.told = now;
            for trouble in self.troubles.take() {
                self.parts.tell_first(&trouble);
            }
        }
        if now.duration_since(self.tidied) >= TIDY {
            self.tidied = now;
            self.outgoing.numbers.tidy(now);
            // While nothing can come, nothing gets old.
            if self.is_connected() && self.away.is_empty() {
                self.incoming.seen.tidy(now);
            }
            self.with_hands(|talk, hands| talk.questions.tidy(hands));
        }
        let rooms = self.subscriptions.rooms();
        self.parts
            .books
            .rooms
            .store(rooms as u64, Ordering::Relaxed);
        if self.thinning.count(rooms, now)
            && let Some(owner) = self.parts.owners.all().first()
        {
            owner.bell.thinned();
        }
    }

    /// The process was suspended. What the others have said meanwhile may still be on its way, so none of them is forgotten for that.
    fn resumed(&mut self, now: Instant) {
        self.incoming.seen.returned(now);
        if self.reaches_all() {
            self.find_others(now);
        }
    }

    /// Whether the bus reads our channels to us.
    fn is_connected(&self) -> bool {
        matches!(self.state, State::Open | State::Settling(_))
    }

    /// Whether the channel for everybody is served.
    fn reaches_all(&self) -> bool {
        self.is_connected() && !self.is_for_all(&self.away)
    }

    fn is_over(&self, now: Instant) -> bool {
        // Somebody who publishes and goes may not be connected yet.
        let is_away = self.outage.is_told() && !self.is_connected();
        (self.ending).is_some_and(|by| self.queue.is_empty() || is_away || by <= now)
    }

    // The connection.

    fn connect(&mut self) {
        // Holds what the queue and the subscriptions let be under way.
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
            #[cfg(feature = "nats")]
            Transport::Nats(places) => {
                let own = Channel::Process(self.parts.process);
                tokio::spawn(async move {
                    pin!(crate::bus::nats::run(&places, &prefix, own, line)).await;
                });
            }
        }
    }

    /// The bus has confirmed all subscriptions.
    fn connected(&mut self, now: Instant) {
        self.since = now;
        self.incoming.seen.returned(now);
        // Nobody has to come back where nothing was away.
        self.state = if self.outage.is_told() {
            State::Settling(now + SETTLING)
        } else {
            State::Open
        };
        if self.reaches_all() {
            self.find_others(now);
        }
        if self.away.is_empty() {
            self.complete();
        }
    }

    /// Asks who else is there, as nobody could be heard for a time.
    fn find_others(&mut self, now: Instant) {
        let from = match self.state {
            State::Settling(until) => until,
            _ => now,
        };
        self.with_hands(|talk, hands| talk.processes.connected(from, hands));
    }

    /// The bus serves everything.
    fn complete(&mut self) {
        let books = &self.parts.books;
        books.connected.store(true, Ordering::Relaxed);
        if mem::replace(&mut self.has_been_connected, true) {
            books::add(&books.reconnects, 1);
        }
        let news = self.outage.over(&self.place());
        self.parts.tell_all(&news, &notices::connected());
    }

    fn lost(&mut self, failure: &Failure, now: Instant) {
        self.link = None;
        self.parts.books.connected.store(false, Ordering::Relaxed);
        self.queue.lost();
        self.subscriptions.lost();
        self.talk.processes.lost();
        self.away = Lanes::default();
        if self.is_connected() && now.duration_since(self.since) >= STABLE {
            self.attempts = 0;
        }
        self.state = State::Away(now + backoff(self.attempts));
        self.attempts += 1;
        self.tell_lost(failure);
    }

    fn tell_lost(&mut self, failure: &Failure) {
        let why = self.outage.lost(&self.place(), failure);
        if let Some(why) = why {
            self.parts.books.is_away(&why);
            self.parts.tell_first(&notices::away(&why));
        }
    }

    // Lanes, where the bus has several.

    /// Nobody serves these lanes.
    fn lanes_away(&mut self, lanes: &Lanes, failure: &Failure) {
        self.queue.hold(lanes);
        self.away.add(lanes);
        if self.is_for_all(lanes) {
            // The announcements of the others travel there.
            self.talk.processes.lost();
        }
        self.parts.books.connected.store(false, Ordering::Relaxed);
        for channel in self.channels_in(lanes) {
            self.subscriptions.unserved(channel);
        }
        self.tell_lost(failure);
    }

    /// Lanes are served, and by others if they have moved.
    fn lanes_found(&mut self, lanes: &Lanes, have_moved: bool) {
        for channel in self.channels_in(lanes) {
            if have_moved || !self.subscriptions.is_confirmed(channel) {
                self.subscriptions.ask_again(channel);
            }
        }
    }

    fn lanes_open(&mut self, lanes: &Lanes) {
        self.queue.open(lanes);
        if self.away.is_empty() {
            return;
        }
        let reached_all = self.reaches_all();
        self.away.remove(lanes);
        if !self.is_connected() {
            return;
        }
        let now = Instant::now();
        if !reached_all && self.reaches_all() {
            self.find_others(now);
        }
        if self.away.is_empty() {
            self.incoming.seen.returned(now);
            self.complete();
        }
    }

    /// Whether the channel for everybody travels on one of these lanes.
    fn is_for_all(&self, lanes: &Lanes) -> bool {
        lanes.carry(Channel::Everybody, &self.parts.config.prefix)
    }

    fn channels_in(&self, lanes: &Lanes) -> Vec<Channel> {
        let prefix = &self.parts.config.prefix;
        let all = self.subscriptions.all();
        all.filter(|channel| lanes.carry(*channel, prefix))
            .collect()
    }

    fn place(&self) -> String {
        self.parts.config.transport.to_string()
    }

    // Rooms.

    fn follow_changes(&mut self, (rooms, marks): (HashSet<RoomName>, Vec<Mark>), now: Instant) {
        for name in rooms {
            self.follow(&name);
        }
        for mark in marks {
            self.subscriptions.wait(mark, now);
        }
    }

    /// Reads a room with members, and lets go of one without.
    fn follow(&mut self, name: &Arc<[u8]>) {
        let channel = Channel::of_room(name);
        if self.parts.directory.has(name) {
            self.subscriptions.open(channel, Some(name));
        } else if let Some(closed) = self.subscriptions.emptied(channel, Instant::now()) {
            self.incoming.seen.left(closed);
        }
    }

    /// Asks the connection for what it may be asked for now.
    fn subscribe(&mut self) {
        let Some(link) = &self.link else {
            return;
        };
        while let Some(change) = self.subscriptions.next() {
            // A connection that has just ended reports that.
            let _ = link.asks.send(match change {
                Change::Subscribe(channel) => Ask::Subscribe(channel),
                Change::Unsubscribe(channel) => Ask::Unsubscribe(channel),
            });
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
                if self.ending.is_none() {
                    self.with_hands(|talk, hands| talk.processes.end(hands));
                }
                (self.ending).get_or_insert_with(|| Instant::now() + PARTING);
                return Some(mode);
            }
            Mail::Order(order) => {
                self.with_hands(|talk, hands| {
                    talk.orders.give(&order, &talk.processes, hands);
                });
            }
            Mail::Obeyed(key, outcome) => {
                let rest = self.with_hands(|talk, hands| talk.orders.obeyed(key, outcome, hands));
                if rest == Rest::Confirm {
                    // The shards have noted the rooms before.
                    let now = Instant::now();
                    self.follow_changes(self.parts.changes.take_now(), now);
                    self.subscriptions
                        .wait((OwnerNumber::NOBODY.raw(), key), now);
                }
            }
            Mail::Counted {
                question,
                size,
                ids,
            } => self.with_hands(|talk, hands| talk.answers.counted(question, size, ids, hands)),
            // Nobody sends these here.
            _ => {}
        }
        None
    }

    fn publish(&mut self, owner: OwnerNumber, commands: &[u8]) {
        let Self {
            parts,
            names,
            outgoing,
            queue,
            state,
            outage,
            troubles,
            flushes,
            talk,
            ..
        } = self;
        let now = Instant::now();
        // In an outage, the owner has heard that much will be dropped.
        let is_there = *state == State::Open && !outage.is_told();
        for command in Commands::new(commands) {
            match command {
                Command::Route(number, kind, name) => {
                    names.add(number, kind, name);
                    continue;
                }
                Command::Members {
                    question,
                    asks,
                    room,
                } => {
                    let hands = Hands { parts, queue, now };
                    talk.questions.ask((owner, question), asks, room, &hands);
                    continue;
                }
                Command::MoreMembers { question, shard } if shard == members::BUS => {
                    let hands = Hands { parts, queue, now };
                    talk.questions.more(owner, question, &hands);
                    continue;
                }
                Command::Flush(number) => {
                    flushes.wait(owner, number, queue);
                    continue;
                }
                _ => {}
            }
            let name = |route| names.of(route);
            outgoing.each(&command, now, name, |channel, bytes| {
                parts.books.publish();
                let size = bytes.len();
                if size > parts.config.max_message {
                    parts.books.end(Fate::Dropped, 1);
                    troubles.note(Trouble::TooLong, format!("has {size} bytes"));
                } else if !queue.push(channel, bytes, now) && is_there {
                    troubles.note(Trouble::NoRoom, format!("has {size} bytes"));
                }
            });
        }
    }

    // In.

    fn hear(&mut self, report: Report) {
        match report {
            Report::Connected => {
                self.state = State::Subscribing(self.subscriptions.last());
                self.confirmed = Instant::now();
                self.subscriptions.connected();
            }
            Report::Away(lanes, failure) => self.lanes_away(&lanes, &failure),
            Report::Hold(lanes) => self.queue.hold(&lanes),
            Report::Moved(lanes) => self.lanes_found(&lanes, true),
            Report::Found(lanes) => self.lanes_found(&lanes, false),
            Report::Open(lanes) => self.lanes_open(&lanes),
            Report::NotTaken(waiting) => self.queue.put_back(waiting),
            Report::Unsubscribed(channel) => self.subscriptions.ask_again(channel),
            Report::Unserved(channel) => self.subscriptions.unserved(channel),
            Report::Answered(ticket, fate) => {
                self.queue.answered(ticket, fate);
            }
            Report::Refused(ticket, why) => {
                if self.queue.answered(ticket, Fate::Dropped) {
                    self.troubles.note(Trouble::Refused, why);
                }
            }
            Report::Subscribed(channel) => {
                self.confirmed = Instant::now();
                self.subscriptions.confirmed(channel);
            }
            Report::Received(channel, bytes) => self.receive(channel, &bytes),
            Report::Foreign => self.malformed("its channel is not one of ours".to_owned()),
            Report::Discarded(count) => {
                let why = "as they come faster than this process takes them".to_owned();
                (self.troubles).note_many(Trouble::Discarded, count, why);
            }
            Report::Lost(failure) => self.lost(&failure, Instant::now()),
        }
    }

    fn receive(&mut self, channel: Channel, bytes: &[u8]) {
        if control::is_control(bytes) {
            let heard = self.with_hands(|talk, hands| talk.hear(channel, bytes, hands));
            if let Err(malformed) = heard {
                self.malformed(malformed.to_string());
            }
            return;
        }
        let outcome = self.incoming.take(
            (channel, bytes),
            &self.subscriptions,
            Instant::now(),
            |name| self.names.number_of(name),
            &mut self.deliveries,
        );
        let books = &self.parts.books;
        match outcome {
            Outcome::Taken { missed } => {
                books::add(&books.received, 1);
                books::add(&books.missed, missed);
            }
            Outcome::Ignored { missed } => books::add(&books.missed, missed),
            Outcome::Malformed { why, missed } => {
                books::add(&books.missed, missed);
                self.malformed(why);
            }
        }
        if self.deliveries.bytes().len() >= HAND_OVER {
            self.deliver();
        }
    }

    fn malformed(&mut self, why: String) {
        books::add(&self.parts.books.malformed, 1);
        self.troubles.note(Trouble::Malformed, why);
    }

    /// Lets the processes talk.
    fn with_hands<T>(&mut self, act: impl FnOnce(&mut Talk, &mut Hands<'_>) -> T) -> T {
        let mut hands = Hands {
            parts: &self.parts,
            queue: &mut self.queue,
            now: Instant::now(),
        };
        act(&mut self.talk, &mut hands)
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

    /// Answers those whose publications have their answers.
    fn answer_flushes(&mut self) {
        while let Some(it) = self.flushes.next(&self.queue, &self.parts.books) {
            let value = &notices::flushed(it.number, it.failed);
            self.parts.tell(it.owner, &Event::Bus { value });
        }
    }
}
