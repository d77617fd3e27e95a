//! The engine's public face: starts the threads, takes events out, hands commands in, stops.

use std::{
    any::Any,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

#[cfg(feature = "bus")]
use crate::bus::{self, Bus, books::BusSnapshot, parts::Parts};
#[cfg(unix)]
use crate::transport::unix;
#[cfg(feature = "tls")]
use crate::{Tls, transport::tls::material::Current};
use crate::{
    border::{
        act::{Act, Outcome},
        event::{Event, EventSink},
        handle::{ClientId, Handle},
        inbox::{Batch, Drained},
        mailbox::{Accepted, Arrival, Link, Mail, Mailbox, StopMode},
        order::Asker,
        orders::Orders,
        owner::{Left, Owner},
        payloads::write_with_payloads,
    },
    config::{Config, Listen},
    error::{Error, Result},
    handshake::{
        caller::Caller,
        refusal::{Reason, Refusal},
    },
    limits::{
        addresses::Source,
        buffered::Buffered,
        capacity::{Capacity, Limits},
        pending::PendingPlaces,
        rate::Rate,
    },
    message::{protocol::Protocol, routes::Routes},
    metrics::{Metrics, Snapshot},
    rooms::directory::RoomDirectory,
    shard::{Shard, shared::Shared},
    tasks::run,
    transport::{
        listen::{self, Sharing},
        listener::{Bound, Listener},
        stream::StdStream,
    },
};

/// Places beside the pending ones where probes are answered, so that a crowd that waits for the owner does not hide from an
/// orchestrator that the server is well.
const PROBE_PLACES: usize = 256;

/// How long the clients of a shared engine's last owner may take to answer its close frame, if that owner is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// So many owners of one engine keep to the bound of its memory. With more, their inboxes can go beyond it.
const USUAL_OWNERS: usize = 8;

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A running server, as one owner has it. When the last one is dropped, every connection is cut off, and that waits for the threads.
pub struct ServerHandle {
    engine: Arc<Engine>,
    owner: Arc<Owner>,
}

/// A running engine that is not kept alive by this.
#[derive(Debug, Clone)]
pub struct EngineRef(Weak<Engine>);

/// What all owners have in common.
struct Engine {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Bytes that each inbox may hold.
    inbox: usize,
    /// Held only to join; nobody else waits for it.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Disconnected when all of them have ended. Held to wait for that.
    ended: Mutex<Receiver<()>>,
    /// The thread of the bus, for the same.
    #[cfg(feature = "bus")]
    bus: Mutex<Option<JoinHandle<()>>>,
    /// Held to give a socket to a shard, or to refuse one.
    dealer: Mutex<Dealer>,
}

/// To whom the next socket goes.
#[derive(Debug, Default)]
struct Dealer {
    next: usize,
    /// Refusals are for the first shard alone, as the others may have stopped.
    is_stopping: bool,
}

/// An owner, for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerStatus {
    /// Its open connections.
    pub connections: usize,
    /// Whether it is the one that asks.
    pub is_self: bool,
}

/// A socket that somebody else accepted, and whose request they have read.
#[derive(Debug)]
pub struct Handed {
    /// The socket.
    pub stream: StdStream,
    /// Who is at the other end.
    pub caller: Caller,
    /// What has been read from it: the request's head, and what came behind it.
    pub read: Vec<u8>,
    /// For the owner of the other end; see [`Link`].
    pub link: Option<Link>,
}

