//! One I/O thread: owns its connections and its share of every room, does what its mail says, and
//! writes each connection it touched once.
//!
//! Nothing here is shared with another thread but the inbox, the mailbox and the counters.

pub(crate) mod bad;
pub(crate) mod drain;
mod fan_out;
mod flush;
mod place;
mod relief;
mod slots;
mod stop;
mod tasks;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::IpAddr,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    task::Poll,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{AbortHandle, spawn_local, yield_now},
    time::{Instant, sleep_until},
};

use crate::{
    border::{
        buffers::Buffers,
        event::{Event, FaultCode},
        handle::{ClientId, Handle},
        inbox::InboxWriter,
        mailbox::{Accepted, Mail, Mailbox, StopMode},
    },
    config::Config,
    connection::{Connection, State},
    limits::{
        address_rate::AddressRates,
        addresses::Addresses,
        buffered::{Buffered, Tally},
        pending::{PendingPlace, PendingPlaces},
        rate::{Rate, SharedBucket},
    },
    message::{protocol::Protocol, routes::Routes},
    metrics::{Metrics, RoomDirectory},
    rooms::registry::Registry,
    shard::{bad::BadMessages, drain::Drain},
    tasks::{heartbeat, listener, session, upgrade},
};

pub(crate) use self::place::Place;
use self::{
    slots::Slots,
    tasks::{Counted, Tasks},
};

/// Bytes of the buffer all connections of a shard are read through.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// So many events at once, of whatever connections, are a sign of more to come.
const MANY: usize = 4;
/// How often sockets are looked at again before events are published.
const MOST_LOOKS: usize = 4;

/// What the shards of one server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) rooms: RoomDirectory,
    pub(crate) buffers: Buffers,
    pub(crate) buffered: Arc<Buffered>,
    /// Connections from their upgrade request until their sockets are closed.
    pub(crate) connections: AtomicUsize,
    /// The same by address, where that is limited.
    pub(crate) addresses: Addresses,
    /// Sockets that are no connection yet.
    pub(crate) pending: Arc<PendingPlaces>,
    /// Where upgrades of one address are limited.
    pub(crate) address_rates: Option<AddressRates>,
    pub(crate) upgrades: Option<SharedBucket>,
    /// Each connection has a bucket of its own.
    pub(crate) message_rate: Option<Rate>,
    /// What buckets count from.
    pub(crate) started: std::time::Instant,
    /// One a shard; the listener deals sockets into them.
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) metrics: Vec<Metrics>,
}

impl Shared {
    /// The time for buckets, in nanoseconds.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) struct Shard {
    index: u32,
    shared: Arc<Shared>,
    inbox: RefCell<InboxWriter>,
    /// What the owner has not heard of yet.
    pub(crate) bad: RefCell<BadMessages>,
    /// The inbox has its first event since it was published.
    unpublished: Notify,
    slots: RefCell<Slots>,
    pub(crate) registry: RefCell<Registry>,
    /// Connections to flush at the end of the batch.
    touched: RefCell<Vec<Rc<Connection>>>,
    /// What its connections hold.
    tally: Rc<Tally>,
    /// Something is being done about holding too much.
    is_relieving: Cell<bool>,
    /// Connections that stopped reading because the inbox is full, or the server holds too much.
    waiting: RefCell<Vec<Rc<Connection>>>,
    scratch: Cell<Vec<u8>>,
    tick: Cell<u32>,
    /// Number of the last fan-out with several rooms.
    pub(crate) fan_out: Cell<u32>,
    listener: RefCell<Option<AbortHandle>>,
    stopping: Cell<Option<StopMode>>,
    stop_signal: Notify,
    /// Who is closed when, while the server drains.
    drain: RefCell<Option<Drain>>,
    tasks: Tasks,
}

