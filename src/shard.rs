//! One I/O thread: owns its connections and its share of every room.
//!
//! A shard shares its inbox, its mailbox and its counters with other threads, and what [`shared`] holds. This file has the state,
//! and functions that need nothing else. The files beside it change the state. Nothing here awaits.

pub(crate) mod answer;
pub(crate) mod bad;
pub(crate) mod compressor;
pub(crate) mod delivery;
pub(crate) mod drain;
pub(crate) mod fan_out;
pub(crate) mod flush;
pub(crate) mod ids;
pub(crate) mod leave;
pub(crate) mod life;
pub(crate) mod obey;
pub(crate) mod orders;
pub(crate) mod parts;
pub(crate) mod questions;
pub(crate) mod relief;
pub(crate) mod shared;
pub(crate) mod slots;
pub(crate) mod stop;
pub(crate) mod tasks;
pub(crate) mod twins;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use crate::{
    border::{
        event::{Event, FaultCode},
        handle::Handle,
        inbox::InboxWriter,
        mailbox::StopMode,
        owner::{Owner, OwnerNumber},
    },
    config::Config,
    connection::{Connection, State},
    limits::buffered::Tally,
    message::{error::BadCode, protocol::Protocol, routes::Routes},
    metrics::Metrics,
    rooms::{directory::RoomDirectory, registry::Registry},
};

use self::{
    bad::{BadMessages, Counts},
    compressor::Compressor,
    drain::Drain,
    ids::Ids,
    parts::{Part, Parts},
    shared::Shared,
    slots::Slots,
    tasks::Tasks,
};

/// Bytes of the buffer all connections of a shard are read through.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// The state of one I/O thread.
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) shared: Arc<Shared>,
    /// What it has of each owner.
    pub(crate) parts: RefCell<Parts>,
    /// The part of an owner that leaves has changed.
    pub(crate) parted: Notify,
    /// When the connections of owners that are gone are cut off.
    pub(crate) orphans_by: Cell<Option<Instant>>,
    /// An inbox has its first event since it was published.
    pub(crate) unpublished: Notify,
    /// Bad messages that the owner has not heard of yet.
    bad: RefCell<BadMessages>,
    /// The first bad message of a second has come.
    pub(crate) has_bad: Notify,
    slots: RefCell<Slots>,
    registry: RefCell<Registry>,
    ids: Ids,
    /// Connections to flush at the end of the batch.
    touched: RefCell<Vec<Rc<Connection>>>,
    /// The bytes that its connections hold.
    tally: Rc<Tally>,
    /// The relief of the server is running.
    pub(crate) is_relieving: Cell<bool>,
    /// Wakes the relief.
    pub(crate) is_over: Notify,
    /// Connections that stopped reading because the inbox is full, or the server holds too much.
    waiting: RefCell<Vec<Rc<Connection>>>,
    scratch: Cell<Vec<u8>>,
    compressor: Compressor,
    /// Ticks of the heartbeat's timer.
    tick: Cell<u16>,
    /// Number of the last fan-out that marked its receivers.
    fan_out: Cell<u32>,
    pub(crate) listener: RefCell<Option<AbortHandle>>,
    stopping: Cell<Option<StopMode>>,
    /// The mode has changed.
    pub(crate) stop_signal: Notify,
    /// The plan of the drain, while the server drains.
    pub(crate) drain: RefCell<Option<Drain>>,
    pub(crate) tasks: Tasks,
}

