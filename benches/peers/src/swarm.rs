//! Many clients and the poll that watches them.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use crate::{Fault, options::Options, wire::Client};

/// Large enough that one read empties a socket, whatever came.
const SCRATCH: usize = 256 * 1024;

/// Clients that are opened together: servers keep more than this waiting to be accepted.
const BATCH: usize = 64;

/// Clients that are driven together.
pub(crate) struct Swarm {
    pub(crate) clients: Vec<Client>,
    pub(crate) scratch: Vec<u8>,
    poll: Poll,
    events: Events,
}

impl Swarm {
    /// Opens `count` clients.
    pub(crate) fn open(options: &Options, count: usize) -> Result<Self, Fault> {
        let mut swarm = Self {
            clients: Vec::with_capacity(count),
            scratch: vec![0; SCRATCH],
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
        };
        while swarm.clients.len() < count {
            let batch = BATCH.min(count - swarm.clients.len());
            let first = swarm.clients.len();
            let asked: Result<Vec<_>, _> = (first..first + batch)
                .map(|index| Client::begin(options, index))
                .collect();
            for socket in asked? {
                let index = swarm.clients.len();
                let mut client = Client::open(socket, options)
                    .map_err(|fault| format!("client {index} of {count}: {fault}"))?;
                swarm.poll.registry().register(
                    &mut client.socket,
                    Token(index),
                    Interest::READABLE | Interest::WRITABLE,
                )?;
                swarm.clients.push(client);
            }
        }
        Ok(swarm)
    }

    /// Has every client send one text, and compares their answers. `text` and `answer` make both from
    /// the client's number.
    pub(crate) fn ask_all(
        &mut self,
        text: impl Fn(usize) -> Vec<u8>,
        answer: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(), Fault> {
        for (batch, clients) in self.clients.chunks_mut(BATCH).enumerate() {
            for (index, client) in (batch * BATCH..).zip(&mut *clients) {
                client.say(&text(index))?;
            }
            for (index, client) in (batch * BATCH..).zip(clients) {
                client.hear(&mut self.scratch, [answer(index).as_slice()].into_iter())?;
            }
        }
        Ok(())
    }

    /// Sends texts of one client and compares their answers; see [`Client::ask`].
    pub(crate) fn ask(&mut self, client: usize, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Fault> {
        self.clients[client].ask(&mut self.scratch, pairs)
    }

    /// Waits for sockets, at most for `left`; fills `ready` with those that have something, and
    /// tells when it did.
    pub(crate) fn wait(
        &mut self,
        left: Duration,
        ready: &mut Vec<usize>,
    ) -> Result<Instant, Fault> {
        ready.clear();
        // The poll counts in whole milliseconds and rounds up: shorter waits are spent spinning.
        let timeout = left
            .checked_sub(Duration::from_millis(2))
            .map_or(Duration::ZERO, |it| it.min(Duration::from_millis(100)));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => return Ok(Instant::now()),
            other => other?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            if event.is_writable() && !self.clients[index].out.is_empty() {
                self.clients[index].flush()?;
            }
            if event.is_readable() {
                ready.push(index);
            }
        }
        Ok(Instant::now())
    }
}