impl Shard {
    /// Runs a shard on the current thread's runtime until it has stopped.
    pub(crate) async fn run(
        index: u32,
        shared: Arc<Shared>,
        inbox: InboxWriter,
        listener: Option<TcpListener>,
    ) {
        let tally = Rc::new(Tally::new(shared.buffered.clone(), index as usize));
        let this = Rc::new(Self {
            index,
            shared,
            tally,
            is_relieving: Cell::new(false),
            inbox: RefCell::new(inbox),
            bad: RefCell::default(),
            unpublished: Notify::new(),
            slots: RefCell::default(),
            registry: RefCell::default(),
            touched: RefCell::default(),
            waiting: RefCell::default(),
            scratch: Cell::default(),
            tick: Cell::new(0),
            fan_out: Cell::new(0),
            listener: RefCell::default(),
            stopping: Cell::new(None),
            stop_signal: Notify::new(),
            drain: RefCell::default(),
            tasks: Tasks::default(),
        });
        if let Some(listener) = listener {
            let mailboxes = this.shared.mailboxes.clone();
            let task = spawn_local(listener::run(this.clone(), listener, mailboxes));
            *this.listener.borrow_mut() = Some(task.abort_handle());
        }
        if let Some(every) = this.config().heartbeat_interval {
            spawn_local(heartbeat::run(this.clone(), every));
        }
        spawn_local(this.clone().publish());
        spawn_local(this.clone().tell_when_thinned());
        this.work().await;
    }

    /// Publishes events once the tasks that were ready with the first have had their turn: the owner is rung once for all
    /// of them. While many come, what has arrived meanwhile is still read with them; a single one never waits.
    async fn publish(self: Rc<Self>) {
        loop {
            self.unpublished.notified().await;
            let mut seen = 0;
            for _ in 0..MOST_LOOKS {
                let events = self.inbox.borrow().unpublished();
                if events < seen + MANY {
                    break;
                }
                seen = events;
                yield_now().await;
            }
            self.inbox.borrow_mut().publish();
        }
    }

    async fn work(self: &Rc<Self>) {
        let mailbox = self.shared.mailboxes[self.index as usize].clone();
        let mut mail = Vec::new();
        let mut close_deadline = None;
        while !self.is_done() {
            let drain = self.drain.borrow().as_ref().map(Drain::next);
            tokio::select! {
                () = mailbox.take(&mut mail) => {
                    for mail in mail.drain(..) {
                        self.read_mail(mail, &mut close_deadline);
                    }
                    self.flush_touched();
                    self.watch_buffers();
                }
                () = self.tasks.none_left() => {}
                () = until(drain) => {
                    if self.drain_on() {
                        self.read_mail(Mail::Stop(StopMode::Close), &mut close_deadline);
                    }
                }
                () = until(close_deadline) => {
                    close_deadline = None;
                    self.tell_unclosed();
                    self.stop(StopMode::Terminate);
                }
            }
        }
        // The shard that listens may have waited for this one.
        self.shared.mailboxes[0].post(Mail::Drained);
        self.tell(Handle(self.index), &Event::Stopped);
        self.inbox.borrow_mut().publish();
    }

    fn read_mail(self: &Rc<Self>, mail: Mail, close_deadline: &mut Option<Instant>) {
        match mail {
            Mail::Commands(bytes) => {
                self.apply(&bytes);
                self.shared.buffers.give_back(bytes);
            }
            Mail::Socket(Accepted {
                stream,
                peer,
                at,
                place,
            }) => {
                // A socket the runtime refuses is closed; its client sees that.
                if let Ok(stream) = TcpStream::from_std(stream) {
                    self.serve(stream, peer, at.into(), place);
                }
            }
            Mail::Drained => self.wake_waiting(),
            // Seen after every batch.
            Mail::Full => {}
            Mail::Stop(mode) => {
                if !matches!(mode, StopMode::Drain(_)) {
                    close_deadline.get_or_insert(Instant::now() + self.config().close_timeout);
                }
                self.stop(mode);
            }
        }
    }

    /// Wakes the connections that waited to be read.
    fn wake_waiting(&self) {
        for connection in self.waiting.take() {
            connection.stop_waiting();
            connection.wake();
        }
    }

