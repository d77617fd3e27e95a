//! One socket from TCP accept to the 101 or a refusal: reads the head with a deadline, waits for
//! admission, and notices a client that leaves meanwhile.

use std::{
    future::poll_fn, io::Read, net::IpAddr, pin::Pin, rc::Rc, task::Poll, thread, time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    border::{
        event::{Event, FaultCode},
        handle::ClientId,
    },
    connection::{Connection, Order, State},
    handshake::{
        refusal::{Reason, Refusal},
        request::{self, Head, MAX_HEAD, UpgradeRequest},
    },
    limits::pending::PendingPlace,
    message::protocol::Admission,
    shard::{Place, Shard},
    tasks::{listener::SOCKETS_INHERIT_NODELAY, session},
};

/// Room for a head, as long as most are; a little less than what allocators begin to call large.
const HEAD: usize = 1000;
/// Bytes of messages kept from before the 101; more waits in the system.
const MAX_EARLY: usize = 64 * 1024;
/// How long a refusal may take to be read.
const LINGER: Duration = Duration::from_secs(2);

/// A connection that has a number, and so an end the owner hears of, whatever becomes of its task.
pub(crate) struct Registered {
    pub(crate) shard: Rc<Shard>,
    pub(crate) connection: Rc<Connection>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if thread::panicking() {
            let message = "the task of a connection panicked";
            self.shard
                .fault(FaultCode::Internal, message, Some(self.connection.id()));
        }
        self.shard.end(&self.connection);
        self.connection.abandon(self.shard.metrics());
    }
}

/// A connection whose client has been admitted.
pub(crate) struct Open {
    pub(crate) registered: Registered,
    pub(crate) reader: OwnedReadHalf,
    /// The bytes that came before the 101.
    pub(crate) early: Vec<u8>,
    /// Dropped after the socket.
    pub(crate) place: Place,
}

/// Serves an accepted socket until it is admitted; `None` if it came to nothing.
///
/// The pending place stands before the socket, so that it is dropped after it.
pub(crate) async fn open(
    shard: Rc<Shard>,
    mut pending: PendingPlace,
    mut stream: TcpStream,
    peer: IpAddr,
    deadline: Instant,
) -> Option<Open> {
    let shard = &shard;
    if !SOCKETS_INHERIT_NODELAY {
        // A socket that cannot be told so is slower, not wrong.
        let _ = stream.set_nodelay(true);
    }
    let asked = match read_request(shard, &pending, &mut stream, deadline).await? {
        Ok((request, early)) => (shard.find_place(peer)).map(|place| (request, early, place)),
        Err(refusal) => Err(refusal),
    };
    let (request, early, place) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refuse(shard, &mut pending, stream, &refusal).await,
    };
    pending.complete();
    let id = ClientId::random();
    let welcome = request::switching_protocols(&request.accept);
    let (reader, writer) = stream.into_split();
    let connection = shard
        .register(|handle| Connection::new(handle, id, writer, welcome, shard.tally().clone()));
    connection.set_held(early.len());
    let registered = Registered {
        shard: shard.clone(),
        connection,
    };
    let mut upgrade = Upgrade {
        shard,
        registered,
        reader,
        early,
        place,
    };
    let verdict = upgrade.admission(&request, deadline).await;
    drop(request);
    upgrade.conclude(verdict, &mut pending).await
}

/// What the client asks for and what came behind it, or why not; `None` if the client left.
async fn read_request(
    shard: &Shard,
    pending: &PendingPlace,
    stream: &mut TcpStream,
    deadline: Instant,
) -> Option<Result<(UpgradeRequest, Vec<u8>), Refusal>> {
    let head = tokio::select! {
        head = timeout_at(deadline, read_head(shard, pending, stream)) => head,
        () = shard.stopping() => return Some(Err(Refusal::new(503, Reason::Stop))),
    };
    let Ok(head) = head else {
        return Some(Err(Refusal::new(408, Reason::Timeout)));
    };
    Some(match head? {
        (Ok(_), _) if shard.is_stopping() => Err(Refusal::new(503, Reason::Stop)),
        (Ok(request), early) => Ok((request, early)),
        (Err(refusal), _) => {
            // Any number of these can come; those an owner that does not look misses are counted.
            if refusal.reason == Reason::Origin && !shard.is_inbox_full() {
                let message = "the request's origin is not allowed";
                shard.fault(FaultCode::Origin, message, None);
            }
            Err(refusal)
        }
    })
}

