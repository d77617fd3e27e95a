//! The bus, over which several processes with the same rooms reach each other's clients.
//!
//! It has a thread of its own. The thread gets the owner's commands like a shard, and publishes those that are for clients anywhere.
//! What other processes publish becomes commands for the shards. This file is the side of the server; [`thread`] is the other one.

pub(crate) mod answers;
pub(crate) mod backoff;
pub(crate) mod books;
pub(crate) mod channels;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod flushes;
pub(crate) mod format;
pub(crate) mod incoming;
pub(crate) mod lanes;
pub(crate) mod link;
pub(crate) mod messages;
pub(crate) mod names;
#[cfg(feature = "nats")]
pub(crate) mod nats;
pub(crate) mod notices;
pub(crate) mod numbers;
pub(crate) mod orders;
pub(crate) mod outgoing;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod processes;
pub(crate) mod questions;
pub(crate) mod queue;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod seen;
pub(crate) mod subscriptions;
pub(crate) mod talk;
pub(crate) mod thinning;
pub(crate) mod thread;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::Sender},
    thread::{Builder as Threads, JoinHandle},
};

use tokio::runtime::Builder;

use crate::{
    border::{
        event::{Event, FaultCode},
        handle::{ClientId, Process},
        mailbox::{Mail, Mailbox, StopMode},
        owner::OwnerNumber,
    },
    rooms::changes::RoomChanges,
};

use self::{
    books::{Books, BusSnapshot},
    parts::Parts,
};

/// What a server knows of its bus.
pub(crate) struct Bus {
    pub(crate) process: Process,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) changes: Arc<RoomChanges>,
    pub(crate) books: Arc<Books>,
}

impl Bus {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::random(),
            mailbox: Arc::default(),
            changes: Arc::default(),
            books: Arc::default(),
        }
    }

    /// An id for a new client.
    pub(crate) fn new_id(&self) -> ClientId {
        ClientId::random_of(self.process)
    }

    /// Hands over commands, if one of them is for other processes.
    pub(crate) fn post(&self, owner: OwnerNumber, commands: &Arc<Vec<u8>>) {
        if outgoing::concerns(commands) {
            self.mailbox.commands(owner, commands.clone());
        }
    }

    /// Publishes what waits and ends, or ends at once.
    pub(crate) fn stop(&self, mode: StopMode) {
        self.mailbox.post(Mail::Stop(mode));
    }

    /// The counters now.
    pub(crate) fn snapshot(&self) -> BusSnapshot {
        self.books.snapshot()
    }
}

/// Starts the thread. It drops `alive` when it ends.
pub(crate) fn start(parts: Parts, alive: Sender<()>) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mailbox, owners) = (parts.mailbox.clone(), parts.owners.clone());
    let orders = parts.orders.clone();
    Threads::new().name("zocket-bus".into()).spawn(move || {
        let running = AssertUnwindSafe(|| runtime.block_on(thread::run(parts)));
        if catch_unwind(running).is_err() {
            for (index, owner) in owners.all().iter().enumerate() {
                let message = "the thread of the bus panicked";
                if index == 0 {
                    let code = FaultCode::Internal;
                    notices::tell(
                        owner,
                        &Event::Fault {
                            code,
                            message,
                            id: None,
                        },
                    );
                }
                notices::tell_ended(owner);
            }
        }
        mailbox.close();
        orders.bus_ended();
        // The system may still look a name up, and nobody waits for it.
        runtime.shutdown_background();
        drop(alive);
    })
}