impl Server {
    /// Listens and starts the I/O threads. `sink` is rung when there are events to take.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit that makes no sense, [`Error::Resolve`], [`Error::Bind`] and [`Error::BindPath`]
    /// for a place that cannot be listened on, [`Error::Thread`] when the system has no threads.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use zocket::{Config, Echo, Routes, Server, StopMode};
    ///
    /// let config = Config { hostname: Some("127.0.0.1".into()), port: 0, ..Config::default() };
    /// let routes = Arc::new(Routes::new(vec![], vec![]));
    /// let server = Server::bind(config, routes, Echo, || ())?;
    /// println!("listening on {}", server.address());
    /// server.stop(StopMode::Close);
    /// server.join();
    /// # Ok::<(), zocket::Error>(())
    /// ```
    pub fn bind(
        config: Config,
        routes: Arc<Routes>,
        protocol: impl Protocol,
        sink: impl EventSink,
    ) -> Result<ServerHandle> {
        config.check()?;
        let listener = bind(&config)?;
        let address = match &listener {
            Some(Bound::Tcp(listener)) => listener.local_addr().map_err(Error::Thread)?,
            _ => SocketAddr::from(([0_u8; 4], 0)),
        };
        let shards = config.io_threads;
        let max = config.max_buffered_bytes;
        let inboxes = shards * if config.is_shared { USUAL_OWNERS } else { 1 };
        let limit = Buffered::inbox(max, config.max_inbox, inboxes);
        let buffered = Arc::new(Buffered::new(
            max,
            limit.saturating_mul(inboxes / shards),
            shards,
        ));
        let is_watched = config.rules.health.is_some();
        let spare = if is_watched { PROBE_PLACES } else { 0 };
        let pending = Arc::new(PendingPlaces::new(config.pending_places(), spare));
        let capacity = Arc::new(Capacity::new(&Limits {
            connections: config.max_connections,
            connections_per_address: config.max_connections_per_address,
            upgrades: config.max_upgrades_per_second,
            upgrades_per_address: config.max_upgrades_per_second_per_address,
        }));
        let message_rate = config.max_messages_per_second.map(Rate::new);
        #[cfg(feature = "tls")]
        let tls = config.tls.clone().map(Current::new).map(Arc::new);
        #[cfg(feature = "bus")]
        let bus = config.bus.as_ref().map(|_| Bus::new());
        #[cfg(feature = "bus")]
        let rooms = RoomDirectory::new(bus.as_ref().map(|bus| bus.changes.clone()));
        #[cfg(not(feature = "bus"))]
        let rooms = RoomDirectory::default();
        let orders = Orders::new(
            u32::try_from(shards).unwrap_or(u32::MAX),
            #[cfg(feature = "bus")]
            bus.as_ref().map(|bus| bus.mailbox.clone()),
        );
        let shared = Arc::new(Shared {
            #[cfg(feature = "tls")]
            tls,
            config,
            protocol: Box::new(protocol),
            routes,
            rooms: Arc::new(rooms),
            buffers: Arc::default(),
            #[cfg(feature = "bus")]
            bus,
            buffered,
            capacity,
            pending,
            message_rate,
            started: Instant::now(),
            mailboxes: (0..shards).map(|_| Arc::default()).collect(),
            // One more for the owner, who can refuse too.
            metrics: (0..=shards).map(|_| Metrics::default()).collect(),
            orders: Arc::new(orders),
            owners: Arc::default(),
        });
        let is_watched = is_watched || shared.config.is_shared;
        let owner = shared.owners.enter(sink, is_watched, limit, shards);
        let owner = owner.ok_or_else(|| Error::Thread(io::ErrorKind::Other.into()))?;
        let mut listener = listener;
        let mut threads = Vec::with_capacity(shards);
        let (alive, ended) = channel();
        for index in 0..shards {
            // An error drops the threads that are ready, which ends them.
            threads.push(Ready::start(
                index,
                &shared,
                &owner,
                &alive,
                listener.take(),
            )?);
        }
        #[cfg(feature = "bus")]
        let bus = start_bus(&shared)?;
        let engine = Arc::new(Engine {
            #[cfg(feature = "bus")]
            bus: Mutex::new(bus),
            address,
            shared,
            inbox: limit,
            ended: Mutex::new(ended),
            threads: Mutex::new(threads.into_iter().map(Ready::run).collect()),
            dealer: Mutex::default(),
        });
        Ok(ServerHandle { engine, owner })
    }
}

/// Starts the thread of the bus, if there is one. It is the last thing that may fail.
#[cfg(feature = "bus")]
fn start_bus(shared: &Arc<Shared>) -> Result<Option<JoinHandle<()>>> {
    let Some((bus, config)) = shared.bus.as_ref().zip(shared.config.bus.clone()) else {
        return Ok(None);
    };
    let parts = Parts {
        config,
        process: bus.process,
        mailbox: bus.mailbox.clone(),
        changes: bus.changes.clone(),
        books: bus.books.clone(),
        directory: shared.rooms.clone(),
        shards: shared.mailboxes.clone(),
        buffers: shared.buffers.clone(),
        routes: shared.routes.clone(),
        orders: shared.orders.clone(),
        owners: shared.owners.clone(),
    };
    bus::start(parts).map(Some).map_err(Error::Thread)
}

