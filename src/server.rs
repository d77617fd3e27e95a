//! The engine's public face. This file starts servers; `handle` has what a running one can do.

pub(crate) mod engine;
pub mod handle;

use std::{
    any::Any,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        mpsc::{Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

#[cfg(feature = "bus")]
use crate::bus::{self, Bus, parts::Parts};
#[cfg(feature = "tls")]
use crate::transport::tls::material::Current;
#[cfg(unix)]
use crate::transport::unix;
use crate::{
    border::{
        event::{Event, EventSink},
        handle::Handle,
        mailbox::Mail,
        orders::Orders,
        owner::Owner,
    },
    config::{Config, Listen},
    error::{Error, Result},
    handshake::refusal::{Reason, Refusal},
    limits::{
        buffered::Buffered,
        capacity::{Capacity, Limits},
        pending::PendingPlaces,
        rate::Rate,
    },
    message::{protocol::Protocol, routes::Routes},
    metrics::Metrics,
    rooms::directory::RoomDirectory,
    server::{engine::Engine, handle::ServerHandle},
    shard::{Shard, shared::Shared},
    tasks::run,
    transport::{
        listen::{self, Sharing},
        listener::{Bound, Listener},
    },
};

/// Places beside the pending ones where probes are answered, so that a crowd that waits for the owner does not hide from an
/// orchestrator that the server is well.
const PROBE_PLACES: usize = 256;

/// So many owners of one engine keep to the bound of its memory. With more, their inboxes can go beyond it.
const USUAL_OWNERS: usize = 8;

/// Starts servers.
#[derive(Debug)]
pub struct Server;

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
        let bus = start_bus(&shared, &alive)?;
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
fn start_bus(shared: &Arc<Shared>, alive: &Sender<()>) -> Result<Option<JoinHandle<()>>> {
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
    (bus::start(parts, alive.clone()).map(Some)).map_err(Error::Thread)
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
