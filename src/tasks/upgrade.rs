//! One socket from TCP accept to the 101 or a refusal: reads the head with a deadline, waits for
//! admission, and notices a client that leaves meanwhile.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    border::{
        ending::{EndedBy, Ending},
        event::{Event, FaultCode},
        inbox::InboxWriter,
        mailbox::Arrival,
        owner::OwnerNumber,
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

/// Bytes of messages kept from before the 101; more waits in the system.
const MAX_EARLY: usize = 64 * 1024;

/// A socket whose request is read. The place is given back after it is closed.
struct Newcomer {
    stream: Stream,
    caller: Caller,
    pending: PendingPlace,
}

/// Serves an accepted socket until it is admitted; `None` if it came to nothing.
///
/// Makes what it begins with outside the future, because the future of an `async fn` would keep its arguments twice. Up to 1,032 bytes are
/// quick to allocate.
pub(crate) fn open(
    shard: Rc<Shard>,
    stream: Stream,
    arrival: Arrival,
) -> impl Future<Output = Option<Open>> {
    let Arrival {
        place: pending,
        caller,
        at,
        read,
        ..
    } = arrival;
    stream.send_at_once();
    let (stream, caller) = secure::begin(&shard, stream, caller);
    let mut newcomer = Newcomer {
        stream,
        caller,
        pending,
    };
    async move {
        let shard = &shard;
        // One for all that is waited for.
        let deadline = sleep_until(Instant::from(at) + shard.config().handshake_timeout);
        let mut deadline = pin!(deadline);
        let ReadHead {
            about,
            request,
            early,
        } = read_request(shard, &mut newcomer, read, deadline.as_mut()).await?;
        // Dropped first.
        let stream = newcomer.stream;
        let pending = &mut newcomer.pending;
        if about.is_probe {
            let headers_only = request.is_err_and(|refusal| refusal.headers_only);
            let response = probe::health(shard).to_response(headers_only);
            linger::answer(shard, pending, stream, response).await;
            return None;
        }
        let (request, seat, owner) = match decide(shard, about.address, pending, request) {
            Ok(asked) => asked,
            Err(refusal) => {
                drop(early);
                linger::refuse(shard, pending, stream, &refusal).await;
                return None;
            }
        };
        let mut upgrade = Upgrade::new(shard, stream, early, &request, seat, owner);
        let verdict = upgrade.admission(&request, deadline).await;
        drop(request);
        upgrade.conclude(verdict, pending).await
    }
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
    pending: &mut PendingPlace,
    request: Result<Box<UpgradeRequest>, Box<Refusal>>,
) -> Result<(Box<UpgradeRequest>, Seat, OwnerNumber), Box<Refusal>> {
    let reason = request.as_ref().err().map(|refusal| refusal.reason);
    if matches!(reason, None | Some(Reason::Path | Reason::Origin)) && shard.is_stopping() {
        return Err(Refusal::new(503, Reason::Stop).into());
    }
    let request = match request {
        Err(refusal) if refusal.reason != Reason::Origin => return Err(refusal),
        other => other,
    };
    let seat = (shard.shared.capacity).enter(address, || shard.shared.now());
    let seat = seat.map_err(Box::new)?;
    let request = request.inspect_err(|_| {
        // Any number of these can come; those an owner that does not look misses are counted.
        if !shard.is_inbox_full() {
            let message = "the request's origin is not allowed";
            shard.fault(FaultCode::Origin, message);
        }
    })?;
    let refused = |reason| Box::new(Refusal::new(503, reason));
    if !pending.complete() {
        return Err(refused(Reason::MaxConnections));
    }
    let owner = (shard.next_owner()).ok_or_else(|| refused(Reason::Stop))?;
    Ok((request, seat, owner))
}

/// What the client asks for and what came behind it, or why not; `None` if the client left.
async fn read_request(
    shard: &Shard,
    newcomer: &mut Newcomer,
    read: Vec<u8>,
    deadline: Pin<&mut Sleep>,
) -> Option<ReadHead> {
    let refused = |status, reason| ReadHead {
        about: About::default(),
        request: Err(Refusal::new(status, reason).into()),
        early: Vec::new(),
    };
    let head = tokio::select! {
        // What has arrived is judged by what it is; what has not is not waited for.
        biased;
        head = read_head(shard, newcomer, read) => head?,
        () = deadline => return Some(refused(408, Reason::Timeout)),
        () = probe::stopping(shard) => return Some(refused(503, Reason::Stop)),
    };
    let source = Source::of(head.about.address);
    newcomer.pending.belong_to(source);
    Some(head)
}

/// A head, read to its end.
struct ReadHead {
    about: About,
    request: Result<Box<UpgradeRequest>, Box<Refusal>>,
    /// What came behind it.
    early: Vec<u8>,
}

/// The head and what came behind it, `bytes` of which have been read; `None` if the client left, or had to.
async fn read_head(shard: &Shard, newcomer: &mut Newcomer, mut bytes: Vec<u8>) -> Option<ReadHead> {
    let Newcomer {
        stream,
        caller,
        pending,
    } = newcomer;
    if let Some(head) = judge(shard, caller, &bytes) {
        return Some(head);
    }
    tokio::select! {
        biased;
        head = poll_fn(|cx| poll_head(cx, shard, stream, caller, &mut bytes)) => return head,
        () = pending.told_to_leave() => {}
    }
    // A request that has arrived is not late.
    stream.read_arrived(&mut bytes, MAX_HEAD);
    secure::identify(caller, stream);
    let head = judge(shard, caller, &bytes);
    if head.is_none() {
        shard.metrics().refuse(Reason::Timeout);
        stream.end_with_reset();
    }
    head
}