    /// Serves a socket in a task of its own.
    pub(crate) fn serve(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        accepted: Instant,
        place: PendingPlace,
    ) {
        let deadline = accepted + self.config().handshake_timeout;
        let counted = Counted::new(self.clone());
        // Boxed, so that an open connection does not carry the handshake's memory along.
        let opening = Box::pin(upgrade::open(self.clone(), place, stream, peer, deadline));
        spawn_local(async move {
            let _counted = counted;
            if let Some(open) = opening.await {
                session::run(open).await;
            }
        });
    }

    // What tasks ask for.

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn protocol(&self) -> &dyn Protocol {
        &*self.shared.protocol
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.shared.routes
    }

    pub(crate) fn pending_places(&self) -> &Arc<PendingPlaces> {
        &self.shared.pending
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

    pub(crate) fn tick(&self) -> u32 {
        self.tick.get()
    }

    pub(crate) fn next_tick(&self) -> u32 {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.tick.get()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get().is_some()
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        if !self.is_stopping() {
            self.stop_signal.notified().await;
        }
    }

    /// Resolves when everything is to be cut off.
    pub(crate) async fn terminating(&self) {
        while self.stopping.get() != Some(StopMode::Terminate) {
            self.stop_signal.notified().await;
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

    /// Appends an event for the owner; returns how many bytes its value has.
    pub(crate) fn tell(&self, handle: Handle, event: &Event<'_>) -> u32 {
        let mut inbox = self.inbox.borrow_mut();
        let bytes = inbox.push(handle, event);
        if inbox.unpublished() == 1 {
            self.unpublished.notify_one();
        }
        bytes
    }

    pub(crate) fn fault(&self, code: FaultCode, message: &str, id: Option<ClientId>) {
        self.tell(Handle::NONE, &Event::Fault { code, message, id });
    }

    /// Whether the inbox takes no more of what peers can cause without end.
    pub(crate) fn is_inbox_full(&self) -> bool {
        self.inbox.borrow().is_full()
    }

    /// Whether a connection is not to be read for now: the inbox is full, or holds enough of it.
    pub(crate) fn is_unread(&self, connection: &Connection) -> bool {
        is_unread(&self.inbox.borrow(), connection)
    }

    /// The same; the connection is woken when that may have changed.
    pub(crate) fn waits_for_inbox(&self, connection: &Rc<Connection>) -> bool {
        self.waits_while(connection, |inbox| is_unread(inbox, connection))
    }

    fn waits_while(
        &self,
        connection: &Rc<Connection>,
        blocked: impl Fn(&InboxWriter) -> bool,
    ) -> bool {
        let inbox = self.inbox.borrow();
        let waits = inbox.waits(blocked);
        drop(inbox);
        if waits {
            self.wake_later(connection);
        }
        waits
    }

    /// Lists a connection that is to be woken when it may be read again.
    fn wake_later(&self, connection: &Rc<Connection>) {
        if connection.start_waiting() {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() == waiting.capacity() {
                // An owner that takes nothing for long would keep all that come and go meanwhile.
                waiting.retain(|it| it.state() != State::Ended);
            }
            waiting.push(connection.clone());
        }
    }

    /// Counts the event that was told last, of so many bytes, as one of a connection's that wait for the owner.
    pub(crate) fn count_message(&self, connection: &Connection, bytes: u32) {
        let inbox = self.inbox.borrow();
        connection.count_message(inbox.last(), bytes, |number| inbox.is_taken(number));
    }

    pub(crate) async fn inbox_room(&self, connection: &Rc<Connection>) {
        poll_fn(|cx| {
            connection.register(cx);
            if self.waits_while(connection, InboxWriter::is_full) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Takes a message from the bucket of its client; if there is none, says after how many nanoseconds there is one.
    pub(crate) fn take_message(&self, connection: &Connection) -> Result<(), u64> {
        match self.shared.message_rate {
            Some(rate) => connection.take_message(rate, self.shared.now()),
            None => Ok(()),
        }
    }
}

fn is_unread(inbox: &InboxWriter, connection: &Connection) -> bool {
    inbox.is_full()
        || inbox.is_closed()
        || connection.has_enough_waiting(|number| inbox.is_taken(number))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