/// The head and what came behind it; `None` if the client left, or had to.
async fn read_head(
    shard: &Shard,
    pending: &PendingPlace,
    stream: &mut TcpStream,
) -> Option<(Result<UpgradeRequest, Refusal>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(HEAD);
    let mut is_told = false;
    loop {
        match request::parse(&bytes, &shard.config().rules) {
            Head::Complete { length, request } => {
                bytes.drain(..length.min(bytes.len()));
                return Some((request, bytes));
            }
            Head::Partial if is_told => {
                shard.metrics().refuse(Reason::Timeout);
                reset(stream);
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
                read_arrived(stream, &mut bytes);
                continue;
            }
        };
        match read {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Reads what the system has, also where the runtime does not know of it yet: a request that has arrived is not late.
fn read_arrived(stream: &TcpStream, bytes: &mut Vec<u8>) {
    let socket = SockRef::from(stream);
    let mut chunk = [0; 1024];
    while bytes.len() <= MAX_HEAD {
        match (&*socket).read(&mut chunk) {
            Ok(read @ 1..) => bytes.extend_from_slice(&chunk[..read]),
            Ok(0) | Err(_) => return,
        }
    }
}

/// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// What became of an upgrade.
enum Verdict {
    Admitted,
    Refused(Vec<u8>),
    /// Nobody decided in time, or the server stops.
    TimedOut(Reason),
    Gone,
}

/// A complete request that waits to be decided on.
struct Upgrade<'a> {
    shard: &'a Rc<Shard>,
    registered: Registered,
    reader: OwnedReadHalf,
    early: Vec<u8>,
    place: Place,
}

impl Upgrade<'_> {
    async fn admission(&mut self, request: &UpgradeRequest, deadline: Instant) -> Verdict {
        if self.shard.protocol().admission() == Admission::Immediate {
            self.shard.admit(&self.registered.connection);
            return Verdict::Admitted;
        }
        let shard = self.shard;
        // A full inbox takes no more upgrades; the deadline goes on.
        tokio::select! {
            room = timeout_at(deadline, shard.inbox_room(&self.registered.connection)) => {
                if room.is_err() {
                    return Verdict::TimedOut(Reason::Timeout);
                }
            }
            () = shard.stopping() => return Verdict::TimedOut(Reason::Stop),
        }
        if self.registered.connection.state() == State::Ended {
            // Cut off in the moment there was room.
            return Verdict::Gone;
        }
        self.registered.connection.make_known();
        shard.tell(
            self.registered.connection.handle(),
            &Event::Upgrade {
                id: self.registered.connection.id(),
                request,
            },
        );
        tokio::select! {
            verdict = timeout_at(deadline, self.verdict()) => {
                verdict.unwrap_or(Verdict::TimedOut(Reason::Timeout))
            }
            () = shard.stopping() => Verdict::TimedOut(Reason::Stop),
        }
    }

    /// Waits for the owner, keeps early bytes, and notices when the client leaves.
    async fn verdict(&mut self) -> Verdict {
        poll_fn(|cx| {
            self.registered.connection.register(cx);
            if self.registered.connection.state() == State::Open {
                // What else it was told is for its session.
                return Poll::Ready(Verdict::Admitted);
            }
            match self.registered.connection.take_order() {
                Some(Order::Refuse(response)) => return Poll::Ready(Verdict::Refused(response)),
                Some(_) => return Poll::Ready(Verdict::Gone),
                None => {}
            }
            while self.early.len() < MAX_EARLY
                && !self.shard.waits_for_relief(&self.registered.connection)
            {
                let mut chunk = [0_u8; 1024];
                let mut buffer = ReadBuf::new(&mut chunk);
                match tokio::io::AsyncRead::poll_read(Pin::new(&mut self.reader), cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                        self.early.extend_from_slice(buffer.filled());
                        self.registered.connection.set_held(self.early.len());
                    }
                    Poll::Ready(_) => return Poll::Ready(Verdict::Gone),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn conclude(self, verdict: Verdict, pending: &mut PendingPlace) -> Option<Open> {
        // The place comes first, and so goes last: after the socket.
        let Self {
            place,
            shard,
            registered,
            reader,
            early,
        } = self;
        let connection = &registered.connection;
        let response = match verdict {
            Verdict::Refused(response) => response,
            Verdict::TimedOut(reason) if !connection.is_welcomed() => {
                shard.end(connection);
                shard.metrics().refuse(reason);
                Refusal::new(503, reason).to_response()
            }
            // Admitted in the same moment, and perhaps cut off again: the 101 is on its way, so it is too late to refuse.
            Verdict::Admitted | Verdict::TimedOut(_) => {
                return Some(Open {
                    registered,
                    reader,
                    early,
                    place,
                });
            }
            Verdict::Gone => return None,
        };
        connection.push_answer(&response);
        // It is no connection any more, and holds the place of a socket that was refused.
        pending.refused();
        drop(place);
        tokio::select! {
            () = session::linger(shard, connection, reader) => {}
            () = pending.told_to_leave() => connection.cut(),
        }
        None
    }
}

/// Boxed, so that no other handshake carries it along.
fn refuse<'a>(
    shard: &'a Shard,
    pending: &'a mut PendingPlace,
    stream: TcpStream,
    refusal: &'a Refusal,
) -> Pin<Box<impl Future<Output = Option<Open>> + 'a>> {
    pending.refused();
    Box::pin(send_refusal(shard, pending, stream, refusal))
}

async fn send_refusal(
    shard: &Shard,
    pending: &PendingPlace,
    mut stream: TcpStream,
    refusal: &Refusal,
) -> Option<Open> {
    shard.metrics().refuse(refusal.reason);
    let answer = async {
        stream.write_all(&refusal.to_response()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the answer with it.
        let mut discarded = [0_u8; 1024];
        while stream.read(&mut discarded).await? > 0 {}
        std::io::Result::Ok(())
    };
    let is_read = tokio::select! {
        answer = timeout(LINGER, answer) => answer.is_ok(),
        () = pending.told_to_leave() => false,
        () = shard.terminating() => false,
    };
    if !is_read {
        // Whoever does not read a refusal, or not before it has to leave, gets a reset.
        reset(&stream);
    }
    None
}