/// Listens where the configuration says.
fn bind(config: &Config) -> Result<Option<Bound>> {
    let tcp = |sharing| listen::bind(config.hostname.as_deref(), config.port, sharing);
    Ok(match &config.listen {
        Listen::Port => Some(Bound::Tcp(tcp(Sharing::Alone)?)),
        Listen::SharedPort => Some(Bound::Tcp(tcp(Sharing::Shared)?)),
        Listen::Path(path) => {
            #[cfg(unix)]
            let bound = unix::bind(path).map(Bound::Unix);
            #[cfg(not(unix))]
            let bound = Err(io::ErrorKind::Unsupported.into());
            let path = path.clone();
            Some(bound.map_err(|source| Error::BindPath { path, source })?)
        }
        Listen::Nowhere => None,
    })
}

/// A thread that has all it needs and waits for the others. Nothing is accepted, and no event told, before all of them are
/// ready, so a server that cannot start leaves nothing to undo. Dropping it ends the thread and waits for that.
struct Ready {
    /// Dropped without a word, it ends the thread.
    go: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ready {
    fn start(
        index: usize,
        shared: &Arc<Shared>,
        owner: &Arc<Owner>,
        alive: &Sender<()>,
        listener: Option<Bound>,
    ) -> Result<Self> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let (shared, owner, alive) = (shared.clone(), owner.clone(), alive.clone());
        let (go, going) = sync_channel(1);
        let (started, starting) = sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("zocket-io-{index}"))
            .spawn(move || {
                let (runtime, listener) = match prepare(listener) {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let _ = started.send(Ok(()));
                if going.recv().is_ok() {
                    serve(index, &shared, owner, &runtime, listener);
                }
                drop(alive);
            })
            .map_err(Error::Thread)?;
        let this = Self {
            go: Some(go),
            thread: Some(thread),
        };
        let outcome = starting.recv();
        outcome
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
            .map_err(Error::Thread)?;
        Ok(this)
    }

