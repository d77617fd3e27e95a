//! The connection to the bus, as the thread has it: how far it is, when to try again, and which lanes nobody serves.

use std::{future::pending, pin::pin, time::Duration};

use tokio::{
    sync::mpsc::{channel, unbounded_channel},
    time::Instant,
};

#[cfg(feature = "nats")]
use crate::bus::channels::Channel;
use crate::{
    bus::{
        backoff::backoff,
        lanes::Lanes,
        link::{Ask, Failure, Line, Link, REPORTS, Report},
        parts::Parts,
        subscriptions::Subscriptions,
    },
    config::bus::Transport,
};

/// How long the other processes have to come back after an outage, before what waited leaves.
const SETTLING: Duration = Duration::from_millis(500);
/// A connection that held so long ends the series of attempts.
const STABLE: Duration = Duration::from_secs(5);
/// How long the bus may take to confirm one more subscription of a new connection.
const CONFIRMING: Duration = Duration::from_secs(10);

/// How far it is.
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

/// What the thread has to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// [Connect](Connection::connect).
    Connect,
    /// The bus has confirmed all subscriptions, so it is [there](Connection::connected).
    Connected,
    /// Give it up.
    Lost(Failure),
}

/// The connection, or the wait for the next one.
pub(crate) struct Connection {
    state: State,
    link: Option<Link>,
    /// How many failed one after the other.
    attempts: u32,
    /// When it was there.
    since: Instant,
    /// When the bus has confirmed a subscription, or a connection was made.
    confirmed: Instant,
    /// The lanes that nobody serves.
    pub(crate) away: Lanes,
}