impl Shard {
    pub(crate) fn new(index: u32, shared: Arc<Shared>) -> Rc<Self> {
        let tally = Rc::new(Tally::new(shared.buffered.clone(), index as usize));
        let slots = RefCell::new(Slots::new(index, shared.shards()));
        let compressor = Compressor::new(shared.config.compression);
        let ids = Ids::new(shared.has_bus() || shared.config.is_shared);
        Rc::new(Self {
            index,
            shared,
            parts: RefCell::default(),
            parted: Notify::new(),
            orphans_by: Cell::new(None),
            unpublished: Notify::new(),
            bad: RefCell::default(),
            has_bad: Notify::new(),
            slots,
            registry: RefCell::default(),
            ids,
            touched: RefCell::default(),
            tally,
            is_relieving: Cell::new(false),
            is_over: Notify::new(),
            waiting: RefCell::default(),
            scratch: Cell::default(),
            compressor,
            tick: Cell::new(0),
            fan_out: Cell::new(0),
            listener: RefCell::default(),
            stopping: Cell::new(None),
            stop_signal: Notify::new(),
            drain: RefCell::default(),
            tasks: Tasks::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn protocol(&self) -> &dyn Protocol {
        &*self.shared.protocol
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.shared.routes
    }

    pub(crate) fn rooms(&self) -> &RoomDirectory {
        &self.shared.rooms
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics[self.index as usize]
    }

    pub(crate) fn tally(&self) -> &Rc<Tally> {
        &self.tally
    }

    pub(crate) fn compressor(&self) -> &Compressor {
        &self.compressor
    }

    pub(crate) fn tick(&self) -> u16 {
        self.tick.get()
    }

    pub(crate) fn next_tick(&self) -> u16 {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.tick.get()
    }

    /// How the shard stops; `None` before it does.
    pub(crate) fn stopping(&self) -> Option<StopMode> {
        self.stopping.get()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get().is_some()
    }

    // Connections.

    /// The connection of that number, if it is ours and has not been released.
    pub(crate) fn connection(&self, handle: Handle) -> Option<Rc<Connection>> {
        self.slots.borrow().get(handle).cloned()
    }

    /// The connection in a slot of this shard.
    pub(crate) fn in_slot(&self, slot: u32) -> Option<Rc<Connection>> {
        self.slots.borrow().in_slot(slot).cloned()
    }

    /// The slot of one of this shard's connections.
    pub(crate) fn slot(&self, connection: &Connection) -> u32 {
        connection.handle().slot(self.shared.shards())
    }

    /// All connections the owner knows of.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        self.slots.borrow().all()
    }

    /// Lists a connection for the flush at the end of the batch.
    pub(crate) fn touch(&self, connection: &Rc<Connection>) {
        if connection.output.list() {
            self.touched.borrow_mut().push(connection.clone());
        }
    }

    /// Lists a connection that is to be woken when it may be read again.
    pub(crate) fn wake_later(&self, connection: &Rc<Connection>) {
        if connection.read_gate.start_waiting() {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() == waiting.capacity() {
                // If the owner took nothing for long, this list would keep all connections that come and go meanwhile.
                waiting.retain(|it| it.state() != State::Ended);
            }
            waiting.push(connection.clone());
        }
    }

    /// Wakes the connections that waited to be read.
    pub(crate) fn wake_waiting(&self) {
        for connection in self.waiting.take() {
            connection.read_gate.stop_waiting();
            connection.wake();
        }
    }

    /// The shard's read buffer; to be given back before anything is awaited.
    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        let scratch = self.scratch.take();
        if scratch.is_empty() {
            vec![0; SCRATCH]
        } else {
            scratch
        }
    }

    /// Takes the read buffer back; any other buffer is freed.
    pub(crate) fn return_scratch(&self, scratch: Vec<u8>) {
        if scratch.len() == SCRATCH {
            self.scratch.set(scratch);
        }
    }

    // Owners, and reports to them.

    /// Lets an owner in.
    pub(crate) fn add_owner(&self, owner: Arc<Owner>) {
        let inbox = InboxWriter::new(owner.inboxes[self.index as usize].clone());
        self.parts.borrow_mut().add(owner, inbox);
    }

    /// Whose the next connection is; `None` if all owners leave.
    pub(crate) fn next_owner(&self) -> Option<OwnerNumber> {
        self.parts.borrow().choose().map(|part| part.owner.number)
    }

    /// Appends an event for the owner of a connection; returns how many bytes its value has.
    pub(crate) fn tell(&self, connection: &Connection, event: &Event<'_>) -> u32 {
        let mut parts = self.parts.borrow_mut();
        let Some(part) = parts.of_mut(connection.owner()) else {
            return 0;
        };
        self.write(part, connection.handle(), event)
    }

    fn write(&self, part: &mut Part, handle: Handle, event: &Event<'_>) -> u32 {
        let bytes = part.writer.push(handle, event);
        if part.writer.unpublished() == 1 {
            self.unpublished.notify_one();
        }
        bytes
    }

    /// Publishes what has been appended for all owners.
    pub(crate) fn publish(&self) {
        for part in self.parts.borrow_mut().iter_mut() {
            part.writer.publish();
        }
    }

    /// How many events are not published yet.
    pub(crate) fn unpublished(&self) -> usize {
        let parts = self.parts.borrow();
        parts.iter().map(|it| it.writer.unpublished()).sum()
    }

    /// Tells all owners that the shard has stopped.
    pub(crate) fn tell_stopped(&self) {
        for part in self.parts.borrow_mut().iter_mut() {
            part.writer.push(Handle(self.index), &Event::Stopped);
            part.writer.publish();
        }
    }

    /// Tells of a fault that is of no connection.
    pub(crate) fn fault(&self, code: FaultCode, message: &str) {
        let id = None;
        if let Some(part) = self.parts.borrow_mut().eldest() {
            self.write(part, Handle::NONE, &Event::Fault { code, message, id });
        }
    }

    /// Tells the owner of a connection of a fault that is about it.
    pub(crate) fn fault_of(&self, connection: &Connection, code: FaultCode, message: &str) {
        let id = Some(connection.id());
        if let Some(part) = self.parts.borrow_mut().of_mut(connection.owner()) {
            self.write(part, Handle::NONE, &Event::Fault { code, message, id });
        }
    }

    /// Whether an owner has heard the bell lately. Asking rings it.
    pub(crate) fn is_heard(&self) -> bool {
        let parts = self.parts.borrow();
        parts.iter().any(|part| part.writer.is_heard())
    }

    /// Tells an owner that a crowd has left: it frees memory of the whole process.
    pub(crate) fn thinned(&self) {
        if let Some(part) = self.parts.borrow_mut().eldest() {
            part.writer.thinned();
        }
    }

    /// Tells the owner of a bad message, or counts it. `payload` is that of its `$error`.
    pub(crate) fn tell_bad(&self, connection: &Connection, code: BadCode, payload: &[u8]) {
        let mut bad = self.bad.borrow_mut();
        if bad.is_empty() {
            self.has_bad.notify_one();
        }
        if bad.count(connection.handle(), code) {
            self.tell(connection, &Event::Bad { payload });
        }
    }

    /// Tells the owner of what was counted of one client, before it hears of that client's end.
    pub(crate) fn tell_rest_of(&self, connection: &Connection) {
        let counts = self.bad.borrow_mut().take_of(connection.handle());
        if let Some(counts) = counts {
            self.tell_counts(connection, &counts);
        }
    }

    /// Tells the owners of all that was counted.
    pub(crate) fn tell_rest(&self) {
        let counts = self.bad.borrow_mut().take();
        for (handle, counts) in counts {
            if let Some(connection) = self.connection(handle) {
                self.tell_counts(&connection, &counts);
            }
        }
    }

    fn tell_counts(&self, connection: &Connection, counts: &Counts) {
        for payload in counts.payloads() {
            self.tell(connection, &Event::Bad { payload: &payload });
        }
    }

    /// Whether the inbox that [`fault`](Self::fault) writes into takes no more of what peers can cause without end.
    pub(crate) fn is_inbox_full(&self) -> bool {
        let mut parts = self.parts.borrow_mut();
        parts.eldest().is_some_and(|part| part.writer.is_full())
    }

    /// Whether the owner of a connection wants no messages for now.
    pub(crate) fn is_inbox_closed(&self, connection: &Connection) -> bool {
        self.inbox(connection, InboxWriter::is_closed)
    }

    /// Whether a connection is not to be read for now: the inbox is full, or holds enough of it.
    pub(crate) fn is_unread(&self, connection: &Connection) -> bool {
        self.inbox(connection, |inbox| is_unread(inbox, connection))
    }

    /// Whether something holds of the inbox that a connection's events go to. It does not if its owner is gone.
    fn inbox(&self, connection: &Connection, holds: impl FnOnce(&InboxWriter) -> bool) -> bool {
        let parts = self.parts.borrow();
        parts
            .of(connection.owner())
            .is_some_and(|part| holds(&part.writer))
    }

    /// The same; the connection is woken when that may have changed.
    pub(crate) fn waits_for_inbox(&self, connection: &Rc<Connection>) -> bool {
        self.waits_while(connection, |inbox| is_unread(inbox, connection))
    }

    /// Whether `blocked` holds of the connection's inbox; the connection is woken when that may have changed.
    pub(crate) fn waits_while(
        &self,
        connection: &Rc<Connection>,
        blocked: impl Fn(&InboxWriter) -> bool,
    ) -> bool {
        let waits = self.inbox(connection, |inbox| inbox.waits(blocked));
        if waits {
            self.wake_later(connection);
        }
        waits
    }

    /// Counts the last event, of this many bytes, as one of the connection's events that wait for the owner.
    pub(crate) fn count_message(&self, connection: &Connection, bytes: u32) {
        let parts = self.parts.borrow();
        if let Some(part) = parts.of(connection.owner()) {
            let inbox = &part.writer;
            connection
                .read_gate
                .count(inbox.last(), bytes, |number| inbox.is_taken(number));
        }
    }

    /// Takes a message from the bucket of its client. If the bucket is empty, returns after how many nanoseconds it has one.
    pub(crate) fn take_message(&self, connection: &Connection) -> Result<(), u64> {
        match self.shared.message_rate {
            Some(rate) => connection.take_message(rate, self.shared.now()),
            None => Ok(()),
        }
    }

    /// Undoes a [`take_message`](Self::take_message).
    pub(crate) fn give_message_back(&self, connection: &Connection) {
        if let Some(rate) = self.shared.message_rate {
            connection.give_message_back(rate);
        }
    }
}

fn is_unread(inbox: &InboxWriter, connection: &Connection) -> bool {
    inbox.is_full()
        || inbox.is_closed()
        || connection
            .read_gate
            .has_enough(|number| inbox.is_taken(number))
}
