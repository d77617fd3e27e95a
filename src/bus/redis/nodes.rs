//! The nodes of a cluster that are kept: connects to them, and again to those that were lost.

use std::{collections::BTreeMap, time::Duration};

use redis::aio::MultiplexedConnection;
use tokio::{
    sync::mpsc::{Sender, UnboundedSender},
    task::JoinSet,
    time::Instant,
};

use crate::{
    bus::{
        backoff::backoff,
        link::{Ask, Failure},
        numbers,
        redis::{
            member::{self, Event, Number},
            slots::Address,
        },
    },
    config::bus::Place,
};

/// A node that was connected for so long ends the series of attempts.
const STABLE: Duration = Duration::from_secs(5);
/// How many nodes are kept. A cluster has at most 1,000.
const MOST_NODES: usize = 4_096;

/// A node.
pub(super) struct Member {
    pub(super) address: Address,
    pub(super) asks: UnboundedSender<Ask>,
    pub(super) state: State,
    attempts: u32,
    /// Bytes of publications under way.
    pub(super) under_way: usize,
    /// There are too many of them.
    pub(super) is_busy: bool,
}

pub(super) enum State {
    Connecting,
    /// Since when, and where to ask it something.
    Up(Instant, MultiplexedConnection),
    /// Until the next attempt, and why.
    Down(Instant, Failure),
}

/// All that are kept.
pub(super) struct Nodes<'a> {
    seeds: &'a [Place],
    prefix: &'a str,
    members: BTreeMap<Number, Member>,
    last: Number,
    /// What the tasks of the nodes tell.
    events: Sender<(Number, Event)>,
    tasks: JoinSet<()>,
}

impl<'a> Nodes<'a> {
    /// None yet.
    pub(super) fn new(
        seeds: &'a [Place],
        prefix: &'a str,
        events: Sender<(Number, Event)>,
    ) -> Self {
        Self {
            seeds,
            prefix,
            members: BTreeMap::new(),
            last: 0,
            events,
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn get(&self, number: Number) -> Option<&Member> {
        self.members.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Member> {
        self.members.get_mut(&number)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Number, &Member)> {
        self.members.iter().map(|(number, it)| (*number, it))
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn are_connecting(&self) -> bool {
        let is_connecting = |it: &Member| matches!(it.state, State::Connecting);
        self.members.values().any(is_connecting)
    }

    pub(super) fn are_down(&self) -> bool {
        let is_down = |it: &Member| matches!(it.state, State::Down(..));
        self.members.values().all(is_down)
    }

    /// The node at an address, which is a new one if it is not known. `None` if there is no room for it.
    pub(super) fn at(&mut self, address: &Address) -> Option<Number> {
        let known = self.members.iter().find(|(_, it)| it.address == *address);
        if let Some((number, _)) = known {
            return Some(*number);
        }
        if self.members.len() >= MOST_NODES {
            return None;
        }
        let asks = self.start(self.last + 1, address);
        Some(self.add(address.clone(), asks))
    }

    fn add(&mut self, address: Address, asks: UnboundedSender<Ask>) -> Number {
        self.last += 1;
        let member = Member {
            address,
            asks,
            state: State::Connecting,
            attempts: 0,
            under_way: 0,
            is_busy: false,
        };
        self.members.insert(self.last, member);
        self.last
    }

    fn start(&mut self, number: Number, address: &Address) -> UnboundedSender<Ask> {
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

    /// Connects again to those whose time has come.
    pub(super) fn connect_again(&mut self, now: Instant) {
        let due = self
            .members
            .iter()
            .filter_map(|(number, it)| match it.state {
                State::Down(until, _) if until <= now => Some((*number, it.address.clone())),
                _ => None,
            });
        for (number, address) in due.collect::<Vec<_>>() {
            let asks = self.start(number, &address);
            if let Some(member) = self.members.get_mut(&number) {
                member.asks = asks;
                member.state = State::Connecting;
            }
        }
    }

    /// When [`connect_again`](Self::connect_again) has something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        let attempts = self.members.values().filter_map(|it| match it.state {
            State::Down(until, _) => Some(until),
            _ => None,
        });
        attempts.min()
    }

    /// A node is connected. False if it is not kept any more.
    pub(super) fn came_up(&mut self, number: Number, connection: MultiplexedConnection) -> bool {
        let Some(member) = self.members.get_mut(&number) else {
            return false;
        };
        member.state = State::Up(Instant::now(), connection);
        true
    }

    /// A node is lost. False if it is not kept any more.
    pub(super) fn lost(&mut self, number: Number, failure: Failure) -> bool {
        let Some(member) = self.members.get_mut(&number) else {
            return false;
        };
        let now = Instant::now();
        if matches!(member.state, State::Up(since, _) if now.duration_since(since) >= STABLE) {
            member.attempts = 0;
        }
        member.state = State::Down(now + backoff(member.attempts), failure);
        member.attempts += 1;
        (member.under_way, member.is_busy) = (0, false);
        true
    }

    /// Whether a node is connected.
    pub(super) fn is_up(&self, number: Number) -> bool {
        let member = self.members.get(&number);
        member.is_some_and(|it| matches!(it.state, State::Up(..)))
    }

    /// Any node that is connected, and where to ask it something. Another one each time, as one of them may be cut off from the others.
    pub(super) fn any(&self) -> Option<(String, MultiplexedConnection)> {
        let up = self.members.values().filter_map(|it| match &it.state {
            State::Up(_, connection) => Some((&it.address.host, connection)),
            _ => None,
        });
        let up: Vec<_> = up.collect();
        let place = usize::try_from(numbers::random()).unwrap_or_default();
        let (host, connection) = *up.get(place % up.len().max(1))?;
        Some((host.clone(), connection.clone()))
    }

    /// Keeps these alone. The tasks of the others end once their publications have their answers.
    pub(super) fn keep(&mut self, is_kept: impl Fn(Number) -> bool) {
        self.members.retain(|number, _| is_kept(*number));
    }

    /// Whether the task of a node panicked since the last look. One that ends has said before what there is to know.
    pub(super) fn have_broken(&mut self) -> bool {
        while let Some(ended) = self.tasks.try_join_next() {
            if ended.is_err() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, channel, unbounded_channel};

    use super::*;

    fn address(number: Number) -> Address {
        let host = format!("node-{number}");
        Address { host, port: 1 }
    }

    impl Nodes<'_> {
        /// Adds a node that answers nothing. Returns what it is asked.
        pub(in super::super) fn add_silent(&mut self) -> (Number, UnboundedReceiver<Ask>) {
            let (asks, asked) = unbounded_channel();
            let address = address(self.last + 1);
            (self.add(address, asks), asked)
        }
    }

    #[tokio::test]
    async fn the_nodes_that_are_kept_are_bounded() {
        let mut nodes = Nodes::new(&[], "test", channel(1).0);
        for _ in 0..MOST_NODES {
            nodes.add_silent();
        }
        assert_eq!(nodes.at(&address(1)), Some(1));
        assert_eq!(nodes.at(&address(0)), None);
        assert_eq!(nodes.len(), MOST_NODES);
    }
}
