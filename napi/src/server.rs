//! The server class: start, take the inbox, hand over commands, stop.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
    time::Duration,
};

use napi::{
    Env, Error, JsString, Status,
    bindgen_prelude::{Buffer, BufferSlice, Function, Object, Result, Unknown},
    threadsafe_function::ThreadsafeFunction,
};
use napi_derive::napi;
use zocket::{
    Answers, Bytes, EnvelopeProtocol, Kind, Outcome, OwnerStatus, Reason, RouteAnswers, Routes,
    Server, ServerHandle, StopMode,
    border::codes::{head, limit::BATCH_EVENTS},
};

#[cfg(feature = "tls")]
use crate::tls;
use crate::{
    bus::{self, NativeBus},
    check::type_error,
    error,
    events::{Bell, Sink},
    memory, metrics, options,
    orders::{self, NativeAct},
    policy,
    shares::{self, NativeGiven, Refused},
    sockets::{self, NativeArrival, NativeDoor, NativeLink},
};

/// Strong, so that it keeps Node alive for as long as it exists. It is never called.
type Hold = ThreadsafeFunction<(), (), (), Status, false, false>;

/// One incoming route.
#[napi(object)]
pub struct NativeIncoming {
    /// The wire name.
    pub name: String,
    /// How its messages are answered: "none", "reply" or "stream".
    pub answers: String,
    /// The codes of the errors that it declares.
    pub errors: Vec<String>,
    /// Whether its payload is bytes.
    pub bytes: bool,
}

impl NativeIncoming {
    fn split(self) -> (String, RouteAnswers) {
        let how = match self.answers.as_str() {
            "reply" => Answers::Reply,
            "stream" => Answers::Stream,
            _ => Answers::None,
        };
        let declared = self.errors;
        (self.name, RouteAnswers { how, declared })
    }
}

/// One outgoing route.
#[napi(object)]
pub struct NativeRoute {
    /// The wire name.
    pub name: String,
    /// The policy of its messages for slow clients. Without it, the option applies.
    pub slow_client: Option<String>,
    /// Whether its messages may be compressed. They may if this is left out.
    pub compress: Option<bool>,
    /// Whether its payload is bytes. It is JSON if this is left out.
    pub bytes: Option<bool>,
}

/// What is known of this thread and its process.
#[napi(object, object_to_js = false)]
pub struct NativeHere {
    /// What the process may have, in bytes.
    pub memory: f64,
    /// What JavaScript may have, in bytes.
    pub heap: f64,
    /// What is compared with other threads that share the server.
    pub given: Vec<NativeGiven>,
    /// What joins it with other servers.
    pub bus: Option<NativeBus>,
}

/// One of the threads that share a server.
#[napi(object)]
pub struct NativeWorker {
    /// Its open connections.
    pub connections: f64,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// A listening server and its I/O threads. Internal: `createServer` is what to use.
#[napi]
pub struct NativeServer {
    server: Arc<ServerHandle>,
    bell: Arc<Bell>,
    hold: Option<Hold>,
    /// The payloads of the batch that was taken last, as far as they are bytes.
    beside: RefCell<Vec<Bytes>>,
}

#[napi]
impl NativeServer {
    /// Binds at once, or shares an engine; `bell` is called when there is something to take.
    ///
    /// @throws `TypeError` for a wrong option, `Error` with a `code` when the address cannot be listened on.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        options: Object<'_>,
        incoming: Vec<NativeIncoming>,
        outgoing: Vec<NativeRoute>,
        bell: Function<'_, (), ()>,
        here: NativeHere,
    ) -> Result<Self> {
        let NativeHere {
            memory,
            heap,
            given,
            bus,
        } = here;
        let (mut config, share) = options::config(env, &options, memory, heap)?;
        bus::set(&mut config, bus);
        memory::bound();
        // `zo.router` has checked them.
        let own = |route: &NativeRoute| route.slow_client.as_deref().and_then(policy::named);
        let policies = outgoing.iter().map(own).map(Option::unwrap_or_default);
        let policies = policies.collect();
        let is_uncompressed = |route: &NativeRoute| route.compress == Some(false);
        let uncompressed = outgoing.iter().map(is_uncompressed).collect();
        let kind = |route: &NativeRoute| self::kind(route.bytes == Some(true));
        let outgoing_kinds = outgoing.iter().map(kind).collect();
        let names = outgoing.into_iter().map(|route| route.name).collect();
        let kinds = incoming.iter().map(|it| self::kind(it.bytes)).collect();
        let (incoming, answers) = incoming.into_iter().map(NativeIncoming::split).unzip();
        let routes = Routes::new(incoming, names)
            .with_policies(policies)
            .with_uncompressed(uncompressed)
            .with_kinds(kinds)
            .with_outgoing_kinds(outgoing_kinds)
            .with_answers(answers);
        let routes = Arc::new(routes);
        let protocol = EnvelopeProtocol::new(routes.clone());
        let hung = Arc::new(Bell::default());
        let sink = Sink(hung.clone());
        let start = |sink| Server::bind(config, routes, protocol, sink);
        let server = match share {
            None => start(sink).map_err(Refused::Start),
            Some(name) => shares::enter(name, given, sink, start),
        };
        let server = server.map_err(|refused| match refused {
            Refused::Start(failure) => error::throw(env, &failure),
            Refused::Full => {
                let message = "createServer: options.share: 255 threads share the server already";
                error::throw_code(env, message.into(), shares::CODE)
            }
            Refused::Differs(what) => {
                let place = "createServer: options.share: the server that is shared was created with something else";
                error::throw_code(env, format!("{place}: {what}"), shares::CODE)
            }
        })?;
        let server = Arc::new(server);
        let heard = Arc::downgrade(&server);
        let is_watched = server.config().rules.health.is_some();
        hung.hang(&bell, move || {
            if is_watched && let Some(server) = heard.upgrade() {
                server.hear();
            }
        })?;
        let known = (Arc::downgrade(&server), hung.clone());
        env.add_env_cleanup_hook(known, |(server, bell)| end(&server, &bell))?;
        let mut this = Self {
            server,
            bell: hung,
            hold: None,
            beside: RefCell::default(),
        };
        this.refer(env)?;
        Ok(this)
    }

