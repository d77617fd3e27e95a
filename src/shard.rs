//! One I/O thread: owns its connections and its share of every room, does what its mail says, and
//! writes each connection it touched once.
//!
//! Nothing here is shared with another thread but the inbox, the mailbox and the counters.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    mem,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit},
    task::{AbortHandle, spawn_local},
    time::{Instant, sleep_until},
};

use crate::{
    addresses::{Addresses, Source},
    config::{Config, SlowClient},
    connection::{Connection, Flush, Order, State},
    drain::Drain,
    event::{Event, FaultCode},
    handshake::{Reason, Refusal},
    heartbeat,
    id::{ClientId, Handle},
    inbox::InboxWriter,
    listener,
    mailbox::{Accepted, Mail, Mailbox, StopMode},
    metrics::{Metrics, RoomDirectory},
    protocol::Protocol,
    rate::{Rate, SharedBucket},
    registry::Registry,
    routes::{RoutePolicy, Routes},
    upgrade,
};

/// Bytes of the buffer all connections of a shard are read through.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// What the shards of one server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) rooms: RoomDirectory,
    /// Connections from their upgrade to their end.
    pub(crate) connections: AtomicUsize,
    /// The same by address, where that is limited.
    pub(crate) addresses: Addresses,
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

/// A connection's place under `max_connections` and `max_connections_per_address`, given back when dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
    /// Counted only where the number is limited.
    source: Option<Source>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::SeqCst);
        if let Some(source) = self.source {
            self.shared.addresses.leave(source);
        }
    }
}

pub(crate) struct Shard {
    index: u32,
    shared: Arc<Shared>,
    inbox: RefCell<InboxWriter>,
    /// The inbox has its first event since it was published.
    unpublished: Notify,
    slots: RefCell<Slots>,
    pub(crate) registry: RefCell<Registry>,
    /// Connections to flush at the end of the batch.
    touched: RefCell<Vec<Rc<Connection>>>,
    /// Connections that stopped reading because the inbox is full.
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
    /// Tasks that serve sockets.
    tasks: Cell<usize>,
    idle: Notify,
}

/// Connections by slot number.
#[derive(Default)]
struct Slots {
    connections: Vec<Option<Rc<Connection>>>,
    free: Vec<u32>,
}