    /// Lets the thread serve.
    fn run(mut self) -> JoinHandle<()> {
        if let Some(go) = self.go.take() {
            let _ = go.send(());
        }
        self.thread.take().expect("it is taken here alone")
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.go.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes the steps of a thread at which the system may fail. It builds the runtime, which is not `Send`, so each thread has to build
/// its own. It also registers the listening socket, for the thread that listens.
fn prepare(listener: Option<Bound>) -> io::Result<(LocalRuntime, Option<Listener>)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let listening = async { listener.map(Listener::new).transpose() };
    let listener = runtime.block_on(listening)?;
    Ok((runtime, listener))
}

/// Runs a shard to its end.
fn serve(
    index: u32,
    shared: &Arc<Shared>,
    owner: Arc<Owner>,
    runtime: &LocalRuntime,
    listener: Option<Listener>,
) {
    let mailbox = shared.mailboxes[index as usize].clone();
    let this = Shard::new(index, shared.clone());
    this.add_owner(owner);
    let running = run::run(this, listener);
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(running)));
    for mail in mailbox.close() {
        if let Mail::Socket(accepted) = mail {
            // Posted in the moment in which the shard stopped.
            (accepted.stream).answer(&Refusal::new(503, Reason::Stop).to_response());
        }
    }
    shared.orders.shard_ended(index);
    if let Err(panic) = outcome {
        let message = panic_text(&*panic);
        for owner in shared.owners.all() {
            owner.inboxes[index as usize].publish_one(Handle(index), &Event::Died { message });
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown panic")
}

impl Dealer {
    fn deal(&mut self, shards: usize) -> usize {
        if self.is_stopping {
            return 0;
        }
        self.next = (self.next + 1) % shards;
        self.next
    }
}

impl ServerHandle {
    /// The address that is listened on, with the port that was chosen; `0.0.0.0:0` if it is no address of the network.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.engine.address
    }

    /// The limits that are kept to.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.engine.shared.config
    }

    /// How many I/O threads there are; events and handles tell them apart.
    #[must_use]
    pub fn shards(&self) -> u32 {
        u32::try_from(self.owner.inboxes.len()).unwrap_or(u32::MAX)
    }

    /// The owner has woken up at the bell, whatever it does next. Health asks for it.
    pub fn hear(&self) {
        self.owner.bell.hear();
    }

    /// The owner has heard the bell and is about to take: what comes from now on rings again.
    pub fn answer(&self) {
        self.owner.bell.answer();
    }

    /// The oldest events of a shard: at most 112 KiB or 1,000, at least one. The bell does not ring for those that are left
    /// ([`Batch::is_followed`]): take until there are none, now or later.
    #[must_use]
    pub fn take(&self, shard: u32) -> Option<Batch> {
        let inbox = self.owner.inboxes.get(shard as usize)?;
        let (batch, drained) = inbox.take();
        if drained == Drained::Wake {
            self.engine.shared.mailboxes[shard as usize].post(Mail::Drained);
        }
        batch
    }

    /// Stops reading all clients, or reads them again. Events that are not messages still come.
    pub fn hold(&self, is_held: bool) {
        for (inbox, mailbox) in self.owner.inboxes.iter().zip(self.mailboxes()) {
            inbox.close(is_held);
            if !is_held {
                mailbox.post(Mail::Drained);
            }
        }
    }

    /// From now on heads say how much memory values may take once they are parsed.
    pub fn weigh(&self) {
        for inbox in &self.owner.inboxes {
            inbox.weigh();
        }
    }

    /// Gives a batch's memory back.
    pub fn recycle(&self, shard: u32, batch: Batch) {
        if let Some(inbox) = self.owner.inboxes.get(shard as usize) {
            inbox.recycle(batch);
        }
    }

    /// Hands commands over; every shard applies them in order. Waits while a shard is more than
    /// 8 MiB behind. See [`command`](crate::border::command) for the form.
    pub fn submit(&self, commands: &[u8]) {
        let mut buffer = self.engine.shared.buffers.get();
        buffer.extend_from_slice(commands);
        self.post(buffer);
    }

    /// The same, with payloads beside the commands; see [`write_with_payloads`].
    pub fn submit_with_payloads(&self, commands: &[u8], text: &[u8]) {
        let mut buffer = self.engine.shared.buffers.get();
        write_with_payloads(&mut buffer, commands, text);
        self.post(buffer);
    }

    fn post(&self, commands: Vec<u8>) {
        let commands = Arc::new(commands);
        #[cfg(feature = "bus")]
        if let Some(bus) = &self.engine.shared.bus {
            bus.post(self.owner.number, &commands);
        }
        for mailbox in &self.engine.shared.mailboxes {
            mailbox.commands(self.owner.number, commands.clone());
        }
    }

    /// Has something done with clients of other owners and processes, as far as the ids are theirs. What was submitted before is
    /// obeyed before. [`Event::Ordered`] with this number tells when it is done. It must not be the number of another
    /// order that is under way.
    pub fn order(&self, number: u32, act: Act, clients: Vec<ClientId>) {
        let shared = &self.engine.shared;
        let asker = Asker::Owner(Arc::downgrade(&self.owner), number);
        let Some(order) = shared.orders.begin(asker, act, clients) else {
            return;
        };
        #[cfg(feature = "bus")]
        if let Some(bus) = &shared.bus {
            bus.mailbox.post(Mail::Order(order.clone()));
        }
        for mailbox in &shared.mailboxes {
            mailbox.post(Mail::Order(order.clone()));
        }
    }

    /// The owner has done what an [`Event::Order`] of this shard told it, as far as it has submitted that.
    pub fn ordered(&self, shard: u32, order: u32, outcome: Outcome) {
        if let Some(mailbox) = self.engine.shared.mailboxes.get(shard as usize) {
            mailbox.post(Mail::Ordered(self.owner.number, order, outcome));
        }
    }

    /// How many upgrades have been answered with 101.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.engine
            .shared
            .metrics
            .iter()
            .map(|metrics| metrics.accepted.get())
            .sum()
    }

    /// The counters now.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        let owners = self.engine.shared.owners.all();
        let inboxes = owners.iter().flat_map(|owner| &owner.inboxes);
        let waiting = inboxes.map(|inbox| inbox.bytes()).sum::<usize>();
        let buffered = self.engine.shared.buffered.bytes() + waiting;
        let rooms = self.engine.shared.rooms.count();
        Snapshot::of(&self.engine.shared.metrics, rooms, buffered as u64)
    }

    /// The counters of the bus now; `None` if the server has none.
    #[cfg(feature = "bus")]
    #[must_use]
    pub fn bus(&self) -> Option<BusSnapshot> {
        self.engine.shared.bus.as_ref().map(Bus::snapshot)
    }

    /// Why the bus was away last, for those who wait for it; nothing if it never was.
    #[cfg(feature = "bus")]
    #[must_use]
    pub fn bus_trouble(&self) -> Option<String> {
        let bus = self.engine.shared.bus.as_ref()?;
        Some(bus.books.why()).filter(|why| !why.is_empty())
    }

    /// Publishes what waits for the bus, for two seconds at most, and lets go of it, unless other owners need it. An event tells
    /// when that is done.
    #[cfg(feature = "bus")]
    pub fn stop_bus(&self) {
        let Some(bus) = &self.engine.shared.bus else {
            return;
        };
        if self.has_others() {
            bus::notices::tell_ended(&self.owner);
        } else {
            bus.stop(StopMode::Close);
        }
    }

    /// Gives new handshakes other material. Sessions from before are not resumed; open connections stay. False if the server does
    /// not speak TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn set_tls(&self, tls: Tls) -> bool {
        let current = self.engine.shared.tls.as_ref();
        current.map(|current| current.set(tls)).is_some()
    }

    /// Lets one more owner in. From now on it gets a part of the new connections; `sink` is rung for it alone. `None` if the engine stops, or has
    /// 255 owners.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use zocket::{Config, Echo, Routes, Server, StopMode};
    ///
    /// let hostname = Some("127.0.0.1".into());
    /// let config = Config { hostname, port: 0, is_shared: true, ..Config::default() };
    /// let routes = Arc::new(Routes::new(vec![], vec![]));
    /// let first = Server::bind(config, routes, Echo, || ())?;
    /// let second = first.share(|| ()).expect("a running engine");
    /// first.leave(StopMode::Close);
    /// assert_eq!(second.address(), first.address());
    /// # Ok::<(), zocket::Error>(())
    /// ```
    #[must_use]
    pub fn share(&self, sink: impl EventSink) -> Option<Self> {
        self.engine().share(sink)
    }

    /// The engine, to be shared later.
    #[must_use]
    pub fn engine(&self) -> EngineRef {
        EngineRef(Arc::downgrade(&self.engine))
    }

    /// How many open connections each owner has, oldest first.
    #[must_use]
    pub fn owners(&self) -> Vec<OwnerStatus> {
        let owners = self.engine.shared.owners.all();
        let status = |owner: Arc<Owner>| OwnerStatus {
            connections: owner.open(),
            is_self: Arc::ptr_eq(&owner, &self.owner),
        };
        owners.into_iter().map(status).collect()
    }

    /// Ends the part of this owner: its connections are closed with 1012, bit by bit or at once, or cut off; also after an earlier,
    /// milder call. Each shard ends with [`Event::Stopped`]. The last owner [stops](Self::stop) the engine.
    pub fn leave(&self, mode: StopMode) {
        match self.parts() {
            Left::Nobody => self.stop(mode),
            Left::Others => self.post_to_all(|owner| Mail::Leave(owner, mode)),
        }
    }

    /// This owner is gone: its connections are closed with 1012, and nobody is told. The last owner ends the engine, and that waits for
    /// the threads. If the engine could be shared, it also waits for the clients to answer, for a second at most. Otherwise
    /// they are cut off.
    pub fn abandon(&self) {
        let left = self.parts();
        if left == Left::Others || self.config().is_shared {
            self.post_to_all(Mail::Abandon);
        }
        if left == Left::Nobody {
            if self.config().is_shared {
                self.stop(StopMode::Close);
                self.engine.wait(FAREWELL);
            }
            self.stop(StopMode::Terminate);
            self.join();
        }
    }

    fn parts(&self) -> Left {
        (self.engine.shared.owners).leave(&self.owner, self.mailboxes().len())
    }

    fn post_to_all(&self, mail: impl Fn(Arc<Owner>) -> Mail) {
        for mailbox in self.mailboxes() {
            mailbox.post(mail(self.owner.clone()));
        }
    }

    /// Refuses what is new and closes what is open, bit by bit or at once, or cuts it off; also after an
    /// earlier, milder call. Each shard ends with [`Event::Stopped`], for every owner.
    pub fn stop(&self, mode: StopMode) {
        self.engine.stop(mode);
    }

    fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.engine.shared.mailboxes
    }

    /// Serves a socket like one that came to the listener: the same limits, deadlines and refusals hold, counted from now on. As it
    /// cannot be made to wait, it is refused if there is no place for it.
    pub fn serve(&self, handed: Handed) {
        let Handed {
            stream,
            caller,
            read,
            link,
        } = handed;
        if stream.prepare().is_err() {
            // Its client sees the end.
            return;
        }
        let at = Instant::now();
        let pending = &self.engine.shared.pending;
        let place = pending.enter(Source::of(caller.address()), at.into());
        if !pending.squeeze(at.into()) {
            return stream.answer(&self.refuse(503, Reason::MaxConnections));
        }
        let arrival = Arrival {
            caller,
            at,
            read,
            link,
            place,
        };
        let target = self.dealer().deal(self.owner.inboxes.len());
        let mail = Mail::Socket(Accepted { stream, arrival });
        if let Some(Mail::Socket(accepted)) = self.engine.shared.mailboxes[target].post(mail) {
            (accepted.stream).answer(&self.refuse(503, Reason::Stop));
        }
    }

    /// Counts a refusal that the owner sends itself, and writes its answer.
    #[must_use]
    pub fn refuse(&self, status: u16, reason: Reason) -> Vec<u8> {
        // Counters have one writer at a time.
        let dealer = self.dealer();
        if let Some(metrics) = self.engine.shared.metrics.last() {
            metrics.refuse(reason);
        }
        drop(dealer);
        Refusal::new(status, reason).to_response()
    }

    fn dealer(&self) -> MutexGuard<'_, Dealer> {
        self.engine.dealer()
    }

    /// Waits for the threads to end, after a [`stop`](Self::stop).
    pub fn join(&self) {
        self.engine.join();
    }

    /// The same, without waiting for threads that go on for others.
    pub fn settle(&self) {
        if !self.has_others() {
            self.join();
        }
    }

    /// Whether the engine has other owners.
    #[must_use]
    pub fn has_others(&self) -> bool {
        let owners = self.engine.shared.owners.all();
        owners.iter().any(|it| !Arc::ptr_eq(it, &self.owner))
    }
}

