//! The task of one open connection: reads messages and hands them on, closes, lingers.

use std::{
    future::poll_fn,
    io,
    ops::ControlFlow,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{io::ReadBuf, task::yield_now, time::timeout};
use tokio_tungstenite::tungstenite::{
    self,
    protocol::{CloseFrame, Role, WebSocket, WebSocketConfig, frame::coding::CloseCode},
};

use crate::{
    border::{
        ending::{EndedBy, Ending},
        event::Event,
    },
    connection::{Connection, Order, State, calls::Limits, output::Flush},
    frame::{MASK, MAX_CONTROL, closing::may_be_sent, fault::Fault, outgoing},
    limits::capacity::Seat,
    message::{
        error::BadCode,
        inflating::Turn,
        protocol::{CallRefused, Exchange, Message, Payload},
    },
    shard::{
        Shard,
        delivery::{self, Manner},
        life::{self, Registered},
        relief,
    },
    tasks::{
        feed::{Arrived, Feed, Next},
        linger,
    },
    transport::stream::Reader,
};

/// The memory that tungstenite keeps for each connection: room for the longest control frame (RFC 6455 5.5) with its header.
const READ_BUFFER: usize = MAX_CONTROL + 2 + MASK;
/// Room for tungstenite's own frames; the feed takes them at once, so one is all there is.
const WRITE_BUFFER: usize = 1024;

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The closing handshake is complete.
    Closed,
    /// The peer did something wrong; it is told with a close code.
    Fault(Fault),
    /// The peer is gone, or was cut off.
    Gone,
    /// The peer has reset the connection: there is nothing left to end.
    Reset,
}

/// The reason why the task woke.
enum Wake {
    /// There is something to read, and whether it filled the scratch.
    Input {
        full: bool,
    },
    Order(Order),
    Gone,
    Reset,
    /// The client is not to be read for now.
    Held,
}

/// A connection whose client has been admitted.
pub(crate) struct Open {
    pub(crate) registered: Registered,
    pub(crate) reader: Reader,
    /// The bytes that came before the 101.
    pub(crate) early: Vec<u8>,
    /// Dropped after the socket.
    pub(crate) seat: Seat,
}

struct Task {
    registered: Registered,
    reader: Reader,
    socket: WebSocket<Feed>,
    /// Dropped after the socket.
    _seat: Seat,
    /// Reading stopped with messages left: go on without waiting for the socket.
    unread: bool,
    /// The owner has closed it, and wants no more messages.
    discards: bool,
}

/// Serves an open connection to its end.
///
/// Makes the state of an open connection outside the future, because the future of an `async fn` would keep its arguments twice.
pub(crate) fn run(open: Open) -> impl Future<Output = ()> {
    let Open {
        registered,
        reader,
        early,
        seat,
    } = open;
    let Registered { shard, connection } = &registered;
    shard.metrics().bytes_in.add(early.len() as u64);
    let socket = web_socket(connection.clone(), Arrived::new(early));
    let mut task = Task {
        registered,
        reader,
        socket,
        _seat: seat,
        unread: true,
        discards: false,
    };
    async move {
        let end = task.serve().await;
        // What is not taken out is dropped last, its seat among it.
        let Task {
            registered,
            reader,
            socket,
            ..
        } = task;
        // A message that is under way is not kept while the connection lingers.
        drop(socket);
        registered.connection.set_held(0);
        let Registered { shard, connection } = &registered;
        let has_sent_close = connection.state() == State::Closing;
        life::end(shard, connection, end.ending());
        match end {
            End::Gone => return connection.output.cut(),
            End::Reset => return connection.output.forget(),
            End::Fault(fault) if !has_sent_close => {
                let (code, reason) = fault.close_code();
                connection
                    .output
                    .push_control(&outgoing::close(code, reason));
            }
            End::Closed | End::Fault(_) => {}
        }
        linger::linger(shard, connection, reader).await;
    }
}

/// tungstenite at the start of a connection.
fn web_socket(connection: Rc<Connection>, arrived: Arrived) -> WebSocket<Feed> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER);
    let feed = Feed::new(connection, arrived);
    WebSocket::from_raw_socket(feed, Role::Server, Some(limits))
}