/// Reads on. Keeps of a head what it has to: nothing if all of it comes at once, and otherwise no more than came, as this costs memory for each
/// of the many that only pretend to have one.
fn poll_head(
    cx: &mut Context<'_>,
    shard: &Shard,
    stream: &mut Stream,
    caller: &mut Caller,
    bytes: &mut Vec<u8>,
) -> Poll<Option<ReadHead>> {
    let mut scratch = shard.take_scratch();
    let polled = loop {
        // What comes behind the head is kept, too.
        let at_once = relief::reads_at_once(shard);
        let mut buffer = ReadBuf::new(&mut scratch[..at_once]);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            Poll::Ready(Ok(())) => break Poll::Ready(None),
            Poll::Ready(Err(_)) => {
                break Poll::Ready(secure::refusal(stream).map(|refusal| ReadHead {
                    about: About::of(caller),
                    request: Err(refusal.into()),
                    early: Vec::new(),
                }));
            }
            Poll::Pending => break Poll::Pending,
        }
        let read = buffer.filled();
        let head = if bytes.is_empty() {
            secure::identify(caller, stream);
            let head = judge(shard, caller, read);
            if head.is_none() {
                *bytes = read.to_vec();
            }
            head
        } else {
            bytes.reserve_exact(read.len());
            bytes.extend_from_slice(read);
            judge(shard, caller, bytes)
        };
        if head.is_some() {
            break Poll::Ready(head);
        }
    };
    shard.return_scratch(scratch);
    polled
}

/// What has been read, if it is a whole head.
fn judge(shard: &Shard, caller: &Caller, bytes: &[u8]) -> Option<ReadHead> {
    match request::parse(bytes, &shard.config().rules, caller) {
        Head::Complete {
            length,
            about,
            request,
        } => Some(ReadHead {
            about,
            request,
            early: bytes.get(length..).unwrap_or_default().to_vec(),
        }),
        Head::Partial => None,
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
    /// How long the 101 is.
    switching: usize,
}

impl<'a> Upgrade<'a> {
    /// Gives a client whose request is sound a connection, which waits for admission.
    fn new(
        shard: &'a Rc<Shard>,
        stream: Stream,
        early: Vec<u8>,
        request: &UpgradeRequest,
        seat: Seat,
        owner: OwnerNumber,
    ) -> Self {
        let id = shard.shared.new_id();
        let deflate = agree(shard, request);
        let extensions = deflate.map(|deflate| deflate.to_string());
        let switching = SwitchingProtocols {
            accept: &request.accept,
            protocol: request.protocol.name(),
            extensions: extensions.as_deref(),
        };
        let mut welcome = switching.to_response();
        let switching = welcome.len();
        let speaks_zocket = request.protocol == Subprotocol::Zocket;
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
        if !early.is_empty() {
            registered.connection.set_held(early.len());
            relief::watch_buffers(shard);
        }
        Self {
            shard,
            registered,
            reader,
            early,
            seat,
            switching,
        }
    }

    async fn admission(
        &mut self,
        request: &UpgradeRequest,
        mut deadline: Pin<&mut Sleep>,
    ) -> Verdict {
        if self.shard.protocol().admission() == Admission::Immediate {
            life::admit(self.shard, &self.registered.connection);
            return Verdict::Admitted;
        }
        let shard = self.shard;
        // A full inbox takes no more upgrades; the deadline goes on.
        if shard.waits_while(&self.registered.connection, InboxWriter::is_full) {
            let room = inbox_room(shard, &self.registered.connection);
            // Boxed, as there mostly is room at once.
            let mut room = Box::pin(room);
            tokio::select! {
                biased;
                () = &mut room => {}
                () = deadline.as_mut() => return Verdict::TimedOut(Reason::Timeout),
                () = signal::stopping(shard) => return Verdict::TimedOut(Reason::Stop),
            }
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
            biased;
            verdict = self.verdict() => verdict,
            () = deadline => Verdict::TimedOut(Reason::Timeout),
            () = signal::stopping(shard) => Verdict::TimedOut(Reason::Stop),
        }
    }

    /// Waits for the owner, keeps early bytes, and notices when the client leaves.
    async fn verdict(&mut self) -> Verdict {
        loop {
            if let Some(verdict) = poll_fn(|cx| self.poll_verdict(cx)).await {
                return verdict;
            }
            // Boxed, as nearly every client is decided on before it has sent so much.
            if let Some(verdict) = Box::pin(self.verdict_unread()).await {
                return verdict;
            }
        }
    }

    /// The same while the client is not to be read; nothing when it may be. Nobody knows how long that takes, and only a reset shows
    /// then that it has gone.
    async fn verdict_unread(&mut self) -> Option<Verdict> {
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
            decision = decided => decision,
            () = reader.failed() => Some(Verdict::Gone),
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
                    relief::watch_buffers(self.shard);
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
            .push_answer(answer(connection, switching, &refusal));
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
/// `switching` says how long that is.
fn answer(connection: &Connection, switching: usize, refusal: &Refusal) -> Vec<u8> {
    if !connection.speaks_zocket() || !refusal.reason.is_of_owner() {
        return refusal.to_response();
    }
    let mut answer = connection.take_welcome();
    answer.truncate(switching);
    own::push_refused(&mut answer, refusal);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_handshake_is_quick_to_allocate() {
        fn size<F>(_: fn(Rc<Shard>, Stream, Arrival) -> F) -> usize {
            size_of::<F>()
        }
        // What glibc keeps at hand for each thread.
        assert!(size(open) <= 1032, "{}", size(open));
    }
}
