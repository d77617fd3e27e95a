//! A running server, as one owner has it: takes events out, hands commands in, shares, stops.

use std::{
    net::SocketAddr,
    sync::{Arc, MutexGuard, Weak},
    time::{Duration, Instant},
};

#[cfg(feature = "tls")]
use crate::Tls;
#[cfg(feature = "bus")]
use crate::bus::{self, Bus, books::BusSnapshot};
use crate::{
    border::{
        act::{Act, Outcome},
        event::EventSink,
        handle::ClientId,
        inbox::{Batch, Drained},
        mailbox::{Accepted, Arrival, Link, Mail, Mailbox, StopMode},
        order::Asker,
        owner::{Left, Owner},
        payloads::write_with_payloads,
    },
    config::Config,
    handshake::{
        caller::Caller,
        refusal::{Reason, Refusal},
    },
    limits::addresses::Source,
    metrics::Snapshot,
    server::engine::{Dealer, Engine},
    transport::stream::StdStream,
};

/// How long the clients of a shared engine's last owner may take to answer its close frame, if that owner is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// A running server, as one owner has it. When the last one is dropped, every connection is cut off, and that waits for the threads.
pub struct ServerHandle {
    pub(super) engine: Arc<Engine>,
    pub(super) owner: Arc<Owner>,
}

/// A running engine that is not kept alive by this.
#[derive(Debug, Clone)]
pub struct EngineRef(Weak<Engine>);

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
    /// obeyed before. [`Event::Ordered`](crate::Event::Ordered) with this number tells when it is done. It must not be the number
    /// of another order that is under way.
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

    /// The owner has done what an [`Event::Order`](crate::Event::Order) of this shard told it, as far as it has submitted that.
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
        self.engine.shared.owners.done(&self.owner);
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
    /// milder call. Each shard ends with [`Event::Stopped`](crate::Event::Stopped). The last owner [stops](Self::stop) the engine.
    pub fn leave(&self, mode: StopMode) {
        match self.parts() {
            Left::Nobody => self.stop(mode),
            Left::Others => self.post_to_all(|owner| Mail::Leave(owner, mode)),
        }
    }

    /// This owner is gone: its connections are closed with 1012, and nobody is told. The last owner ends the engine, and that waits for
    /// the threads. If the engine could be shared, it also waits for the clients to answer and for what still leaves for the bus, for a
    /// second at most. Otherwise they are cut off.
    pub fn abandon(&self) {
        let left = self.parts();
        if left == Left::Others || self.config().is_shared {
            self.post_to_all(Mail::Abandon);
        }
        if left == Left::Nobody {
            if self.config().is_shared {
                self.stop(StopMode::Close);
                #[cfg(feature = "bus")]
                if let Some(bus) = &self.engine.shared.bus {
                    bus.stop(StopMode::Close);
                }
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
    /// earlier, milder call. Each shard ends with [`Event::Stopped`](crate::Event::Stopped), for every owner.
    pub fn stop(&self, mode: StopMode) {
        self.engine.stop(mode);
    }

    fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.engine.shared.mailboxes
    }

    /// Serves a socket like one that came to the listener: the same limits, deadlines and refusals hold, counted from now on. As it
    /// cannot be made to wait, it is refused if there is no place for it. It may lie there until [`wake`](Self::wake).
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
        if let Some(Mail::Socket(accepted)) = self.engine.shared.mailboxes[target].leave(mail) {
            (accepted.stream).answer(&self.refuse(503, Reason::Stop));
        }
    }

    /// Wakes the threads for which sockets lie ready. To wake a thread costs more than to hand it a socket, above all where it then
    /// takes the processor from its owner, so an owner that has several does this once.
    pub fn wake(&self) {
        for mailbox in self.mailboxes() {
            mailbox.wake();
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

    /// Whether the engine has other owners that need it.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.engine.shared.owners.has_others(&self.owner)
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
