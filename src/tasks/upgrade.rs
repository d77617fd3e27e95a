//! One socket from TCP accept to the 101 or a refusal: reads the head with a deadline, waits for
//! admission, and notices a client that leaves meanwhile.

use std::{
    future::poll_fn,
    net::IpAddr,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncReadExt, ReadBuf},
    time::{Instant, timeout_at},
};

use crate::{
    border::{
        ending::{EndedBy, Ending},
        event::{Event, FaultCode},
        inbox::InboxWriter,
        mailbox::Arrival,
    },
    connection::{Connection, Name, Order, State},
    frame::deflate::Window,
    handshake::{
        caller::Caller,
        extensions::{self, Deflate},
        head::MAX_HEAD,
        refusal::{Reason, Refusal},
        request::{self, About, Head, UpgradeRequest},
        response::SwitchingProtocols,
        subprotocol::Subprotocol,
    },
    limits::{addresses::Source, capacity::Seat, pending::PendingPlace},
    message::{own, protocol::Admission},
    shard::{
        Shard,
        life::{self, Registered},
        relief,
    },
    tasks::{linger, probe, secure, session::Open, signal},
    transport::stream::{Reader, Stream},
};

/// Room for a head, as long as most are; a little less than what allocators begin to call large.
const HEAD: usize = 1000;
/// Bytes of messages kept from before the 101; more waits in the system.
const MAX_EARLY: usize = 64 * 1024;

/// Serves an accepted socket until it is admitted; `None` if it came to nothing.
///
/// The pending place is bound before the socket, so that it is dropped after it.
pub(crate) async fn open(shard: Rc<Shard>, stream: Stream, arrival: Arrival) -> Option<Open> {
    let Arrival {
        place: mut pending,
        caller,
        at,
        read,
        ..
    } = arrival;
    let deadline = Instant::from(at) + shard.config().handshake_timeout;
    let shard = &shard;
    stream.send_at_once();
    let (mut stream, mut caller) = secure::begin(shard, stream, caller);
    let ReadHead {
        about,
        request,
        early,
    } = read_request(
        shard,
        &mut pending,
        &mut stream,
        read,
        &mut caller,
        deadline,
    )
    .await?;
    if about.is_probe {
        let headers_only = request.is_err_and(|refusal| refusal.headers_only);
        let response = probe::health(shard).to_response(headers_only);
        linger::answer(shard, &mut pending, stream, response).await;
        return None;
    }
    let decided = decide(shard, about.address, request).and_then(|(request, seat)| {
        let no_place = || Refusal::new(503, Reason::MaxConnections);
        let nobody = || Refusal::new(503, Reason::Stop);
        pending.complete().then_some(()).ok_or_else(no_place)?;
        let owner = shard.next_owner().ok_or_else(nobody)?;
        Ok((request, seat, owner))
    });
    let (request, seat, owner) = match decided {
        Ok(asked) => asked,
        Err(refusal) => {
            drop(early);
            linger::refuse(shard, &mut pending, stream, &refusal).await;
            return None;
        }
    };
    let id = shard.shared.new_id();
    let deflate = agree(shard, &request);
    let extensions = deflate.map(|deflate| deflate.to_string());
    let switching = SwitchingProtocols {
        accept: &request.accept,
        protocol: request.protocol.name(),
        extensions: extensions.as_deref(),
    };
    let switching = switching.to_response();
    let speaks_zocket = request.protocol == Subprotocol::Zocket;
    let mut welcome = switching.clone();
    if speaks_zocket {
        let config = shard.config();
        own::push_welcome(
            &mut welcome,
            id,
            config.max_payload,
            config.heartbeat_interval,
        );
    }
    let window = deflate.map(|deflate| deflate.window());
    let (reader, writer) = stream.into_split();
    let registered = life::register(shard, owner, |handle| {
        Connection::new(
            Name { handle, id },
            owner,
            writer,
            welcome,
            window,
            speaks_zocket,
            shard.tally().clone(),
        )
    });
    registered.connection.set_held(early.len());
    let mut upgrade = Upgrade {
        shard,
        registered,
        reader,
        early,
        seat,
        switching,
    };
    let verdict = upgrade.admission(&request, deadline).await;
    drop(request);
    upgrade.conclude(verdict, &mut pending).await
}

/// How the connection compresses its messages, if the server and its client can.
fn agree(shard: &Shard, request: &UpgradeRequest) -> Option<Deflate> {
    let compression = shard.config().compression?;
    let offers = request.headers.field(extensions::FIELD)?;
    Deflate::accept(offers, Window::new(compression.max_window_bits)?)
}