impl Connection {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            state: State::Away(now),
            link: None,
            attempts: 0,
            since: now,
            confirmed: now,
            away: Lanes::default(),
        }
    }

    /// Whether the bus reads our channels to us.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Open | State::Settling(_))
    }

    /// Whether publications leave.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// When there is something to do if nothing comes before.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Away(until) | State::Settling(until) => Some(until),
            State::Subscribing(_) => Some(self.confirmed + CONFIRMING),
            State::Connecting | State::Open => None,
        }
    }

    /// Does what is due, and says what the thread has to do.
    pub(crate) fn advance(&mut self, subscriptions: &Subscriptions, now: Instant) -> Option<Step> {
        match self.state {
            State::Away(until) if until <= now => Some(Step::Connect),
            State::Subscribing(last) if subscriptions.are_asked(last) => Some(Step::Connected),
            State::Subscribing(_) if now.duration_since(self.confirmed) >= CONFIRMING => {
                let seconds = CONFIRMING.as_secs();
                let text = format_args!("it has not confirmed our channels for {seconds} s");
                Some(Step::Lost(Failure::away(text)))
            }
            State::Settling(until) if until <= now => {
                self.state = State::Open;
                None
            }
            _ => None,
        }
    }

    /// Begins an attempt. Its task lives until it fails, or nobody wants it any more.
    pub(crate) fn connect(&mut self, parts: &Parts) {
        // Holds what the queue and the subscriptions let be under way.
        let (asks, asked) = unbounded_channel();
        let (reporting, reports) = channel(REPORTS);
        let line = Line {
            asks: asked,
            reports: reporting,
        };
        self.link = Some(Link { asks, reports });
        self.state = State::Connecting;
        let prefix = parts.config.prefix.clone();
        match parts.config.transport.clone() {
            #[cfg(feature = "redis")]
            Transport::Redis(redis) => {
                tokio::spawn(async move {
                    pin!(crate::bus::redis::run(&redis, &prefix, line)).await;
                });
            }
            #[cfg(feature = "nats")]
            Transport::Nats(places) => {
                let own = Channel::Process(parts.process);
                tokio::spawn(async move {
                    pin!(crate::bus::nats::run(&places, &prefix, own, line)).await;
                });
            }
        }
    }

    /// Waits for its next reports; for ever if there is none.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken before it returns.
    pub(crate) async fn reports(&mut self, into: &mut Vec<Report>) -> usize {
        match &mut self.link {
            Some(link) => link.reports.recv_many(into, REPORTS).await,
            None => pending().await,
        }
    }

    /// Whether it takes asks.
    pub(crate) fn has_link(&self) -> bool {
        self.link.is_some()
    }

    /// Asks it for something.
    pub(crate) fn ask(&self, ask: Ask) {
        if let Some(link) = &self.link {
            // One that has just ended reports that.
            let _ = link.asks.send(ask);
        }
    }

    /// The bus is there. All subscriptions up to a place are to be confirmed before anything else.
    pub(crate) fn subscribe(&mut self, last: u64, now: Instant) {
        self.state = State::Subscribing(last);
        self.confirmed = now;
    }

    /// The bus has confirmed a subscription.
    pub(crate) fn confirmed(&mut self, now: Instant) {
        self.confirmed = now;
    }

    /// The bus has confirmed all subscriptions. If there was an outage, others come back too, and have some time for that.
    pub(crate) fn connected(&mut self, was_away: bool, now: Instant) {
        self.since = now;
        self.state = if was_away {
            State::Settling(now + SETTLING)
        } else {
            State::Open
        };
    }

    /// When publications leave, if it is connected.
    pub(crate) fn opens(&self, now: Instant) -> Instant {
        match self.state {
            State::Settling(until) => until,
            _ => now,
        }
    }

    /// It is gone. The next attempt has to wait, and the longer the more attempts have failed.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.link = None;
        self.away = Lanes::default();
        if self.is_connected() && now.duration_since(self.since) >= STABLE {
            self.attempts = 0;
        }
        self.state = State::Away(now + backoff(self.attempts));
        self.attempts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that waits for the confirmation of one channel.
    fn subscribing(now: Instant) -> (Connection, Subscriptions) {
        let mut subscriptions = Subscriptions::default();
        let channel = crate::bus::channels::Channel::Everybody;
        subscriptions.open(channel, None);
        let mut connection = Connection::new(now);
        assert_eq!(connection.advance(&subscriptions, now), Some(Step::Connect));
        connection.subscribe(subscriptions.last(), now);
        subscriptions.connected();
        assert_eq!(connection.advance(&subscriptions, now), None);
        subscriptions.confirmed(channel);
        (connection, subscriptions)
    }

    #[test]
    fn publications_leave_at_once_unless_there_was_an_outage() {
        for was_away in [false, true] {
            let now = Instant::now();
            let (mut connection, subscriptions) = subscribing(now);
            let step = connection.advance(&subscriptions, now);
            assert_eq!(step, Some(Step::Connected));
            connection.connected(was_away, now);
            assert!(connection.is_connected());
            assert_eq!(connection.is_open(), !was_away);
            let opens = connection.opens(now);
            assert_eq!(
                opens - now,
                if was_away { SETTLING } else { Duration::ZERO }
            );
            assert_eq!(connection.due(), was_away.then_some(opens));
            assert_eq!(connection.advance(&subscriptions, opens), None);
            assert!(connection.is_open() && connection.due().is_none());
        }
    }

    #[test]
    fn a_bus_that_confirms_nothing_more_for_ten_seconds_is_given_up() {
        let now = Instant::now();
        let (mut connection, mut subscriptions) = subscribing(now);
        subscriptions.ask_again(crate::bus::channels::Channel::Everybody);
        let later = now + CONFIRMING / 2;
        assert_eq!(connection.advance(&subscriptions, later), None);
        connection.confirmed(later);
        assert_eq!(connection.advance(&subscriptions, now + CONFIRMING), None);
        let due = connection.due().unwrap();
        assert_eq!(due, later + CONFIRMING);
        let step = connection.advance(&subscriptions, due);
        assert!(matches!(step, Some(Step::Lost(_))), "{step:?}");
    }

    #[test]
    fn attempts_come_quickly_again_after_a_connection_that_held() {
        let mut now = Instant::now();
        let mut connection = Connection::new(now);
        let mut wait = |connection: &mut Connection, held: Duration| {
            connection.connected(false, now);
            now += held;
            connection.lost(now);
            connection.due().unwrap() - now
        };
        for _ in 0..10 {
            wait(&mut connection, STABLE / 2);
        }
        assert!(wait(&mut connection, STABLE / 2) >= Duration::from_secs(1));
        assert!(wait(&mut connection, STABLE) <= Duration::from_millis(200));
    }
}