    /// The port that is listened on.
    #[napi(getter, catch_unwind)]
    pub fn port(&self) -> u32 {
        u32::from(self.server.address().port())
    }

    /// The address that is listened on.
    #[napi(getter, catch_unwind)]
    pub fn hostname(&self) -> String {
        self.server.address().ip().to_string()
    }

    /// Whether it speaks TLS.
    #[napi(getter, catch_unwind)]
    pub fn secure(&self) -> bool {
        #[cfg(feature = "tls")]
        let secure = self.server.config().tls.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        secure
    }

    /// Gives new handshakes other certificates and keys.
    ///
    /// @throws `TypeError` for a wrong option, or if the server does not speak TLS; `Error` with the code `ETLS` for material that
    /// cannot be used.
    #[napi(catch_unwind)]
    pub fn set_tls(&self, env: Env, material: Unknown<'_>) -> Result<()> {
        if !self.secure() {
            let message = "server.setTls: the server was created without the option tls";
            return Err(type_error(env, message));
        }
        #[cfg(feature = "tls")]
        let _ = (self.server).set_tls(tls::material(env, "server.setTls", ": tls", material)?);
        #[cfg(not(feature = "tls"))]
        let _ = material;
        Ok(())
    }

    /// How many I/O threads there are.
    #[napi(getter, catch_unwind)]
    pub fn shards(&self) -> u32 {
        self.server.shards()
    }

    /// The time that a client has from its request to the 101, in milliseconds.
    #[napi(getter, catch_unwind)]
    pub fn handshake_timeout(&self) -> u32 {
        u32::try_from(self.server.config().handshake_timeout.as_millis()).unwrap_or(u32::MAX)
    }

    /// How many calls of one client may be under way.
    #[napi(getter, catch_unwind)]
    pub fn max_handlers_in_flight(&self) -> u32 {
        self.server.config().max_handlers_in_flight
    }

    /// How many bytes may wait for a client.
    #[napi(getter, catch_unwind)]
    pub fn max_backpressure(&self) -> f64 {
        exact(self.server.config().max_backpressure)
    }

    /// The bytes of the longest incoming message.
    #[napi(getter, catch_unwind)]
    pub fn max_payload(&self) -> u32 {
        u32::try_from(self.server.config().max_payload).unwrap_or(u32::MAX)
    }

    /// How many rooms one client may be in.
    #[napi(getter, catch_unwind)]
    pub fn max_rooms_per_client(&self) -> u32 {
        self.server.config().max_rooms_per_client
    }

