//! A Redis Cluster, with sharded Pub/Sub.
//!
//! Each channel is in one of 16,384 slots, and each slot is served by one node. A node that is lost takes its own slots along and no
//! other one. The thread of the bus keeps the subscriptions and the publications; this file only knows who serves what, and tells
//! the thread which slots are away, have moved, or are back.

use std::{collections::BTreeMap, future::pending, pin::Pin, time::Duration};

use redis::{ServerError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc::{Receiver, Sender, UnboundedSender, channel, error::SendError},
    task::JoinSet,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    bus::{
        backoff::backoff,
        books::Fate,
        channels::Channel,
        lanes::{Lane, Lanes, SLOTS, slot_of},
        link::{Ask, Failure, Line, PATIENCE, REPORTS, Report},
        queue::Waiting,
        redis::{
            discover::{cluster_slots, discover},
            failure,
            member::{self, Event, Number},
            node::{Came, MOST_ASKS},
            pushes::{Push, SEPARATOR},
            shut::Shut,
            slots::{Address, Range, Redirect, read_slots, redirect},
        },
    },
    config::bus::Place,
};

/// How often the nodes are asked who serves what: usually, soon after a change, and while something is away.
const REFRESH: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(1),
    Duration::from_millis(300),
];
/// A node that was connected for so long ends the series of attempts.
const STABLE: Duration = Duration::from_secs(5);
/// Bytes of publications that may be under way at one node. Past that, what is for it waits, so that a node that is silent does not
/// take the room of the others.
const MOST_UNDER_WAY: usize = 256 * 1024;
/// How often one slot may be redirected before the nodes are asked again. Nodes that name each other would lead in circles.
const MOST_REDIRECTS: u32 = 4;
/// How many nodes are kept. A cluster has at most 1,000.
const MOST_NODES: usize = 4_096;

/// The thread of the bus has ended.
struct Gone;

/// A node.
struct Member {
    address: Address,
    asks: UnboundedSender<Ask>,
    state: State,
    attempts: u32,
    /// Bytes of publications under way.
    under_way: usize,
    /// There are too many of them.
    is_busy: bool,
}

enum State {
    Connecting,
    /// Since when, and where to ask it something.
    Up(Instant, MultiplexedConnection),
    /// Until the next attempt, and why.
    Down(Instant, Failure),
}

/// A question under way: who serves what.
type Question = Pin<Box<dyn Future<Output = Option<Vec<Range>>> + Send>>;

/// A connection to a cluster.
struct Cluster<'a> {
    seeds: &'a [Place],
    prefix: &'a str,
    line: &'a mut Line,
    members: BTreeMap<Number, Member>,
    last: Number,
    /// Who serves each slot.
    owners: Vec<Option<Number>>,
    /// Slots whose publications go back to the thread.
    shut: Shut,
    /// Slots that have moved, as far as the thread has not heard of it.
    moved: Lanes,
    /// How often slots were redirected since the nodes were asked.
    redirects: BTreeMap<Lane, u32>,
    refresh_at: Instant,
    events: Sender<(Number, Event)>,
    tasks: JoinSet<()>,
}

/// Connects and works until no node is left. Returns why; `None` if nobody wants the connection any more.
pub(super) async fn run(seeds: &[Place], prefix: &str, line: &mut Line) -> Option<Failure> {
    let ranges = match discover(seeds).await {
        Ok(ranges) => ranges,
        Err(failure) => return Some(failure),
    };
    let (events, mut came) = channel(REPORTS);
    let mut cluster = Cluster {
        seeds,
        prefix,
        line,
        members: BTreeMap::new(),
        last: 0,
        owners: vec![None; SLOTS.into()],
        shut: Shut::default(),
        moved: Lanes::default(),
        redirects: BTreeMap::new(),
        refresh_at: Instant::now() + REFRESH[0],
        events,
        tasks: JoinSet::new(),
    };
    match cluster.start(ranges, &mut came).await {
        Ok(None) => {}
        Ok(failure) => return failure,
        Err(Gone) => return None,
    }
    cluster.work(&mut came).await
}