/// What the engine decides by itself, in this order: what is wrong with the request, whether the server stops, the path,
/// limits, the origin. So a limit also bounds how often requests of wrong origins are told of.
fn decide(
    shard: &Shard,
    address: Option<IpAddr>,
    request: Result<UpgradeRequest, Refusal>,
) -> Result<(UpgradeRequest, Seat), Refusal> {
    let reason = request.as_ref().err().map(|refusal| refusal.reason);
    if matches!(reason, None | Some(Reason::Path | Reason::Origin)) && shard.is_stopping() {
        return Err(Refusal::new(503, Reason::Stop));
    }
    let request = match request {
        Err(refusal) if refusal.reason != Reason::Origin => return Err(refusal),
        other => other,
    };
    let seat = (shard.shared.capacity).enter(address, shard.shared.now())?;
    let request = request.inspect_err(|_| {
        // Any number of these can come; those an owner that does not look misses are counted.
        if !shard.is_inbox_full() {
            let message = "the request's origin is not allowed";
            shard.fault(FaultCode::Origin, message);
        }
    })?;
    Ok((request, seat))
}

/// What the client asks for and what came behind it, or why not; `None` if the client left.
async fn read_request(
    shard: &Shard,
    pending: &mut PendingPlace,
    stream: &mut Stream,
    read: Vec<u8>,
    caller: &mut Caller,
    deadline: Instant,
) -> Option<ReadHead> {
    let refused = |status, reason| ReadHead {
        about: About::default(),
        request: Err(Refusal::new(status, reason)),
        early: Vec::new(),
    };
    let head = tokio::select! {
        // What has arrived is judged by what it is; what has not is not waited for.
        biased;
        head = timeout_at(deadline, read_head(shard, pending, stream, read, caller)) => head,
        () = probe::stopping(shard) => return Some(refused(503, Reason::Stop)),
    };
    let Ok(head) = head else {
        return Some(refused(408, Reason::Timeout));
    };
    let head = head?;
    pending.belong_to(Source::of(head.about.address));
    Some(head)
}

/// A head, read to its end.
struct ReadHead {
    about: About,
    request: Result<UpgradeRequest, Refusal>,
    /// What came behind it.
    early: Vec<u8>,
}

/// The head and what came behind it, `bytes` of which have been read; `None` if the client left, or had to.
async fn read_head(
    shard: &Shard,
    pending: &PendingPlace,
    stream: &mut Stream,
    mut bytes: Vec<u8>,
    caller: &mut Caller,
) -> Option<ReadHead> {
    let mut is_told = false;
    loop {
        match request::parse(&bytes, &shard.config().rules, caller) {
            Head::Complete {
                length,
                about,
                request,
            } => {
                bytes.drain(..length.min(bytes.len()));
                return Some(ReadHead {
                    about,
                    request,
                    early: bytes,
                });
            }
            Head::Partial if is_told => {
                shard.metrics().refuse(Reason::Timeout);
                stream.end_with_reset();
                return None;
            }
            Head::Partial => {}
        }
        // Exactly, as doubling would cost twice the memory for each of the many that only pretend to have a head.
        bytes.reserve_exact(HEAD);
        let mut limited = (&mut *stream).take((MAX_HEAD + MAX_EARLY) as u64);
        let read = tokio::select! {
            biased;
            read = limited.read_buf(&mut bytes) => read,
            () = pending.told_to_leave() => {
                is_told = true;
                // A request that has arrived is not late.
                stream.read_arrived(&mut bytes, MAX_HEAD);
                secure::identify(caller, stream);
                continue;
            }
        };
        match read {
            Ok(0) => return None,
            Err(_) => {
                return secure::refusal(stream).map(|refusal| ReadHead {
                    about: About::of(caller),
                    request: Err(refusal),
                    early: bytes,
                });
            }
            Ok(read) if read == bytes.len() => secure::identify(caller, stream),
            Ok(_) => {}
        }
    }
}