    /// The oldest events of a shard: at most 112 KiB or `limit.BATCH_EVENTS`, at least one, `null` if there are none. Returns
    /// their values as JSON text of one array. Into `heads` it puts words of four bytes, in the places that `head` says.
    /// Taking from shard 0 answers the bell, so take from it first.
    #[napi(catch_unwind)]
    pub fn take<'env>(
        &self,
        env: &'env Env,
        shard: u32,
        mut heads: BufferSlice<'_>,
    ) -> Result<Option<JsString<'env>>> {
        if heads.len() < 4 * (head::FIRST + head::WORDS * BATCH_EVENTS) {
            return Err(Error::new(Status::InvalidArg, "heads has too little room"));
        }
        if shard == 0 {
            self.server.answer();
        }
        let Some(mut batch) = self.server.take(shard) else {
            return Ok(None);
        };
        let (before, heads) = heads.split_at_mut(4 * head::FIRST);
        before[4 * head::MORE..][..4]
            .copy_from_slice(&u32::from(batch.is_followed()).to_ne_bytes());
        let size: usize = batch.beside().iter().map(Bytes::len).sum();
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        before[4 * head::BESIDE..][..4].copy_from_slice(&size.to_ne_bytes());
        for (place, head) in heads.chunks_exact_mut(4 * head::WORDS).zip(batch.heads()) {
            place.copy_from_slice(head.words().map(u32::to_ne_bytes).as_flattened());
        }
        let bytes = batch.values();
        // One-byte strings are half the size for V8 and quicker to make and to parse.
        let text = if bytes.is_ascii() {
            env.create_string_latin1(bytes)?
        } else {
            env.create_string(String::from_utf8_lossy(bytes))?
        };
        if size > 0 {
            *self.beside.borrow_mut() = batch.take_beside();
        }
        self.server.recycle(shard, batch);
        Ok(Some(text))
    }

    /// Copies the payloads of the events that were taken last into `into`, one after the other, as far as they are bytes:
    /// `head.BESIDE` says how long they are together. Forgets them.
    #[napi(catch_unwind)]
    pub fn take_beside(&self, mut into: BufferSlice<'_>) {
        let mut rest = &mut into[..];
        for payload in self.beside.take() {
            let length = payload.len().min(rest.len());
            let (place, behind) = rest.split_at_mut(length);
            place.copy_from_slice(&payload[..length]);
            rest = behind;
        }
    }

    /// Stops reading all clients, or reads them again.
    #[napi(catch_unwind)]
    pub fn hold(&self, is_held: bool) {
        self.server.hold(is_held);
    }

    /// From now on events say how much memory their values may take once they are parsed.
    #[napi(catch_unwind)]
    pub fn weigh(&self) {
        self.server.weigh();
    }

    /// Hands over the first `length` bytes of `commands`, whose payloads are the first `size` bytes of `text`.
    #[napi(catch_unwind)]
    pub fn submit(&self, commands: &[u8], length: u32, text: &[u8], size: u32) {
        let commands = commands.get(..length as usize);
        if let (Some(commands), Some(text)) = (commands, text.get(..size as usize)) {
            self.server.submit_with_payloads(commands, text);
        }
    }

    /// Gives the engine a duplicate of a TCP socket, whose descriptor must be open, and what was read from it; false if the
    /// system has no descriptor left.
    /// Nothing may be read from the socket before, in the same turn, it is closed here.
    #[napi(catch_unwind)]
    pub fn take_over(&self, descriptor: i32, read: &[u8]) -> bool {
        #[cfg(unix)]
        {
            // SAFETY: JavaScript reads the number from a live handle in the same synchronous call, and nothing closes
            // that handle meanwhile, as its thread is here.
            unsafe { sockets::take_over(&self.server, descriptor, read) }
        }
        #[cfg(not(unix))]
        {
            let _ = (descriptor, read);
            false
        }
    }

    /// Wakes the I/O threads for which sockets lie ready.
    #[napi(catch_unwind)]
    pub fn wake(&self) {
        self.server.wake();
    }

    /// Gives the engine one end of a new socket pair, and returns the other; `null` if the system has no descriptors left.
    #[napi(catch_unwind)]
    pub fn pair(&self, arrival: NativeArrival) -> Option<NativeLink> {
        #[cfg(unix)]
        {
            sockets::pair(&self.server, arrival)
        }
        #[cfg(not(unix))]
        {
            let _ = arrival;
            None
        }
    }

    /// Gives the engine the connection that was made from a port to a door, which is closed then; `null` if there is none.
    #[napi(catch_unwind)]
    pub fn enter(
        &self,
        door: &mut NativeDoor,
        port: u16,
        arrival: NativeArrival,
    ) -> Option<NativeLink> {
        sockets::enter(&self.server, door, port, arrival)
    }

    /// Counts a refusal that JavaScript sends itself, and returns the whole answer: 404 for another path, or 503.
    #[napi(catch_unwind)]
    pub fn refuse(&self, status: u16) -> Buffer {
        let answer = if status == 404 {
            self.server.refuse(404, Reason::Path)
        } else {
            self.server.refuse(503, Reason::MaxConnections)
        };
        answer.into()
    }

    /// Has something done with clients of other threads and processes: one of `order`, and its rooms, or its close code and reason.
    /// What was submitted before is obeyed before. An event with this number tells when it is done.
    #[napi(catch_unwind)]
    pub fn order(&self, number: u32, act: NativeAct, ids: Vec<String>) {
        self.server.order(number, act.into_act(), orders::ids(ids));
    }

    /// Tells that an order of a shard has been carried out, as far as that was submitted: who was refused, and why.
    #[napi(catch_unwind)]
    pub fn ordered(&self, shard: u32, order: u32, refused: Vec<String>, why: Option<String>) {
        let outcome = Outcome {
            refused: orders::ids(refused),
            why,
            ..Outcome::default()
        };
        self.server.ordered(shard, order, outcome);
    }

    /// How many upgrades have been answered with 101 so far.
    #[napi(catch_unwind)]
    pub fn opened(&self) -> f64 {
        metrics::number(self.server.opened())
    }

    /// The counters now; of those that have one for each of several names, the ones that are not 0.
    #[napi(
        catch_unwind,
        ts_return_type = "Record<string, number | Record<string, number>>"
    )]
    pub fn metrics<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        metrics::object(env, &self.server.metrics())
    }

    /// The counters of the bus; `null` if there is none. `connected` is 1 or 0.
    #[napi(catch_unwind, ts_return_type = "Record<string, number> | null")]
    pub fn bus<'env>(&self, env: &'env Env) -> Result<Option<Object<'env>>> {
        bus::counters(env, &self.server)
    }

    /// Why the bus was away last; `null` if it never was.
    #[napi(catch_unwind)]
    pub fn bus_trouble(&self) -> Option<String> {
        bus::trouble(&self.server)
    }

    /// Publishes what waits for the bus and lets go of it. An event tells when that is done.
    #[napi(catch_unwind)]
    pub fn stop_bus(&self) {
        bus::stop(&self.server);
    }

    /// Whether other threads may share it.
    #[napi(getter, catch_unwind)]
    pub fn is_shared(&self) -> bool {
        self.server.config().is_shared
    }

    /// The threads that share it, oldest first.
    #[napi(catch_unwind)]
    pub fn workers(&self) -> Vec<NativeWorker> {
        let owners = self.server.owners().into_iter();
        let worker = |owner: OwnerStatus| NativeWorker {
            connections: exact(owner.connections),
            is_this: owner.is_self,
        };
        owners.map(worker).collect()
    }

    /// How many clients were closed because their thread was gone.
    #[napi(catch_unwind)]
    pub fn orphaned(&self) -> f64 {
        metrics::number(self.server.metrics().orphaned)
    }

    /// Closes every connection of this thread, or of all, or cuts them off when `force` is true.
    #[napi(catch_unwind)]
    pub fn stop(&self, force: bool, of_all: bool) {
        self.end(
            of_all,
            if force {
                StopMode::Terminate
            } else {
                StopMode::Close
            },
        );
    }

    fn end(&self, of_all: bool, mode: StopMode) {
        if of_all {
            self.server.stop(mode);
        } else {
            self.server.leave(mode);
        }
    }

    /// Keeps Node alive from now on.
    #[napi(js_name = "ref", catch_unwind)]
    pub fn refer(&mut self, env: Env) -> Result<()> {
        if self.hold.is_none() {
            let idle = env.create_function_from_closure::<(), (), _>("hold", |_| Ok(()))?;
            let hold = idle
                .build_threadsafe_function::<()>()
                .callee_handled::<false>()
                .build_callback(|_| Ok(()))?;
            self.hold = Some(hold);
        }
        Ok(())
    }

    /// Lets Node exit although the server listens.
    #[napi(catch_unwind)]
    pub fn unref(&mut self) {
        self.hold = None;
    }

    /// Gets no new connections, and closes the open ones one after the other within this many milliseconds.
    #[napi(catch_unwind)]
    pub fn drain(&self, milliseconds: u32, of_all: bool) {
        let over = Duration::from_millis(milliseconds.into());
        self.end(of_all, StopMode::Drain(over));
    }

    /// Waits for the I/O threads, unless they go on for others, and lets go of the bell.
    #[napi(catch_unwind)]
    pub fn dispose(&mut self) {
        self.server.settle();
        self.bell.release();
        self.hold = None;
    }
}

fn kind(is_bytes: bool) -> Kind {
    if is_bytes { Kind::Bytes } else { Kind::Json }
}

/// A worker that is terminated, or a process that exits, leaves no thread that could ring it.
fn end(server: &Weak<ServerHandle>, bell: &Bell) {
    if let Some(server) = server.upgrade() {
        // The threads go on for a moment, or for others.
        if server.config().is_shared {
            bell.release();
        }
        server.abandon();
    }
}

/// A size as JavaScript has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, which no option exceeds"
)]
fn exact(size: usize) -> f64 {
    size as f64
}