impl End {
    /// What it means to the owner, unless a close frame says more.
    fn ending(&self) -> Ending {
        match self {
            Self::Closed => Ending::without_code(),
            Self::Fault(fault) => {
                let (code, reason) = fault.close_code();
                Ending::new(EndedBy::Server, code, reason)
            }
            Self::Gone | Self::Reset => Ending::without_frame(EndedBy::Network),
        }
    }
}

impl Task {
    async fn serve(&mut self) -> End {
        loop {
            match poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Input { full } => {
                    if let Some(end) = self.read_messages() {
                        return end;
                    }
                    if full || self.unread {
                        // More may follow at once; others have their turn first.
                        yield_now().await;
                    }
                }
                Wake::Order(Order::Close) => {
                    let by = match self.close() {
                        Ok(by) => by,
                        Err(end) => return end,
                    };
                    if by == EndedBy::Server {
                        return self.hear_out().await;
                    }
                }
                Wake::Held => {
                    if Box::pin(self.rest()).await.is_break() {
                        return End::Gone;
                    }
                }
                Wake::Order(_) | Wake::Gone => return End::Gone,
                Wake::Reset => return End::Reset,
            }
        }
    }

    /// Waits while the client is not read; breaks when it is gone.
    async fn rest(&mut self) -> ControlFlow<()> {
        let takes_memory = self.takes_memory();
        let Registered { shard, connection } = &self.registered;
        let paused = connection.read_gate.is_paused();
        let is_long = lasts_long(shard, connection);
        let rested = poll_fn(|cx| {
            connection.register(cx);
            if connection.output.poll_flush(cx, shard.metrics()).is_ready() {
                return Poll::Ready(ControlFlow::Break(()));
            }
            let changed = connection.read_gate.is_paused() != paused
                || lasts_long(shard, connection) != is_long;
            let is_held = is_held(shard, connection)
                || (takes_memory && relief::waits_for_relief(shard, connection));
            if changed || connection.has_order() || !is_held {
                return Poll::Ready(ControlFlow::Continue(()));
            }
            Poll::Pending
        });
        tokio::select! {
            rested = rested => rested,
            // A reset; nobody knows how long such a pause lasts. An orderly end stands behind what is not read: the
            // heartbeat finds that its client is gone.
            () = self.reader.failed(), if is_long => ControlFlow::Break(()),
        }
    }

    /// Whether to go on may take more memory. What has been read already takes none, unless it is inflated.
    fn takes_memory(&self) -> bool {
        !self.unread || self.socket.get_ref().is_inflating()
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        self.registered.connection.register(cx);
        if let Some(order) = self.registered.connection.take_order() {
            return Poll::Ready(Wake::Order(order));
        }
        let Registered { shard, connection } = &self.registered;
        if connection.output.poll_flush(cx, shard.metrics()).is_ready() {
            return Poll::Ready(Wake::Gone);
        }
        if !self.discards {
            if is_held(shard, connection) {
                return Poll::Ready(Wake::Held);
            }
            if self.takes_memory() && relief::waits_for_relief(shard, connection) {
                return Poll::Ready(Wake::Held);
            }
        }
        if self.unread {
            return Poll::Ready(Wake::Input { full: false });
        }
        let at_once = relief::reads_at_once(shard);
        let mut scratch = self.registered.shard.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch[..at_once]);
        let polled = self.reader.poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) if read > 0 => {
                self.registered.shard.metrics().bytes_in.add(read as u64);
                self.registered
                    .connection
                    .heartbeat
                    .heard(self.registered.shard.tick());
                self.socket.get_mut().arrived.lend(scratch, read);
                Poll::Ready(Wake::Input {
                    full: read == at_once,
                })
            }
            Poll::Ready(end) => {
                self.registered.shard.return_scratch(scratch);
                let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
                Poll::Ready(if end.is_err_and(|error| is_reset(&error)) {
                    Wake::Reset
                } else {
                    Wake::Gone
                })
            }
            Poll::Pending => {
                self.registered.shard.return_scratch(scratch);
                self.count_held();
                Poll::Pending
            }
        }
    }

    /// Counts what is held of what has come.
    fn count_held(&self) {
        let held = self.socket.get_ref().held() + self.reader.held();
        let Registered { shard, connection } = &self.registered;
        if held != connection.held() {
            connection.set_held(held);
            relief::watch_buffers(shard);
        }
    }

    /// Takes as many messages as there are.
    fn read_messages(&mut self) -> Option<End> {
        self.unread = false;
        let mut turn = Turn::default();
        let end = loop {
            let Registered { shard, connection } = &self.registered;
            let is_held = connection.read_gate.is_paused() || shard.is_unread(connection);
            if (is_held && !self.discards) || turn.is_over() {
                self.unread = true;
                break None;
            }
            let max_payload = self.registered.shard.config().max_payload;
            match self.socket.get_mut().next(max_payload) {
                Ok(Next::Message(message)) => deliver(&self.registered, self.discards, message),
                Ok(Next::Compressed) => match self.inflate(max_payload, &mut turn) {
                    Ok(Some(message)) => deliver(&self.registered, self.discards, message),
                    Ok(None) => {}
                    Err(fault) => break Some(End::Fault(fault)),
                },
                Ok(Next::Close(closing)) => {
                    let said = closing.read().map(|said| {
                        said.map(|(code, reason)| Ending::new(EndedBy::Client, code, reason))
                    });
                    break Some(self.closed(said));
                }
                Ok(Next::Control) => {
                    if let Err(error) = self.read_control() {
                        break Some(end_of(&error));
                    }
                }
                Ok(Next::Nothing) => break None,
                Err(fault) => break Some(End::Fault(fault)),
            }
            if self.registered.connection.state() == State::Ended {
                break Some(End::Gone);
            }
        };
        let feed = self.socket.get_mut();
        let scratch = feed.arrived.settle();
        self.registered.shard.return_scratch(scratch);
        self.count_held();
        if !self.registered.connection.output.is_empty() && self.flush() == Flush::Broken {
            return Some(End::Gone);
        }
        end
    }

    /// Inflates the message that the feed has found; `None` if the turn is over before.
    fn inflate(
        &mut self,
        max_payload: usize,
        turn: &mut Turn,
    ) -> Result<Option<Message<'static>>, Fault> {
        let compressor = self.registered.shard.compressor();
        let feed = self.socket.get_mut();
        feed.inflate(compressor, max_payload, turn)
    }

    /// The client has sent a close frame. It gets one in return, unless it has ours.
    fn closed(&self, said: Result<Option<Ending>, Fault>) -> End {
        let (ending, frame) = match said {
            Err(fault) => return End::Fault(fault),
            Ok(None) => (Ending::without_code(), outgoing::EMPTY_CLOSE.to_vec()),
            Ok(Some(said)) => {
                let ending = if may_be_sent(said.code) {
                    said
                } else {
                    End::Fault(Fault::Protocol).ending()
                };
                let frame = outgoing::close(ending.code, &ending.reason);
                (ending, frame)
            }
        };
        let Registered { connection, .. } = &self.registered;
        if self.socket.can_write() {
            connection.output.push_control(&frame);
        }
        connection.set_ending(ending);
        End::Closed
    }

    /// Lets tungstenite read of a control frame, and answer it when it is whole.
    fn read_control(&mut self) -> Result<(), tungstenite::Error> {
        match self.socket.read() {
            Ok(_) => self.socket.flush(),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn flush(&self) -> Flush {
        let Registered { shard, connection } = &self.registered;
        connection.output.flush(shard.metrics())
    }

    /// Sends the close frame behind what is queued. Returns who wants that.
    fn close(&mut self) -> Result<EndedBy, End> {
        let Some(Ending { by, code, reason }) = self.registered.connection.ending() else {
            return Err(End::Gone);
        };
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: String::from(reason).into(),
        };
        match self.socket.close(Some(frame)) {
            Ok(()) if self.flush() != Flush::Broken => Ok(by),
            _ => Err(End::Gone),
        }
    }

    /// Reads on for the client's close frame alone. Boxed, so that no open connection carries it along.
    fn hear_out(&mut self) -> Pin<Box<dyn Future<Output = End> + '_>> {
        self.discards = true;
        let connection = self.registered.connection.clone();
        let limit = self.registered.shard.config().close_timeout;
        Box::pin(async move {
            match timeout(limit, self.serve()).await {
                Ok(end) => end,
                // It has all that was sent, and gets a FIN instead of a reset.
                Err(_) if connection.output.is_empty() => End::Closed,
                Err(_) => End::Gone,
            }
        })
    }
}

