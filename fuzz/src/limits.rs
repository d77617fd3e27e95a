//! What a script asks a server to limit, and whether the server keeps to it.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use zocket::{Config, Handle, SlowClient};

use super::owner;

/// One in a long time, few, many.
const RATES: [Option<f64>; 4] = [None, Some(0.001), Some(5.0), Some(1000.0)];

pub struct Limits {
    started: Instant,
    messages_per_second: Option<f64>,
    upgrades_per_second: Option<f64>,
    connections: Option<usize>,
    upgrades: u32,
    messages: HashMap<Handle, u32>,
    connected: HashSet<Handle>,
}

impl Limits {
    /// The configuration that two bytes stand for.
    pub fn choose(size: u8, rate: u8) -> (Self, Config) {
        let rate_of = |bits: u8| RATES[usize::from(bits & 3)];
        let config = Config {
            // So much that it would be seen if it were held because it is announced.
            max_payload: if size & 1 == 0 { 1000 } else { 16 << 20 },
            max_backpressure: if size & 2 == 0 { 0 } else { 10_000 },
            slow_client: if size & 4 == 0 {
                SlowClient::Drop
            } else {
                SlowClient::Disconnect
            },
            max_inbox: if size & 8 == 0 { 1 } else { 4096 },
            io_threads: 1 + usize::from(size >> 4 & 1),
            heartbeat_interval: (size & 32 != 0).then_some(Duration::from_millis(1)),
            max_connections: (size & 64 != 0).then_some(2),
            close_timeout: Duration::from_millis(50),
            max_messages_per_second: rate_of(rate),
            max_upgrades_per_second: rate_of(rate >> 2),
            max_connections_per_address: (rate & 16 != 0).then_some(2),
            max_pending_handshakes: (rate & 32 != 0).then_some(1),
            handshake_timeout: if rate & 64 == 0 {
                owner::NEVER
            } else {
                Duration::from_millis(2)
            },
            ..Config::default()
        };
        let limits = Self {
            started: Instant::now(),
            messages_per_second: config.max_messages_per_second,
            upgrades_per_second: config.max_upgrades_per_second,
            // Events of two threads come in no order: one's new client may be told before the other's last.
            connections: (config.max_connections)
                .or(config.max_connections_per_address)
                .filter(|_| config.io_threads == 1),
            upgrades: 0,
            messages: HashMap::new(),
            connected: HashSet::new(),
        };
        (limits, config)
    }

    pub fn upgrade(&mut self, handle: Handle) {
        self.upgrades += 1;
        self.check(self.upgrades, self.upgrades_per_second);
        self.messages.remove(&handle);
        self.connected.insert(handle);
        let most = self.connections.unwrap_or(usize::MAX);
        assert!(self.connected.len() <= most, "{:?}", self.connected);
    }

    /// One that the owner was told of, good or bad.
    pub fn message(&mut self, handle: Handle) {
        let count = self.messages.entry(handle).or_default();
        *count += 1;
        let count = *count;
        self.check(count, self.messages_per_second);
    }

    /// It was refused, or is gone: its place may be somebody else's.
    pub fn end(&mut self, handle: Handle) {
        self.connected.remove(&handle);
    }

    /// Whether so many may have come by now: a second's worth at once, at least one, and what the time since allows.
    fn check(&self, count: u32, per_second: Option<f64>) {
        let Some(rate) = per_second else { return };
        let most = rate.max(1.0) + rate * self.started.elapsed().as_secs_f64();
        assert!(f64::from(count) <= most, "{count} at {rate} a second");
    }
}
