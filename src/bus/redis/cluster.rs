//! A Redis Cluster, with sharded Pub/Sub.
//!
//! Each channel is in one of 16,384 slots, and each slot is served by one node. A node that is lost takes its own slots along and no
//! other one. The thread of the bus keeps the subscriptions and the publications; this file only knows who serves what, and tells
//! the thread which slots are away, have moved, or are back.

use std::{collections::BTreeMap, future::pending, pin::Pin, time::Duration};

use redis::{ServerError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc::{Receiver, channel, error::SendError},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    bus::{
        books::Fate,
        channels::Channel,
        lanes::{Lane, Lanes, slot_of},
        link::{Ask, Failure, Line, PATIENCE, REPORTS, Report},
        queue::Waiting,
        redis::{
            discover::{cluster_slots, discover},
            failure,
            member::{Event, Number},
            node::{Came, MOST_ASKS},
            nodes::{Nodes, State},
            owners::Owners,
            pushes::{Push, SEPARATOR},
            shut::Shut,
            slots::{Range, Redirect, read_slots, redirect},
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
/// Bytes of publications that may be under way at one node. Past that, what is for it waits, so that a node that is silent does not
/// take the room of the others.
const MOST_UNDER_WAY: usize = 256 * 1024;
/// How often one slot may be redirected before the nodes are asked again. Nodes that name each other would lead in circles.
const MOST_REDIRECTS: u32 = 4;

/// The thread of the bus has ended.
struct Gone;

/// A question under way: who serves what.
type Question = Pin<Box<dyn Future<Output = Option<Vec<Range>>> + Send>>;

/// A connection to a cluster.
struct Cluster<'a> {
    prefix: &'a str,
    line: &'a mut Line,
    nodes: Nodes<'a>,
    owners: Owners,
    /// Slots whose publications go back to the thread.
    shut: Shut,
    /// How many reports that hold slots the thread has not heard of.
    unheard: usize,
    /// Slots that have moved, as far as the thread has not heard of it.
    moved: Lanes,
    /// How often slots were redirected since the nodes were asked.
    redirects: BTreeMap<Lane, u32>,
    refresh_at: Instant,
}

/// Connects and works until no node is left. Returns why; `None` if nobody wants the connection any more.
pub(super) async fn run(seeds: &[Place], prefix: &str, line: &mut Line) -> Option<Failure> {
    let ranges = match discover(seeds).await {
        Ok(ranges) => ranges,
        Err(failure) => return Some(failure),
    };
    let (events, mut came) = channel(REPORTS);
    let mut cluster = Cluster::new(Nodes::new(seeds, prefix, events), prefix, line);
    match cluster.start(ranges, &mut came).await {
        Ok(None) => {}
        Ok(failure) => return failure,
        Err(Gone) => return None,
    }
    cluster.work(&mut came).await
}

impl<'a> Cluster<'a> {
    fn new(nodes: Nodes<'a>, prefix: &'a str, line: &'a mut Line) -> Self {
        Self {
            prefix,
            line,
            nodes,
            owners: Owners::default(),
            shut: Shut::default(),
            unheard: 0,
            moved: Lanes::default(),
            redirects: BTreeMap::new(),
            refresh_at: Instant::now() + REFRESH[0],
        }
    }

    /// Connects to all nodes, or finds out that it cannot.
    async fn start(
        &mut self,
        ranges: Vec<Range>,
        came: &mut Receiver<(Number, Event)>,
    ) -> Result<Option<Failure>, Gone> {
        for (owner, lanes) in self.told(ranges) {
            self.owners.set(&lanes, owner);
        }
        let latest = Instant::now() + PATIENCE;
        while self.nodes.are_connecting() {
            match timeout_at(latest, came.recv()).await {
                // Before the thread has asked for anything, nodes only come or fail.
                Ok(Some((number, Event::Up(connection)))) => {
                    self.nodes.came_up(number, connection);
                }
                Ok(Some((number, Event::Lost { failure, .. }))) => {
                    self.nodes.lost(number, failure);
                }
                Ok(Some((_, Event::Came(_)))) => {}
                _ => break,
            }
        }
        let lost = self.nodes.all().filter_map(|(number, node)| {
            let failure = match &node.state {
                State::Up(..) => return None,
                State::Connecting => Failure::silent().at("its node", &node.address),
                State::Down(_, failure) => failure.clone(),
            };
            Some((number, failure))
        });
        let lost: Vec<_> = lost.collect();
        if lost.len() == self.nodes.len() {
            let reason = lost.into_iter().next_back().map(|(_, failure)| failure);
            return Ok(Some(reason.unwrap_or_else(Failure::silent)));
        }
        for (number, failure) in lost {
            self.away(self.owners.served_by(Some(number)), failure)
                .await?;
        }
        self.unserved().await?;
        self.report(Report::Connected).await?;
        Ok(None)
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
            if self.nodes.have_broken() {
                return Some(Failure::away("the connection to a node broke"));
            }
        }
    }

    async fn report(&mut self, report: Report) -> Result<(), Gone> {
        self.unheard += usize::from(matches!(report, Report::Away(..) | Report::Hold(_)));
        self.line.reports.send(report).await.map_err(|_| Gone)
    }

    // Time.

    fn due(&self, is_asking: bool) -> Instant {
        let opening = self.shut.due().filter(|_| self.may_open());
        let refresh = (!is_asking).then_some(self.refresh_at);
        let all = self.nodes.due().into_iter().chain(opening).chain(refresh);
        all.min().unwrap_or_else(|| Instant::now() + REFRESH[0])
    }

    async fn advance(&mut self, question: &mut Option<Question>) -> Result<Option<Failure>, Gone> {
        let now = Instant::now();
        while self.may_open()
            && let Some(mut lanes) = self.shut.open(now)
        {
            for (number, _) in self.nodes.all().filter(|(_, it)| it.is_busy) {
                lanes.remove(&self.owners.served_by(Some(number)));
            }
            self.report(Report::Open(lanes)).await?;
        }
        self.nodes.connect_again(now);
        if question.is_none() && self.refresh_at <= now {
            *question = self.question();
        }
        Ok(None)
    }

    /// Asks a node who serves what.
    fn question(&mut self) -> Option<Question> {
        self.refresh_at = Instant::now() + REFRESH[usize::from(!self.shut.lanes().is_empty()) * 2];
        let (host, mut connection) = self.nodes.any()?;
        Some(Box::pin(async move {
            let answer = timeout(PATIENCE, cluster_slots(&mut connection)).await;
            read_slots(&answer.ok()?.ok()?, &host)
        }))
    }

    fn refresh_within(&mut self, time: Duration) {
        self.refresh_at = self.refresh_at.min(Instant::now() + time);
    }

    /// The slot of a channel, and the node that serves it, if that is connected.
    fn server_of(&self, channel: Channel) -> (Lane, Option<Number>) {
        let slot = slot_of(&channel.name(self.prefix, SEPARATOR));
        let owner = self.owners.of(slot);
        (slot, owner.filter(|number| self.nodes.is_up(*number)))
    }

    /// Whether slots may be opened. The thread may have asked to publish something there before it heard that they are held. That
    /// goes back first, as it would overtake what went back already.
    fn may_open(&self) -> bool {
        self.unheard == 0
    }

    // What the thread asks.

    async fn obey(&mut self, asks: &mut Vec<Ask>) -> Result<Option<Failure>, Gone> {
        for ask in asks.drain(..) {
            let channel = match &ask {
                Ask::Publish(Waiting { channel, .. })
                | Ask::Subscribe(channel)
                | Ask::Unsubscribe(channel) => *channel,
                Ask::Held => {
                    self.held().await?;
                    continue;
                }
            };
            let (slot, number) = self.server_of(channel);
            let ask = match ask {
                Ask::Publish(waiting) => {
                    self.publish(slot, number, waiting).await?;
                    continue;
                }
                ask => ask,
            };
            let member = number.and_then(|number| self.nodes.get(number));
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
        let member = number.and_then(|number| self.nodes.get_mut(number));
        let Some(member) = member.filter(|it| !is_shut && !it.is_busy) else {
            return self.report(Report::NotTaken(waiting)).await;
        };
        if member.under_way > 0 && member.under_way + size > MOST_UNDER_WAY {
            member.is_busy = true;
            let lanes = self.owners.served_by(number);
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
        if let Some(member) = self.nodes.get_mut(number) {
            member.under_way = member.under_way.saturating_sub(bytes);
        }
        self.open_relieved(number).await
    }

    /// The thread has heard of one more report that holds slots.
    async fn held(&mut self) -> Result<(), Gone> {
        self.unheard = self.unheard.saturating_sub(1);
        let busy = self.nodes.all().filter(|(_, it)| it.is_busy);
        for number in busy.map(|(number, _)| number).collect::<Vec<_>>() {
            self.open_relieved(number).await?;
        }
        Ok(())
    }

    /// Publications for a node may leave again, if it had too many and has answered the half.
    async fn open_relieved(&mut self, number: Number) -> Result<(), Gone> {
        let may_open = self.may_open();
        let Some(member) = self.nodes.get_mut(number) else {
            return Ok(());
        };
        if !may_open || !member.is_busy || member.under_way > MOST_UNDER_WAY / 2 {
            return Ok(());
        }
        member.is_busy = false;
        let mut lanes = self.owners.served_by(Some(number));
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
        Ok(last.filter(|_| self.nodes.are_down()))
    }

    async fn came_up(
        &mut self,
        number: Number,
        connection: MultiplexedConnection,
    ) -> Result<(), Gone> {
        if !self.nodes.came_up(number, connection) {
            return Ok(());
        }
        let mut lanes = self.owners.served_by(Some(number));
        lanes.keep(self.shut.lanes());
        self.found(lanes).await
    }

    async fn lost(&mut self, number: Number, failure: Failure) -> Result<(), Gone> {
        if !self.nodes.lost(number, failure.clone()) {
            return Ok(());
        }
        self.refresh_within(REFRESH[2]);
        self.away(self.owners.served_by(Some(number)), failure)
            .await
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
                if self.owners.of(slot) != Some(number) {
                    return Ok(());
                }
                Report::Subscribed(channel)
            }
            Push::Unsubscribed(channel) => {
                self.refresh_within(REFRESH[1]);
                Report::Unsubscribed(channel)
            }
            // A push that nobody asked for makes the crate take the next answer for another one, and it may drop the last one.
            Push::Settled => Report::Found(self.owners.served_by(Some(number))),
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
                self.owners.set(&Lanes::one(slot), None);
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
        let host = self.nodes.get(number).map(|it| it.address.host.clone());
        self.refresh_within(REFRESH[1]);
        match redirect(error, &host.unwrap_or_default()) {
            Some(Redirect::Moved(slot, address)) => {
                // Another answer may have said so before.
                if self.owners.of(slot) != Some(number) {
                    return Ok(());
                }
                let redirects = self.redirects.entry(slot).or_default();
                *redirects += 1;
                if *redirects > MOST_REDIRECTS {
                    return self.assign(None, Lanes::one(slot)).await;
                }
                let owner = self.nodes.at(&address).filter(|owner| *owner != number);
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
        for (owner, lanes) in self.told(ranges) {
            self.assign(owner, lanes).await?;
        }
        self.tell_moved().await?;
        let serving = self.owners.all();
        self.nodes.keep(|number| serving.contains(&number));
        Ok(None)
    }

    /// The slots that others serve than before, if that is who serves what.
    fn told(&mut self, ranges: Vec<Range>) -> Vec<(Option<Number>, Lanes)> {
        let mut told: BTreeMap<Option<Number>, Lanes> = BTreeMap::new();
        for (slots, address) in ranges {
            let owner = self.nodes.at(&address);
            told.entry(owner).or_default().insert_range(slots);
        }
        self.owners.changes(told)
    }

    /// Slots are served by another node, or by nobody.
    async fn assign(&mut self, owner: Option<Number>, lanes: Lanes) -> Result<(), Gone> {
        self.owners.set(&lanes, owner);
        let Some(member) = owner.and_then(|number| self.nodes.get(number)) else {
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
        let mut lanes = self.owners.served_by(None);
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
    use crate::bus::queue::{Queue, Ticket};

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
        Cluster::new(Nodes::new(&[], "test", channel(1).0), "test", line)
    }

    /// A node that serves slot 7, and got three of five publications before there was no room.
    async fn fill(
        cluster: &mut Cluster<'_>,
        queue: &mut Queue,
    ) -> (Number, UnboundedReceiver<Ask>) {
        let (number, asked) = cluster.nodes.add_silent();
        cluster.owners.set(&Lanes::one(7), Some(number));
        for _ in 0..5 {
            publish(cluster, number, queue, MOST_UNDER_WAY / 4 + 1).await;
        }
        assert_eq!(asked.len(), 3);
        (number, asked)
    }

    async fn publish(cluster: &mut Cluster<'_>, to: Number, queue: &mut Queue, size: usize) {
        queue.push(Channel::Everybody, vec![0; size], Instant::now());
        let waiting = queue.take(Instant::now()).unwrap();
        assert!(cluster.publish(7, Some(to), waiting).await.is_ok());
    }

    async fn answer(cluster: &mut Cluster<'_>, number: Number, asked: &mut UnboundedReceiver<Ask>) {
        let Some(Ask::Publish(first)) = asked.recv().await else {
            panic!("it was not asked to publish");
        };
        let done = cluster.relieve(number, first.bytes.len()).await;
        assert!(done.is_ok());
    }

    fn is_not_taken(report: Option<Report>, ticket: Ticket) -> bool {
        matches!(report, Some(Report::NotTaken(it)) if it.ticket == ticket)
    }

    #[tokio::test]
    async fn what_is_for_a_node_that_answers_nothing_waits_past_256_kib() {
        let (mut line, mut reports) = parts();
        let mut cluster = cluster(&mut line);
        let mut queue = Queue::new(<_>::default(), "test".into());
        let (number, mut asked) = fill(&mut cluster, &mut queue).await;
        assert!(matches!(reports.recv().await, Some(Report::Hold(lanes)) if lanes.has(7)));
        for ticket in [4, 5] {
            assert!(is_not_taken(reports.recv().await, ticket));
        }
        assert!(cluster.obey(&mut vec![Ask::Held]).await.is_ok());
        // It takes more when it has answered the half.
        for _ in 0..2 {
            assert!(reports.try_recv().is_err());
            answer(&mut cluster, number, &mut asked).await;
        }
        assert!(matches!(reports.recv().await, Some(Report::Open(lanes)) if lanes.has(7)));
    }

    #[tokio::test]
    async fn what_the_thread_asked_for_before_it_heard_of_a_hold_does_not_overtake_what_went_back()
    {
        let (mut line, mut reports) = parts();
        let mut cluster = cluster(&mut line);
        let mut queue = Queue::new(<_>::default(), "test".into());
        let (number, mut asked) = fill(&mut cluster, &mut queue).await;
        for _ in 0..3 {
            answer(&mut cluster, number, &mut asked).await;
        }
        publish(&mut cluster, number, &mut queue, 1).await;
        assert!(asked.is_empty());
        assert!(matches!(reports.recv().await, Some(Report::Hold(_))));
        for ticket in [4, 5, 6] {
            assert!(is_not_taken(reports.recv().await, ticket));
        }
        assert!(reports.try_recv().is_err());
        assert!(cluster.obey(&mut vec![Ask::Held]).await.is_ok());
        assert!(matches!(reports.recv().await, Some(Report::Open(lanes)) if lanes.has(7)));
    }
}