impl Cluster<'_> {
    /// Connects to all nodes, or finds out that it cannot.
    async fn start(
        &mut self,
        ranges: Vec<Range>,
        came: &mut Receiver<(Number, Event)>,
    ) -> Result<Option<Failure>, Gone> {
        for (slots, address) in ranges {
            if let Some(number) = self.member(&address) {
                for slot in slots {
                    self.owners[usize::from(slot)] = Some(number);
                }
            }
        }
        let is_connecting = |it: &Member| matches!(it.state, State::Connecting);
        let latest = Instant::now() + PATIENCE;
        while self.members.values().any(is_connecting) {
            let Ok(Some((number, event))) = timeout_at(latest, came.recv()).await else {
                break;
            };
            self.hear_first(number, event);
        }
        let mut reason = None;
        let mut lost = Vec::new();
        for (number, member) in &self.members {
            let failure = match &member.state {
                State::Up(..) => continue,
                State::Connecting => Failure::silent().at("its node", &member.address),
                State::Down(_, failure) => failure.clone(),
            };
            lost.push((*number, failure.clone()));
            reason = Some(failure);
        }
        if lost.len() == self.members.len() {
            return Ok(Some(reason.unwrap_or_else(Failure::silent)));
        }
        for (number, failure) in lost {
            self.away(self.served_by(Some(number)), failure).await?;
        }
        self.unserved().await?;
        self.report(Report::Connected).await?;
        Ok(None)
    }

    /// Before the thread has asked for anything, nodes only come or fail.
    fn hear_first(&mut self, number: Number, event: Event) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match event {
            Event::Up(connection) => member.state = State::Up(Instant::now(), connection),
            Event::Lost { failure, .. } => {
                member.state = State::Down(Instant::now() + backoff(0), failure);
            }
            Event::Came(_) => {}
        }
    }

    async fn work(&mut self, came: &mut Receiver<(Number, Event)>) -> Option<Failure> {
        let mut asks = Vec::with_capacity(MOST_ASKS);
        let mut events = Vec::with_capacity(REPORTS);
        let mut question: Option<Question> = None;
        loop {
            let due = self.due(question.is_some());
            let answer = async {
                match &mut question {
                    Some(question) => question.await,
                    None => pending().await,
                }
            };
            let done = tokio::select! {
                count = self.line.asks.recv_many(&mut asks, MOST_ASKS) => {
                    if count == 0 {
                        return None;
                    }
                    self.obey(&mut asks).await
                }
                _ = came.recv_many(&mut events, REPORTS) => self.hear_all(&mut events).await,
                ranges = answer => {
                    question = None;
                    self.refreshed(ranges).await
                }
                () = sleep_until(due) => self.advance(&mut question).await,
            };
            match done {
                Ok(None) => {}
                Ok(failure) => return failure,
                Err(Gone) => return None,
            }
            // A task that ends has said before what there is to know.
            while let Some(ended) = self.tasks.try_join_next() {
                if ended.is_err() {
                    return Some(Failure::away("the connection to a node broke"));
                }
            }
        }
    }

    async fn report(&self, report: Report) -> Result<(), Gone> {
        self.line.reports.send(report).await.map_err(|_| Gone)
    }

    // Time.

    fn due(&self, is_asking: bool) -> Instant {
        let opening = self.shut.due();
        let refresh = (!is_asking).then_some(self.refresh_at);
        let attempts = self.members.values().filter_map(|it| match it.state {
            State::Down(until, _) => Some(until),
            _ => None,
        });
        let all = attempts.chain(opening).chain(refresh);
        all.min().unwrap_or_else(|| Instant::now() + REFRESH[0])
    }

    async fn advance(&mut self, question: &mut Option<Question>) -> Result<Option<Failure>, Gone> {
        let now = Instant::now();
        while let Some(mut lanes) = self.shut.open(now) {
            for (number, _) in self.members.iter().filter(|(_, it)| it.is_busy) {
                lanes.remove(&self.served_by(Some(*number)));
            }
            self.report(Report::Open(lanes)).await?;
        }
        let again = self
            .members
            .iter()
            .filter_map(|(number, it)| match it.state {
                State::Down(until, _) if until <= now => Some(*number),
                _ => None,
            });
        for number in again.collect::<Vec<_>>() {
            self.connect(number);
        }
        if question.is_none() && self.refresh_at <= now {
            *question = self.question();
        }
        Ok(None)
    }

    /// Asks a node who serves what.
    fn question(&mut self) -> Option<Question> {
        self.refresh_at = Instant::now() + REFRESH[usize::from(!self.shut.lanes().is_empty()) * 2];
        let up = self.members.values().filter_map(|it| match &it.state {
            State::Up(_, connection) => Some((it.address.host.clone(), connection.clone())),
            _ => None,
        });
        let up: Vec<_> = up.collect();
        // Another one each time, as one of them may be cut off from the others.
        let place = usize::try_from(crate::bus::numbers::random()).unwrap_or_default();
        let (host, mut connection) = up.get(place % up.len().max(1))?.clone();
        Some(Box::pin(async move {
            let answer = timeout(PATIENCE, cluster_slots(&mut connection)).await;
            read_slots(&answer.ok()?.ok()?, &host)
        }))
    }

    fn refresh_within(&mut self, time: Duration) {
        self.refresh_at = self.refresh_at.min(Instant::now() + time);
    }

    // Nodes.

    /// The node at an address, which is a new one if it is not known.
    fn member(&mut self, address: &Address) -> Option<Number> {
        let known = self.members.iter().find(|(_, it)| it.address == *address);
        if let Some((number, _)) = known {
            return Some(*number);
        }
        if self.members.len() >= MOST_NODES {
            return None;
        }
        self.last += 1;
        let number = self.last;
        let member = Member {
            asks: self.task(number, address),
            address: address.clone(),
            state: State::Connecting,
            attempts: 0,
            under_way: 0,
            is_busy: false,
        };
        self.members.insert(number, member);
        Some(number)
    }

    fn task(&mut self, number: Number, address: &Address) -> UnboundedSender<Ask> {
        // All nodes have the same users and the same kind of certificate.
        let like = self.seeds.first();
        let place = Place {
            host: address.host.clone(),
            port: address.port,
            tls: like.and_then(|it| it.tls.clone()),
            username: like.and_then(|it| it.username.clone()),
            password: like.and_then(|it| it.password.clone()),
        };
        let prefix = self.prefix.to_owned();
        member::start(&mut self.tasks, number, place, prefix, self.events.clone())
    }

    fn connect(&mut self, number: Number) {
        let Some(address) = self.members.get(&number).map(|it| it.address.clone()) else {
            return;
        };
        let asks = self.task(number, &address);
        if let Some(member) = self.members.get_mut(&number) {
            member.asks = asks;
            member.state = State::Connecting;
        }
    }

    /// The slots of a node, or those that nobody serves.
    fn served_by(&self, number: Option<Number>) -> Lanes {
        let mut lanes = Lanes::default();
        for (slot, owner) in (0..).zip(&self.owners) {
            if *owner == number {
                lanes.insert(slot);
            }
        }
        lanes
    }

    /// The slot of a channel, and the node that serves it, if that is connected.
    fn server_of(&self, channel: Channel) -> (Lane, Option<Number>) {
        let slot = slot_of(&channel.name(self.prefix, SEPARATOR));
        let owner = self.owners.get(usize::from(slot)).copied().flatten();
        let is_up = |number: &Number| {
            let member = self.members.get(number);
            member.is_some_and(|it| matches!(it.state, State::Up(..)))
        };
        (slot, owner.filter(is_up))
    }

    // What the thread asks.

    async fn obey(&mut self, asks: &mut Vec<Ask>) -> Result<Option<Failure>, Gone> {
        for ask in asks.drain(..) {
            let (Ask::Publish(Waiting { channel, .. })
            | Ask::Subscribe(channel)
            | Ask::Unsubscribe(channel)) = &ask;
            let (slot, number) = self.server_of(*channel);
            let ask = match ask {
                Ask::Publish(waiting) => {
                    self.publish(slot, number, waiting).await?;
                    continue;
                }
                ask => ask,
            };
            let member = number.and_then(|number| self.members.get(&number));
            let refused = match member {
                Some(member) => member.asks.send(ask).err().map(|it| it.0),
                None => Some(ask),
            };
            // A server that is not there reads nothing to us, so the end of a subscription needs no answer.
            if let Some(Ask::Subscribe(channel)) = refused {
                self.report(Report::Unserved(channel)).await?;
            }
        }
        Ok(None)
    }

    /// Hands a publication to the node of its slot, or gives it back.
    async fn publish(
        &mut self,
        slot: Lane,
        number: Option<Number>,
        waiting: Waiting,
    ) -> Result<(), Gone> {
        let size = waiting.bytes.len();
        let is_shut = self.shut.lanes().has(slot);
        let member = number.and_then(|number| self.members.get_mut(&number));
        let Some(member) = member.filter(|it| !is_shut && !it.is_busy) else {
            return self.report(Report::NotTaken(waiting)).await;
        };
        if member.under_way > 0 && member.under_way + size > MOST_UNDER_WAY {
            member.is_busy = true;
            let lanes = self.served_by(number);
            self.report(Report::Hold(lanes)).await?;
            return self.report(Report::NotTaken(waiting)).await;
        }
        member.under_way += size;
        // A node that has just ended gives back what it did not write.
        match member.asks.send(Ask::Publish(waiting)) {
            Err(SendError(Ask::Publish(waiting))) => {
                member.under_way -= size;
                self.report(Report::NotTaken(waiting)).await
            }
            _ => Ok(()),
        }
    }

    /// A node does not have so many bytes under way any more.
    async fn relieve(&mut self, number: Number, bytes: usize) -> Result<(), Gone> {
        let Some(member) = self.members.get_mut(&number) else {
            return Ok(());
        };
        member.under_way = member.under_way.saturating_sub(bytes);
        if !member.is_busy || member.under_way > MOST_UNDER_WAY / 2 {
            return Ok(());
        }
        member.is_busy = false;
        let mut lanes = self.served_by(Some(number));
        lanes.remove(self.shut.lanes());
        self.report(Report::Open(lanes)).await
    }

    // What happens at the nodes.

    async fn hear_all(
        &mut self,
        events: &mut Vec<(Number, Event)>,
    ) -> Result<Option<Failure>, Gone> {
        let mut last = None;
        for (number, event) in events.drain(..) {
            match event {
                Event::Up(connection) => self.came_up(number, connection).await?,
                Event::Came(came) => self.hear(number, came).await?,
                Event::Lost {
                    failure,
                    abandoned,
                    unsent,
                } => {
                    self.lost(number, failure.clone()).await?;
                    for waiting in abandoned {
                        let report = Report::Answered(waiting.ticket, Fate::Unconfirmed);
                        self.report(report).await?;
                    }
                    for waiting in unsent {
                        self.report(Report::NotTaken(waiting)).await?;
                    }
                    last = Some(failure);
                }
            }
        }
        self.tell_moved().await?;
        let is_down = |it: &Member| matches!(it.state, State::Down(..));
        Ok(last.filter(|_| self.members.values().all(is_down)))
    }

    async fn came_up(
        &mut self,
        number: Number,
        connection: MultiplexedConnection,
    ) -> Result<(), Gone> {
        let Some(member) = self.members.get_mut(&number) else {
            return Ok(());
        };
        member.state = State::Up(Instant::now(), connection);
        let mut lanes = self.served_by(Some(number));
        lanes.keep(self.shut.lanes());
        self.found(lanes).await
    }

    async fn lost(&mut self, number: Number, failure: Failure) -> Result<(), Gone> {
        let Some(member) = self.members.get_mut(&number) else {
            return Ok(());
        };
        let now = Instant::now();
        if matches!(member.state, State::Up(since, _) if now.duration_since(since) >= STABLE) {
            member.attempts = 0;
        }
        member.state = State::Down(now + backoff(member.attempts), failure.clone());
        member.attempts += 1;
        (member.under_way, member.is_busy) = (0, false);
        self.refresh_within(REFRESH[2]);
        self.away(self.served_by(Some(number)), failure).await
    }

    async fn hear(&mut self, number: Number, came: Came) -> Result<(), Gone> {
        match came {
            Came::Published(publications, answers) => {
                let bytes = publications.iter().map(|it| it.bytes.len()).sum();
                self.relieve(number, bytes).await?;
                for (waiting, answer) in publications.into_iter().zip(answers) {
                    if let Value::ServerError(error) = answer {
                        self.refused(number, waiting, &error).await?;
                    } else {
                        let report = Report::Answered(waiting.ticket, Fate::Confirmed);
                        self.report(report).await?;
                    }
                }
            }
            Came::Pushed(pushes) => {
                for push in pushes {
                    self.pushed(number, push).await?;
                }
            }
            Came::Elsewhere(errors) => {
                for error in errors {
                    self.redirected(number, &error).await?;
                }
            }
            Came::Lost(_) => {}
        }
        Ok(())
    }

    async fn pushed(&mut self, number: Number, push: Push) -> Result<(), Gone> {
        let report = match push {
            Push::Message(channel, bytes) => Report::Received(channel, bytes),
            Push::Foreign => Report::Foreign,
            Push::Subscribed(channel) => {
                let slot = self.server_of(channel).0;
                if self.owners[usize::from(slot)] != Some(number) {
                    return Ok(());
                }
                Report::Subscribed(channel)
            }
            Push::Unsubscribed(channel) => {
                self.refresh_within(REFRESH[1]);
                Report::Unsubscribed(channel)
            }
            // A push that nobody asked for makes the crate take the next answer for another one, and it may drop the last one.
            Push::Settled => Report::Found(self.served_by(Some(number))),
            // The node tells these as a failure.
            Push::Closed | Push::Overflow => return Ok(()),
        };
        self.report(report).await
    }

    async fn refused(
        &mut self,
        number: Number,
        waiting: Waiting,
        error: &ServerError,
    ) -> Result<(), Gone> {
        let slot = self.server_of(waiting.channel).0;
        match error.code() {
            "MOVED" | "ASK" => self.redirected(number, error).await?,
            "TRYAGAIN" => self.hold(Lanes::one(slot)).await?,
            "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => {
                self.owners[usize::from(slot)] = None;
                self.refresh_within(REFRESH[2]);
                let failure = failure::of_server(error);
                self.away(Lanes::one(slot), failure).await?;
            }
            _ => {
                let report = Report::Refused(waiting.ticket, failure::why(error));
                return self.report(report).await;
            }
        }
        self.report(Report::NotTaken(waiting)).await
    }

    /// A node has said that another one serves a slot.
    async fn redirected(&mut self, number: Number, error: &ServerError) -> Result<(), Gone> {
        let host = self.members.get(&number).map(|it| it.address.host.clone());
        self.refresh_within(REFRESH[1]);
        match redirect(error, &host.unwrap_or_default()) {
            Some(Redirect::Moved(slot, address)) => {
                // Another answer may have said so before.
                if self.owners[usize::from(slot)] != Some(number) {
                    return Ok(());
                }
                let redirects = self.redirects.entry(slot).or_default();
                *redirects += 1;
                if *redirects > MOST_REDIRECTS {
                    return self.assign(None, Lanes::one(slot)).await;
                }
                let owner = self.member(&address).filter(|owner| *owner != number);
                self.assign(owner, Lanes::one(slot)).await
            }
            // Redis answers so for keys, and serves channels until the slot has moved. The node that gets the slot takes it later.
            Some(Redirect::Ask(slot)) => self.hold(Lanes::one(slot)).await,
            None => Ok(()),
        }
    }

    // Slots.

    /// Takes over who serves what.
    async fn refreshed(&mut self, ranges: Option<Vec<Range>>) -> Result<Option<Failure>, Gone> {
        let Some(ranges) = ranges else {
            self.refresh_within(REFRESH[2]);
            return Ok(None);
        };
        self.redirects.clear();
        let mut owners: BTreeMap<Option<Number>, Lanes> = BTreeMap::new();
        let mut served = Lanes::default();
        for (slots, address) in ranges {
            served.insert_range(slots.clone());
            let owner = self.member(&address);
            owners.entry(owner).or_default().insert_range(slots);
        }
        let unserved = owners.entry(None).or_default();
        unserved.insert_range(0..=SLOTS - 1);
        unserved.remove(&served);
        for (owner, mut lanes) in owners {
            lanes.remove(&self.served_by(owner));
            if !lanes.is_empty() {
                self.assign(owner, lanes).await?;
            }
        }
        self.tell_moved().await?;
        let idle = self.members.keys().copied();
        let idle = idle.filter(|number| !self.owners.contains(&Some(*number)));
        for number in idle.collect::<Vec<_>>() {
            // Its task ends once its publications have their answers.
            self.members.remove(&number);
        }
        Ok(None)
    }

    /// Slots are served by another node, or by nobody.
    async fn assign(&mut self, owner: Option<Number>, lanes: Lanes) -> Result<(), Gone> {
        for slot in (0..SLOTS).filter(|slot| lanes.has(*slot)) {
            self.owners[usize::from(slot)] = owner;
        }
        let Some(member) = owner.and_then(|number| self.members.get(&number)) else {
            return self.unserved().await;
        };
        match &member.state {
            State::Up(..) => {
                self.hold(lanes.clone()).await?;
                self.moved.add(&lanes);
                Ok(())
            }
            State::Connecting => self.shut(lanes).await,
            State::Down(_, failure) => {
                let failure = failure.clone();
                self.away(lanes, failure).await
            }
        }
    }

    /// Tells of the slots that nobody serves.
    async fn unserved(&mut self) -> Result<(), Gone> {
        let mut lanes = self.served_by(None);
        lanes.remove(self.shut.lanes());
        if lanes.is_empty() {
            return Ok(());
        }
        self.refresh_within(REFRESH[2]);
        let count = lanes.len();
        let failure = Failure::away(format_args!("no node serves {count} of its slots"));
        self.away(lanes, failure).await
    }

    /// Nobody serves these slots.
    async fn away(&mut self, lanes: Lanes, failure: Failure) -> Result<(), Gone> {
        if lanes.is_empty() {
            return Ok(());
        }
        self.shut.until_opened(&lanes);
        self.moved.remove(&lanes);
        self.report(Report::Away(lanes, failure)).await
    }

    /// Publications for these slots go back, until somebody opens them.
    async fn shut(&mut self, lanes: Lanes) -> Result<(), Gone> {
        self.shut.until_opened(&lanes);
        self.report(Report::Hold(lanes)).await
    }

    /// Publications for these slots go back for a moment.
    async fn hold(&mut self, lanes: Lanes) -> Result<(), Gone> {
        self.shut.for_a_moment(&lanes);
        self.report(Report::Hold(lanes)).await
    }

    /// Slots that were shut are served again.
    async fn found(&mut self, lanes: Lanes) -> Result<(), Gone> {
        if lanes.is_empty() {
            return Ok(());
        }
        self.shut.open_later(&lanes);
        self.report(Report::Moved(lanes)).await
    }

    async fn tell_moved(&mut self) -> Result<(), Gone> {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() {
            return Ok(());
        }
        self.report(Report::Moved(moved)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::bus::queue::Queue;

    /// A connection without nodes, and what it reports.
    fn parts() -> (Line, Receiver<Report>) {
        let (_, asks) = unbounded_channel();
        let (reporting, reports) = channel(REPORTS);
        let line = Line {
            asks,
            reports: reporting,
        };
        (line, reports)
    }

    fn cluster(line: &mut Line) -> Cluster<'_> {
        Cluster {
            seeds: &[],
            prefix: "test",
            line,
            members: BTreeMap::new(),
            last: 0,
            owners: vec![None; SLOTS.into()],
            shut: Shut::default(),
            moved: Lanes::default(),
            redirects: BTreeMap::new(),
            refresh_at: Instant::now(),
            events: channel(1).0,
            tasks: JoinSet::new(),
        }
    }

    fn address(number: Number) -> Address {
        let host = format!("node-{number}");
        Address { host, port: 1 }
    }

    impl Cluster<'_> {
        /// Adds a node that answers nothing. Returns what it is asked.
        fn add(&mut self) -> UnboundedReceiver<Ask> {
            let (asks, asked) = unbounded_channel();
            self.last += 1;
            let member = Member {
                address: address(self.last),
                asks,
                state: State::Connecting,
                attempts: 0,
                under_way: 0,
                is_busy: false,
            };
            self.members.insert(self.last, member);
            asked
        }
    }

    #[tokio::test]
    async fn the_nodes_that_are_kept_are_bounded() {
        let (mut line, _reports) = parts();
        let mut cluster = cluster(&mut line);
        for _ in 0..MOST_NODES {
            cluster.add();
        }
        assert_eq!(cluster.member(&address(1)), Some(1));
        assert_eq!(cluster.member(&address(0)), None);
        assert_eq!(cluster.members.len(), MOST_NODES);
    }

    #[tokio::test]
    async fn what_is_for_a_node_that_answers_nothing_waits_past_256_kib() {
        let (mut line, mut reports) = parts();
        let mut cluster = cluster(&mut line);
        let mut asked = cluster.add();
        let number = Some(cluster.last);
        cluster.owners.fill(number);
        let (mut queue, now) = (Queue::new(<_>::default(), "test".into()), Instant::now());
        for _ in 0..5 {
            queue.push(Channel::Everybody, vec![0; MOST_UNDER_WAY / 4 + 1], now);
            let waiting = queue.take(now).unwrap();
            assert!(cluster.publish(7, number, waiting).await.is_ok());
        }
        assert_eq!(asked.len(), 3);
        assert!(matches!(reports.recv().await, Some(Report::Hold(lanes)) if lanes.has(7)));
        for ticket in [4, 5] {
            let report = reports.recv().await;
            assert!(matches!(report, Some(Report::NotTaken(it)) if it.ticket == ticket));
        }
        // It takes more when it has answered the half.
        let Some(Ask::Publish(first)) = asked.recv().await else {
            panic!("it was not asked to publish");
        };
        for _ in 0..2 {
            assert!(reports.try_recv().is_err());
            let done = cluster.relieve(cluster.last, first.bytes.len()).await;
            assert!(done.is_ok());
        }
        assert!(matches!(reports.recv().await, Some(Report::Open(lanes)) if lanes.has(7)));
    }
}
