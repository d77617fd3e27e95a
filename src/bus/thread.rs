//! The thread of the bus: takes commands, follows the rooms of the shards, and keeps the connection.
//!
//! It waits for no client and for no owner. It waits for a shard only as the owner does, when the shard's mailbox is full.

use std::{
    collections::HashSet, future::pending, mem, sync::Arc, sync::atomic::Ordering, time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    border::{
        codes::members,
        command::Command,
        event::Event,
        mailbox::{Mail, StopMode},
        owner::OwnerNumber,
        reader::Commands,
    },
    bus::{
        books::{self, Fate},
        channels::Channel,
        connection::{Connection, Step},
        control,
        flushes::Flushes,
        lanes::Lanes,
        link::{Ask, Failure, Report},
        messages::Messages,
        notices::{self, Outage, Trouble},
        orders::Rest,
        parts::{Hands, Parts},
        queue::Queue,
        subscriptions::{Change, Subscriptions},
        talk::Talk,
        thinning::Thinning,
    },
    config::bus::Transport,
    rooms::{RoomName, changes::Mark},
};

/// How often old rows are freed.
const TIDY: Duration = Duration::from_secs(10);
/// Past so much more time than planned between two turns, the process was suspended. Others are forgotten after five seconds at least.
const PAUSE: Duration = Duration::from_secs(2);
/// How long what waits may still leave when the server stops.
const PARTING: Duration = Duration::from_secs(2);

/// The state of the thread.
pub(crate) struct Bus {
    parts: Parts,
    messages: Messages,
    talk: Talk,
    queue: Queue,
    flushes: Flushes,
    subscriptions: Subscriptions,
    connection: Connection,
    has_been_connected: bool,
    outage: Outage,
    tidied: Instant,
    thinning: Thinning,
    /// When the thread ends at the latest.
    ending: Option<Instant>,
}

/// Runs until the server stops.
pub(crate) async fn run(parts: Parts) {
    let mut bus = Bus::new(parts);
    bus.work().await;
    bus.queue.drop_all();
    bus.answer_flushes();
    bus.parts.books.set_connected(false);
    let ended = notices::ended();
    bus.parts.tell_all(&ended, &ended);
}