impl Shard {
    /// Runs a shard on the current thread's runtime until it has stopped.
    pub(crate) async fn run(
        index: u32,
        shared: Arc<Shared>,
        inbox: InboxWriter,
        listener: Option<std::net::TcpListener>,
    ) -> std::io::Result<()> {
        let this = Rc::new(Self {
            index,
            shared,
            inbox: RefCell::new(inbox),
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
            tasks: Cell::new(0),
            idle: Notify::new(),
        });
        if let Some(listener) = listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let mailboxes = this.shared.mailboxes.clone();
            let task = spawn_local(listener::run(this.clone(), listener, mailboxes));
            *this.listener.borrow_mut() = Some(task.abort_handle());
        }
        if let Some(every) = this.config().heartbeat_interval {
            spawn_local(heartbeat::run(this.clone(), every));
        }
        spawn_local(this.clone().publish());
        this.work().await;
        Ok(())
    }

    /// Publishes events once the tasks that were ready with the first have had their turn: the
    /// owner is rung once for all of them.
    async fn publish(self: Rc<Self>) {
        loop {
            self.unpublished.notified().await;
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
                }
                () = self.idle.notified() => {}
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
            Mail::Commands(bytes) => self.apply(&bytes),
            Mail::Socket(Accepted {
                stream,
                peer,
                at,
                permit,
            }) => {
                // A socket the runtime refuses is closed; its client sees that.
                if let Ok(stream) = TcpStream::from_std(stream) {
                    self.serve(stream, peer, at.into(), permit);
                }
            }
            Mail::Drained => {
                for connection in self.waiting.take() {
                    connection.stop_waiting();
                    connection.wake();
                }
            }
            Mail::Stop(mode) => {
                if !matches!(mode, StopMode::Drain(_)) {
                    close_deadline.get_or_insert(Instant::now() + self.config().close_timeout);
                }
                self.stop(mode);
            }
        }
    }

    /// Serves a socket in a task of its own.
    pub(crate) fn serve(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        accepted: Instant,
        permit: OwnedSemaphorePermit,
    ) {
        let deadline = accepted + self.config().handshake_timeout;
        let counted = Counted::new(self.clone());
        spawn_local(async move {
            upgrade::serve(&counted.0, stream, peer, deadline, permit).await;
        });
    }

    fn stop(self: &Rc<Self>, mode: StopMode) {
        let is_milder = |current| !mode.is_harder_than(current);
        if self.stopping.get().is_some_and(is_milder) {
            return;
        }
        self.stopping.set(Some(mode));
        self.stop_signal.notify_waiters();
        if let StopMode::Drain(over) = mode {
            // Whoever comes is still told that there is nothing to come for.
            *self.drain.borrow_mut() = Some(self.plan(over));
            return;
        }
        self.drain.take();
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
        for connection in self.connections() {
            match mode {
                // Pending upgrades hear the signal.
                StopMode::Close if connection.state() == State::Pending => {}
                // It was told a moment ago, perhaps with a hint.
                StopMode::Close if connection.has_order() => {}
                StopMode::Close => connection.order(Order::Close(1001, None)),
                StopMode::Terminate => self.cut(&connection),
                StopMode::Drain(_) => {}
            }
        }
    }

    /// Whether the shard has stopped. The one that listens waits for the others, so that all who come are refused alike.
    fn is_done(&self) -> bool {
        let refuses = matches!(self.stopping.get(), Some(StopMode::Drain(_)))
            && self.listener.borrow().is_some()
            && self.shared.connections.load(Ordering::SeqCst) > 0;
        self.is_stopping() && self.tasks.get() == 0 && !refuses
    }

    fn plan(&self, over: Duration) -> Drain {
        let connections = self.connections();
        let open = connections.iter().filter(|it| it.state() == State::Open);
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        let handles = open.map(|it| it.handle()).collect();
        Drain::new(handles, over, self.index, shards)
    }

    /// Closes those whose turn it is; true when the time is up.
    fn drain_on(&self) -> bool {
        let mut drain = self.drain.borrow_mut();
        let Some(drain) = &mut *drain else {
            return false;
        };
        let now = Instant::now();
        for handle in drain.due(now) {
            // Its number is nobody else's yet: no upgrade has been taken since.
            if let Some(connection) = self.connection(handle) {
                close_for_later(&connection, drain.over());
            }
        }
        drain.is_over(now)
    }

    /// Tells of the clients for whom the time to close was not enough.
    fn tell_unclosed(&self) {
        for connection in self.connections() {
            if matches!(connection.state(), State::Open | State::Closing) {
                let message = "the client did not finish the closing handshake in time";
                self.fault(FaultCode::Stop, message, Some(connection.id()));
            }
        }
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

    pub(crate) fn rooms(&self) -> &RoomDirectory {
        &self.shared.rooms
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics[self.index as usize]
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

    /// Appends an event for the owner.
    pub(crate) fn tell(&self, handle: Handle, event: &Event<'_>) {
        if self.inbox.borrow_mut().push(handle, event) {
            self.unpublished.notify_one();
        }
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
        let inbox = self.inbox.borrow();
        let waits = inbox.waits(|inbox| is_unread(inbox, connection));
        if waits && connection.start_waiting() {
            self.waiting.borrow_mut().push(connection.clone());
        }
        waits
    }

    /// Counts a message of a connection as waiting for the owner.
    pub(crate) fn count_message(&self, connection: &Connection) {
        let inbox = self.inbox.borrow();
        connection.count_message(inbox.last(), |number| inbox.is_taken(number));
    }

    pub(crate) async fn inbox_room(&self, connection: &Rc<Connection>) {
        poll_fn(|cx| {
            connection.register(cx);
            if self.waits_for_inbox(connection) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    // Connections.

    /// A place among the server's connections, if one is left. What is refused takes nothing from the rate.
    pub(crate) fn find_place(&self, peer: IpAddr) -> Result<Place, Refusal> {
        let (shared, config) = (&self.shared, self.config());
        let mut source = None;
        if let Some(limit) = config.max_connections_per_address {
            let from = peer.into();
            if !shared.addresses.enter(from, limit) {
                return Err(Refusal::new(429, Reason::Address));
            }
            source = Some(from);
        }
        let before = shared.connections.fetch_add(1, Ordering::SeqCst);
        // Dropping the place gives back what a full house counted.
        let place = Place {
            shared: shared.clone(),
            source,
        };
        if before >= config.max_connections.unwrap_or(usize::MAX) {
            return Err(Refusal::new(503, Reason::MaxConnections));
        }
        let upgrades = shared.upgrades.as_ref();
        if upgrades.is_some_and(|bucket| !bucket.take(shared.now())) {
            return Err(Refusal::new(503, Reason::UpgradeRate));
        }
        Ok(place)
    }

    /// Takes a message from the bucket of its client; if there is none, says after how many nanoseconds there is one.
    pub(crate) fn take_message(&self, connection: &Connection) -> Result<(), u64> {
        match self.shared.message_rate {
            Some(rate) => connection.take_message(rate, self.shared.now()),
            None => Ok(()),
        }
    }

    /// Gives a new connection a number.
    pub(crate) fn register(&self, create: impl FnOnce(Handle) -> Rc<Connection>) -> Rc<Connection> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.connections.push(None);
            u32::try_from(slots.connections.len() - 1).expect("descriptors are far fewer than 2^32")
        });
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        let connection = create(Handle::new(slot, self.index, shards));
        slots.connections[slot as usize] = Some(connection.clone());
        connection
    }

    /// The connection of that number, if it is ours and has not been released.
    pub(crate) fn connection(&self, handle: Handle) -> Option<Rc<Connection>> {
        let shards = u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX);
        if handle.shard(shards) != self.index {
            return None;
        }
        self.slots
            .borrow()
            .connections
            .get(handle.slot(shards))?
            .clone()
    }

    /// The connection in a slot of this shard.
    pub(crate) fn in_slot(&self, slot: u32) -> Option<Rc<Connection>> {
        self.slots.borrow().connections.get(slot as usize)?.clone()
    }

    /// The slot of one of this shard's connections.
    pub(crate) fn slot(&self, connection: &Connection) -> u32 {
        connection.handle().0 / u32::try_from(self.shared.mailboxes.len()).unwrap_or(u32::MAX)
    }

    /// All connections the owner knows of.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        self.slots
            .borrow()
            .connections
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Lets a number be used again.
    pub(crate) fn release(&self, handle: Handle) {
        let Some(connection) = self.connection(handle) else {
            return;
        };
        let slot = self.slot(&connection);
        let mut slots = self.slots.borrow_mut();
        slots.connections[slot as usize] = None;
        slots.free.push(slot);
    }

    /// Pending to open.
    pub(crate) fn admit(&self, connection: &Rc<Connection>) {
        if connection.state() != State::Pending {
            return;
        }
        self.registry.borrow_mut().insert(self.slot(connection));
        connection.heard(self.tick());
        // Counted before the 101 leaves: who has seen it is counted.
        self.metrics().opened.add(1);
        connection.open();
        self.touch(connection);
        match self.stopping.get() {
            Some(StopMode::Close) => connection.order(Order::Close(1001, None)),
            Some(StopMode::Drain(over)) => close_for_later(connection, over),
            Some(StopMode::Terminate) | None => {}
        }
    }

    /// The end of a connection as far as anybody but its own task is concerned. Idempotent.
    pub(crate) fn end(&self, connection: &Connection) {
        let opened = !matches!(connection.state(), State::Pending);
        if !connection.end() {
            return;
        }
        self.registry
            .borrow_mut()
            .remove(self.slot(connection), |room| {
                self.shared.rooms.emptied(room);
            });
        if connection.is_known() {
            self.tell(connection.handle(), &Event::Closed { opened });
        } else {
            // Who has never heard of it would not release it either.
            self.release(connection.handle());
        }
    }

    /// Ends a connection at once; what waits for it is lost and counted.
    pub(crate) fn cut(&self, connection: &Rc<Connection>) {
        self.end(connection);
        connection.order(Order::Terminate);
    }

    // Writing.

    /// Queues a message for one client; `write` appends the frame and returns its length. Messages of routes that keep
    /// their latest alone have a way of their own.
    pub(crate) fn send_one(
        &self,
        connection: &Rc<Connection>,
        policy: RoutePolicy,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        self.metrics().sent.add(1);
        if connection.state() == State::Open && self.has_room(connection, policy) {
            connection.outbox().borrow_mut().push_message(write);
            self.touch(connection);
        } else {
            self.metrics().dropped.add(1);
        }
    }

    /// Whether another message may wait for this client; if not, the policy has been applied.
    fn has_room(&self, connection: &Rc<Connection>, policy: RoutePolicy) -> bool {
        let limit = self.config().max_backpressure;
        if connection.outbox().borrow().bytes() <= limit {
            return true;
        }
        // It may only look slow because this batch is large.
        if connection.flush(self.metrics()) != Flush::Broken
            && connection.outbox().borrow().bytes() <= limit
        {
            return true;
        }
        if self.cuts_off(policy) {
            self.disconnect_slow(connection);
        }
        false
    }

    /// Whether a message that finds no room cuts its client off.
    pub(crate) fn cuts_off(&self, policy: RoutePolicy) -> bool {
        match policy {
            RoutePolicy::Server => self.config().slow_client == SlowClient::Disconnect,
            RoutePolicy::Disconnect => true,
            RoutePolicy::Drop | RoutePolicy::Latest => false,
        }
    }

    /// Cuts off a client that reads too slowly.
    pub(crate) fn disconnect_slow(&self, connection: &Rc<Connection>) {
        // One that is gone reads nothing either, and is not to blame for it.
        if connection.flush(self.metrics()) != Flush::Broken {
            let message = "the client reads too slowly and was disconnected";
            self.fault(FaultCode::SlowClient, message, Some(connection.id()));
        }
        self.cut(connection);
    }

    /// Lists a connection for the flush at the end of the batch.
    pub(crate) fn touch(&self, connection: &Rc<Connection>) {
        if connection.list() {
            self.touched.borrow_mut().push(connection.clone());
        }
    }

    /// Writes every connection of the batch once.
    pub(crate) fn flush_touched(&self) {
        let mut touched = mem::take(&mut *self.touched.borrow_mut());
        for connection in touched.drain(..) {
            connection.unlist();
            self.flush_or_cut(&connection);
        }
        // The list's memory serves the next batch, unless that has begun.
        let mut next = self.touched.borrow_mut();
        if next.is_empty() {
            *next = touched;
        }
    }

    pub(crate) fn flush_or_cut(&self, connection: &Rc<Connection>) {
        if connection.flush(self.metrics()) == Flush::Broken {
            self.cut(connection);
        }
    }
}

/// Closes a connection with the hint not to connect again before a moment that differs from client to client.
fn close_for_later(connection: &Connection, over: Duration) {
    let most = u32::try_from(over.as_millis()).unwrap_or(u32::MAX);
    let hint = connection.id().share_of(most);
    connection.order(Order::Close(1001, Some(hint)));
}

fn is_unread(inbox: &InboxWriter, connection: &Connection) -> bool {
    inbox.is_full() || connection.has_enough_waiting(|number| inbox.is_taken(number))
}

/// Counts a task that serves a socket, also when it panics.
struct Counted(Rc<Shard>);

impl Counted {
    fn new(shard: Rc<Shard>) -> Self {
        shard.tasks.set(shard.tasks.get() + 1);
        Self(shard)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.tasks.get() - 1;
        self.0.tasks.set(left);
        if left == 0 {
            self.0.idle.notify_one();
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