impl EngineRef {
    /// Whether it takes more owners, as far as it does not stop.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let engine = self.0.upgrade();
        engine.is_some_and(|engine| !engine.dealer().is_stopping)
    }

    /// Lets one more owner in; see [`ServerHandle::share`].
    #[must_use]
    pub fn share(&self, sink: impl EventSink) -> Option<ServerHandle> {
        let engine = self.0.upgrade()?;
        let dealer = engine.dealer();
        if dealer.is_stopping {
            return None;
        }
        let shared = &engine.shared;
        let shards = shared.mailboxes.len();
        let owner = (shared.owners).enter(sink, true, engine.inbox, shards)?;
        for mailbox in &shared.mailboxes {
            mailbox.post(Mail::Owner(owner.clone()));
        }
        drop(dealer);
        Some(ServerHandle { engine, owner })
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Engine {
    fn stop(&self, mode: StopMode) {
        self.dealer().is_stopping = true;
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Mail::Stop(mode));
        }
    }

    fn dealer(&self) -> MutexGuard<'_, Dealer> {
        self.dealer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the threads to end, but not longer than that.
    fn wait(&self, limit: Duration) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody sends anything.
        let _ = ended.recv_timeout(limit);
    }

    fn join(&self) {
        #[cfg(feature = "bus")]
        if let Some(bus) = &self.shared.bus {
            bus.stop(StopMode::Terminate);
            let thread = (self.bus.lock().unwrap_or_else(PoisonError::into_inner)).take();
            // A panic in it has been told as an event.
            let _ = thread.map(JoinHandle::join);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in it has been told as an event.
            let _ = thread.join();
        }
    }
}