impl Bus {
    fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let mut subscriptions = match parts.config.transport {
            #[cfg(feature = "redis")]
            Transport::Redis(_) => Subscriptions::default(),
            #[cfg(feature = "nats")]
            Transport::Nats(_) => Subscriptions::new(crate::bus::nats::MOST_EMPTY),
        };
        for channel in [Channel::Everybody, Channel::Process(parts.process)] {
            subscriptions.open(channel, None);
        }
        Self {
            messages: Messages::new(&parts, now),
            talk: Talk::new(!parts.config.is_publisher, now),
            queue: Queue::new(parts.books.clone(), parts.config.prefix.clone()),
            flushes: Flushes::default(),
            subscriptions,
            connection: Connection::new(now),
            has_been_connected: false,
            outage: Outage::default(),
            tidied: now,
            thinning: Thinning::default(),
            ending: None,
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
                    self.follow_changes((rooms, marks), now);
                    continue;
                }
                count = self.connection.reports(&mut reports) => has_ended = count == 0,
                () = look => {}
            }
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
            self.messages.deliver(&self.parts);
        }
    }

    /// When there is something to do if nothing comes before.
    fn next_look(&self) -> Option<Instant> {
        let keeps = !(self.messages.is_tidy() && self.talk.questions.is_empty());
        let all = [
            self.connection.due(),
            self.queue.due(),
            self.subscriptions.due(),
            self.messages.troubles.due(),
            keeps.then(|| self.tidied + TIDY),
            self.talk.due(Instant::now()),
            self.thinning.due(),
            self.ending,
        ];
        all.into_iter().flatten().min()
    }

    /// Does all that time brings.
    fn advance(&mut self, now: Instant) {
        match self.connection.advance(&self.subscriptions, now) {
            Some(Step::Connect) => self.connection.connect(&self.parts),
            Some(Step::Connected) => self.connected(now),
            Some(Step::Lost(failure)) => self.lost(&failure, now),
            None => {}
        }
        self.queue.expire(now);
        while let Some(closed) = self.subscriptions.expire(now) {
            self.messages.left(closed);
        }
        self.subscribe();
        if self.connection.is_connected() {
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
        while self.connection.is_open()
            && let Some(waiting) = self.queue.take(now)
        {
            self.connection.ask(Ask::Publish(waiting));
        }
        self.answer_flushes();
        for trouble in self.messages.troubles.take(now) {
            self.parts.tell_first(&trouble);
        }
        if now.duration_since(self.tidied) >= TIDY {
            self.tidied = now;
            let hears_all = self.connection.is_connected() && self.connection.away.is_empty();
            self.messages.tidy(hears_all, now);
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
        self.messages.returned(now);
        if self.reaches_all() {
            self.find_others(now);
        }
    }

    /// Whether the channel for everybody is served.
    fn reaches_all(&self) -> bool {
        self.connection.is_connected() && !self.is_for_all(&self.connection.away)
    }

    fn is_over(&self, now: Instant) -> bool {
        // Somebody who publishes and goes may not be connected yet.
        let is_away = self.outage.is_told() && !self.connection.is_connected();
        (self.ending).is_some_and(|by| self.queue.is_empty() || is_away || by <= now)
    }

    // The connection.

    /// The bus has confirmed all subscriptions.
    fn connected(&mut self, now: Instant) {
        self.connection.connected(self.outage.is_told(), now);
        self.messages.returned(now);
        if self.reaches_all() {
            self.find_others(now);
        }
        if self.connection.away.is_empty() {
            self.complete();
        }
    }

    /// Asks who else is there, as nobody could be heard for a time.
    fn find_others(&mut self, now: Instant) {
        let from = self.connection.opens(now);
        self.with_hands(|talk, hands| talk.processes.connected(from, hands));
    }

    /// The bus serves everything.
    fn complete(&mut self) {
        let books = &self.parts.books;
        if mem::replace(&mut self.has_been_connected, true) {
            books::add(&books.reconnects, 1);
        }
        books.set_connected(true);
        let news = self.outage.over(&self.place());
        self.parts.tell_all(&news, &notices::connected());
    }

    fn lost(&mut self, failure: &Failure, now: Instant) {
        self.connection.lost(now);
        self.queue.lost();
        self.subscriptions.lost();
        self.talk.processes.lost();
        self.parts.books.set_connected(false);
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
        self.connection.away.add(lanes);
        if self.is_for_all(lanes) {
            // The announcements of the others travel there.
            self.talk.processes.lost();
        }
        self.parts.books.set_connected(false);
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
        if self.connection.away.is_empty() {
            return;
        }
        let reached_all = self.reaches_all();
        self.connection.away.remove(lanes);
        if !self.connection.is_connected() {
            return;
        }
        let now = Instant::now();
        if !reached_all && self.reaches_all() {
            self.find_others(now);
        }
        if self.connection.away.is_empty() {
            self.messages.returned(now);
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
            self.messages.left(closed);
        }
    }

    /// Asks the connection for what it may be asked for now.
    fn subscribe(&mut self) {
        while self.connection.has_link()
            && let Some(change) = self.subscriptions.next()
        {
            self.connection.ask(match change {
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

    /// Publishes what an owner sends to clients anywhere, and asks the other processes what it asks.
    fn publish(&mut self, owner: OwnerNumber, commands: &[u8]) {
        let now = Instant::now();
        let is_open = self.connection.is_open() && !self.outage.is_told();
        let mut hands = Hands {
            parts: &self.parts,
            queue: &mut self.queue,
            now,
        };
        for command in Commands::new(commands) {
            match command {
                Command::Route(number, kind, name) => self.messages.name(number, kind, name),
                Command::Members {
                    question,
                    asks,
                    room,
                } => (self.talk.questions).ask((owner, question), asks, room, &hands),
                Command::MoreMembers { question, shard } if shard == members::BUS => {
                    self.talk.questions.more(owner, question, &hands);
                }
                Command::Flush(number) => self.flushes.wait(owner, number, hands.queue),
                command => self.messages.publish(&command, is_open, &mut hands),
            }
        }
    }

    // In.

    fn hear(&mut self, report: Report) {
        match report {
            Report::Connected => {
                let last = self.subscriptions.last();
                self.connection.subscribe(last, Instant::now());
                self.subscriptions.connected();
            }
            Report::Away(lanes, failure) => {
                self.lanes_away(&lanes, &failure);
                self.connection.ask(Ask::Held);
            }
            Report::Hold(lanes) => {
                self.queue.hold(&lanes);
                self.connection.ask(Ask::Held);
            }
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
                    self.messages.troubles.note(Trouble::Refused, why);
                }
            }
            Report::Subscribed(channel) => {
                self.connection.confirmed(Instant::now());
                self.subscriptions.confirmed(channel);
            }
            Report::Received(channel, bytes) => self.receive(channel, &bytes),
            Report::Foreign => self.malformed("its channel is not one of ours".to_owned()),
            Report::Discarded(count) => {
                let why = "as they come faster than this process takes them".to_owned();
                (self.messages.troubles).note_many(Trouble::Discarded, count, why);
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
        (self.messages).receive((channel, bytes), &self.subscriptions, &self.parts);
    }

    fn malformed(&mut self, why: String) {
        self.messages.malformed(why, &self.parts);
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

    /// Answers those whose publications have their answers.
    fn answer_flushes(&mut self) {
        while let Some(it) = self.flushes.next(&self.queue, &self.parts.books) {
            let value = &notices::flushed(it.number, it.failed);
            self.parts.tell(it.owner, &Event::Bus { value });
        }
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::bus::parts::testing::Here;

    #[test]
    fn the_owner_hears_how_many_messages_a_connection_has_discarded() {
        let Here { parts, .. } = Here::new();
        let mut bus = Bus::new(parts);
        bus.hear(Report::Discarded(3));
        bus.hear(Report::Discarded(4));
        let soon = Instant::now() + Duration::from_secs(1);
        let told = bus.messages.troubles.take(soon).concat();
        assert!(
            told.contains("at least 7 messages of other processes were lost"),
            "{told}"
        );
    }
}