/// Passes a message to the protocol, unless the owner wants no more.
fn deliver(registered: &Registered, discards: bool, message: Message<'_>) {
    if discards {
        return;
    }
    let Registered { shard, connection } = registered;
    let mut exchange = Sender { shard, connection };
    shard.protocol().message(message, &mut exchange);
}

/// The steps that a protocol may take for a message of one connection.
struct Sender<'a> {
    shard: &'a Rc<Shard>,
    connection: &'a Rc<Connection>,
}

impl Sender<'_> {
    fn tell(&self, event: &Event<'_>) {
        let bytes = self.shard.tell(self.connection, event);
        self.shard.count_message(self.connection, bytes);
    }
}

impl Exchange for Sender<'_> {
    fn take(&mut self) -> Result<(), u64> {
        self.shard.take_message(self.connection)
    }

    fn give_back(&mut self) {
        self.shard.give_message_back(self.connection);
    }

    fn count(&mut self) {
        self.shard.metrics().received.add(1);
    }

    fn hand_over(&mut self, route: u32, id: Option<u64>, payload: Option<Payload<'_>>) {
        self.count();
        self.tell(&Event::Message {
            route,
            number: id,
            payload,
        });
    }

    fn call(
        &mut self,
        route: u32,
        id: u64,
        payload: Option<Payload<'_>>,
    ) -> Result<(), CallRefused> {
        let config = self.shard.config();
        let limits = Limits {
            count: config.max_calls_per_client,
            bytes: config.max_payload,
        };
        let bytes = payload.map_or(0, |payload| payload.length());
        let number = self.connection.calls().open(id, bytes, limits)?;
        self.hand_over(route, Some(number.into()), payload);
        Ok(())
    }

    fn is_open(&self, id: u64) -> bool {
        self.connection.calls().has(id)
    }

    fn abort(&mut self, id: u64) {
        let aborted = self.connection.calls().abort(id);
        if let Some(number) = aborted {
            self.tell(&Event::Abort { number });
        }
    }

    fn more(&mut self, id: u64, items: u64) {
        let open = self.connection.calls().number(id);
        if let Some(number) = open {
            self.tell(&Event::More { number, items });
        }
    }

    fn refuse(&mut self, code: BadCode, payload: &[u8]) {
        self.count();
        self.shard.metrics().bad[code as usize].add(1);
        (self.shard).tell_bad(self.connection, code, payload);
    }

    fn pong(&mut self) -> bool {
        self.connection.pong()
    }

    fn reply(&mut self, write: &mut dyn FnMut(&mut Vec<u8>) -> usize) {
        // What the frame holds is mostly a copy of what was read, or short.
        delivery::send_one(self.shard, self.connection, Manner::default(), 0, write);
    }
}

/// Whether a client is not to be read for now; its task is woken when that may have changed.
fn is_held(shard: &Shard, connection: &Rc<Connection>) -> bool {
    connection.read_gate.is_paused() || shard.waits_for_inbox(connection)
}

/// Whether nobody knows how long a client that is held stays so. A full inbox is soon taken.
fn lasts_long(shard: &Shard, connection: &Connection) -> bool {
    connection.read_gate.is_paused()
        || shard.is_inbox_closed(connection)
        || relief::holds_back(shard, connection)
}

/// The end of the connection that an error of tungstenite means.
fn end_of(error: &tungstenite::Error) -> End {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => End::Closed,
        tungstenite::Error::Protocol(_) => End::Fault(Fault::Protocol),
        _ => End::Gone,
    }
}