/// Resolves when the owner has room for an event of this connection.
async fn inbox_room(shard: &Shard, connection: &Rc<Connection>) {
    poll_fn(|cx| {
        connection.register(cx);
        if shard.waits_while(connection, InboxWriter::is_full) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// What became of an upgrade.
enum Verdict {
    Admitted,
    Refused(Box<Refusal>),
    /// Nobody decided in time, or the server stops.
    TimedOut(Reason),
    Gone,
}

/// A complete request that waits to be decided on.
struct Upgrade<'a> {
    shard: &'a Rc<Shard>,
    registered: Registered,
    reader: Reader,
    early: Vec<u8>,
    seat: Seat,
    /// The 101.
    switching: Vec<u8>,
}

impl Upgrade<'_> {
    async fn admission(&mut self, request: &UpgradeRequest, deadline: Instant) -> Verdict {
        if self.shard.protocol().admission() == Admission::Immediate {
            life::admit(self.shard, &self.registered.connection);
            return Verdict::Admitted;
        }
        let shard = self.shard;
        // A full inbox takes no more upgrades; the deadline goes on.
        tokio::select! {
            room = timeout_at(deadline, inbox_room(shard, &self.registered.connection)) => {
                if room.is_err() {
                    return Verdict::TimedOut(Reason::Timeout);
                }
            }
            () = signal::stopping(shard) => return Verdict::TimedOut(Reason::Stop),
        }
        if self.registered.connection.state() == State::Ended {
            // Cut off in the moment there was room.
            return Verdict::Gone;
        }
        self.registered.connection.make_known();
        shard.tell(
            &self.registered.connection,
            &Event::Upgrade {
                id: self.registered.connection.id(),
                request,
            },
        );
        tokio::select! {
            verdict = timeout_at(deadline, self.verdict()) => {
                verdict.unwrap_or(Verdict::TimedOut(Reason::Timeout))
            }
            () = signal::stopping(shard) => Verdict::TimedOut(Reason::Stop),
        }
    }

    /// Waits for the owner, keeps early bytes, and notices when the client leaves.
    async fn verdict(&mut self) -> Verdict {
        loop {
            if let Some(verdict) = poll_fn(|cx| self.poll_verdict(cx)).await {
                return verdict;
            }
            // Nobody knows how long the client is not read. Only a reset shows then that it has gone.
            let Self {
                shard,
                registered,
                reader,
                early,
                ..
            } = self;
            let connection = &registered.connection;
            let decided = poll_fn(|cx| {
                connection.register(cx);
                let decision = decision(connection);
                if decision.is_some() || takes_early(shard, connection, early) {
                    Poll::Ready(decision)
                } else {
                    Poll::Pending
                }
            });
            tokio::select! {
                decision = decided => if let Some(verdict) = decision { return verdict },
                () = reader.failed() => return Verdict::Gone,
            }
        }
    }

    /// Ready with nothing when the client is not to be read for now.
    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<Option<Verdict>> {
        let connection = &self.registered.connection;
        connection.register(cx);
        let decision = decision(connection);
        if decision.is_some() {
            return Poll::Ready(decision);
        }
        while takes_early(self.shard, connection, &self.early) {
            let mut chunk = [0_u8; 1024];
            let mut buffer = ReadBuf::new(&mut chunk);
            match self.reader.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.early.extend_from_slice(buffer.filled());
                    connection.set_held(self.early.len());
                }
                Poll::Ready(_) => return Poll::Ready(Some(Verdict::Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(None)
    }

    async fn conclude(self, verdict: Verdict, pending: &mut PendingPlace) -> Option<Open> {
        // The seat comes first, and so goes last: after the socket.
        let Self {
            seat,
            shard,
            registered,
            reader,
            early,
            switching,
        } = self;
        let connection = &registered.connection;
        let refusal = match verdict {
            Verdict::Refused(refusal) => *refusal,
            Verdict::TimedOut(reason) if !connection.is_welcomed() => {
                let by = if reason == Reason::Stop {
                    EndedBy::Stop
                } else {
                    EndedBy::Server
                };
                life::end(shard, connection, Ending::without_frame(by));
                shard.metrics().refuse(reason);
                Refusal::new(503, reason)
            }
            // Admitted in the same moment, and perhaps cut off again: the 101 is on its way, so it is too late to refuse.
            Verdict::Admitted | Verdict::TimedOut(_) => {
                return Some(Open {
                    registered,
                    reader,
                    early,
                    seat,
                });
            }
            Verdict::Gone => return None,
        };
        connection
            .output
            .push_answer(&answer(connection, switching, &refusal));
        // What it sent is not kept while it is on its way out.
        drop(early);
        connection.set_held(0);
        // It is no connection any more, and holds the place of a socket that was refused.
        pending.refused();
        drop(seat);
        tokio::select! {
            () = linger::linger(shard, connection, reader) => {}
            () = pending.told_to_leave() => connection.output.cut(),
        }
        None
    }
}

/// What the owner has decided.
fn decision(connection: &Connection) -> Option<Verdict> {
    if matches!(connection.state(), State::Open | State::Closing) {
        // What else it was told is for its session.
        return Some(Verdict::Admitted);
    }
    match connection.take_order()? {
        Order::Refuse(refusal) => Some(Verdict::Refused(refusal)),
        _ => Some(Verdict::Gone),
    }
}

/// Whether a client may send more before the owner has decided.
fn takes_early(shard: &Shard, connection: &Rc<Connection>, early: &[u8]) -> bool {
    early.len() < MAX_EARLY && !relief::waits_for_relief(shard, connection)
}

/// How a refusal is told. A client that speaks `zocket.1` gets what the owner decided behind the 101, as a browser shows a page no HTTP status.
fn answer(connection: &Connection, switching: Vec<u8>, refusal: &Refusal) -> Vec<u8> {
    if !connection.speaks_zocket() || !refusal.reason.is_of_owner() {
        return refusal.to_response();
    }
    let mut answer = switching;
    own::push_refused(&mut answer, refusal);
    answer
}
