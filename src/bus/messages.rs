//! The messages for clients: what leaves on the bus, and what comes from it. [`talk`](super::talk) has what else processes tell each
//! other.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    border::{command::Command, owner::OwnerNumber, writer::CommandWriter},
    bus::{
        books::{self, Fate},
        channels::Channel,
        incoming::{Incoming, Outcome},
        names::Names,
        notices::{Trouble, Troubles},
        numbers::{Ids, Numbers},
        outgoing::Outgoing,
        parts::{Hands, Parts},
        seen::Seen,
        subscriptions::Subscriptions,
    },
    message::protocol::Kind,
};

/// Commands for the shards are handed over when they have so many bytes.
const HAND_OVER: usize = 64 * 1024;

/// What is known of messages in both directions.
pub(crate) struct Messages {
    names: Names,
    outgoing: Outgoing,
    incoming: Incoming,
    /// What came, as commands for the shards.
    deliveries: CommandWriter,
    pub(crate) troubles: Troubles,
}

impl Messages {
    pub(crate) fn new(parts: &Parts, now: Instant) -> Self {
        let process = parts.process;
        let names = Names::new(parts.routes.clone());
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
            deliveries: CommandWriter::new(),
            troubles: Troubles::new(now),
        }
    }

    // Out.

    /// Gives a route that the router does not have a number.
    pub(crate) fn name(&mut self, number: u32, kind: Kind, name: &[u8]) {
        self.names.add(number, kind, name);
    }

    /// Adds the publications of a command to the queue. `is_open` is whether publications leave.
    pub(crate) fn publish(&mut self, command: &Command<'_>, is_open: bool, hands: &mut Hands<'_>) {
        let Self {
            names,
            outgoing,
            troubles,
            ..
        } = self;
        let Hands { parts, queue, now } = hands;
        let name = |route| names.of(route);
        outgoing.each(command, *now, name, |channel, bytes| {
            parts.books.publish();
            let size = bytes.len();
            if size > parts.config.max_message {
                parts.books.end(Fate::Dropped, 1);
                troubles.note(Trouble::TooLong, format!("has {size} bytes"));
            } else if !queue.push(channel, bytes, *now) && is_open {
                // In an outage, the owner has heard that much will be dropped.
                troubles.note(Trouble::NoRoom, format!("has {size} bytes"));
            }
        });
    }

    // In.

    /// Takes a message of another process.
    pub(crate) fn receive(
        &mut self,
        (channel, bytes): (Channel, &[u8]),
        subscriptions: &Subscriptions,
        parts: &Parts,
    ) {
        let outcome = self.incoming.take(
            (channel, bytes),
            subscriptions,
            Instant::now(),
            |name| self.names.number_of(name),
            &mut self.deliveries,
        );
        let books = &parts.books;
        match outcome {
            Outcome::Taken { missed } => {
                books::add(&books.received, 1);
                books::add(&books.missed, missed);
            }
            Outcome::Ignored { missed } => books::add(&books.missed, missed),
            Outcome::Malformed { why, missed } => {
                books::add(&books.missed, missed);
                self.malformed(why, parts);
            }
        }
        if self.deliveries.bytes().len() >= HAND_OVER {
            self.deliver(parts);
        }
    }

    /// Something came that makes no sense.
    pub(crate) fn malformed(&mut self, why: String, parts: &Parts) {
        books::add(&parts.books.malformed, 1);
        self.troubles.note(Trouble::Malformed, why);
    }

    /// Hands over what came, as if the owner had sent it.
    pub(crate) fn deliver(&mut self, parts: &Parts) {
        if self.deliveries.bytes().is_empty() {
            return;
        }
        let mut buffer = parts.buffers.get();
        buffer.extend_from_slice(self.deliveries.bytes());
        self.deliveries.clear();
        let commands = Arc::new(buffer);
        for mailbox in &parts.shards {
            mailbox.commands(OwnerNumber::NOBODY, commands.clone());
        }
    }

    /// A channel is read no more.
    pub(crate) fn left(&mut self, channel: Channel) {
        self.incoming.seen.left(channel);
    }

    /// All channels are read to us again.
    pub(crate) fn returned(&mut self, now: Instant) {
        self.incoming.seen.returned(now);
    }

    // Time.

    /// Whether nothing is kept that gets old.
    pub(crate) fn is_tidy(&self) -> bool {
        self.outgoing.numbers.is_empty() && self.incoming.seen.is_empty()
    }

    /// Forgets what is old. `hears_all` is whether all channels are read to us: while nothing can come, nothing gets old.
    pub(crate) fn tidy(&mut self, hears_all: bool, now: Instant) {
        self.outgoing.numbers.tidy(now);
        if hears_all {
            self.incoming.seen.tidy(now);
        }
    }
}
