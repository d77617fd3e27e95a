//! One connection: what its shard shares with its task, and the task from the 101 to the end.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    task::yield_now,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    self,
    protocol::{CloseFrame, Role, WebSocket, WebSocketConfig, frame::coding::CloseCode},
};

use crate::{
    id::{ClientId, Handle},
    metrics::Metrics,
    outbox::{Outbox, SLICES},
    protocol::{Exchange, Message},
    shard::{Place, SCRATCH, Shard},
    transport::{Arrived, Transport},
};

/// What tungstenite keeps for each connection; larger messages grow it for as long as they last.
const READ_BUFFER: usize = 512;
/// Room for tungstenite's own frames; the transport takes them at once, so one is all there is.
const WRITE_BUFFER: usize = 1024;
/// How long an ended connection is flushed and read on, so that a close frame arrives instead of a reset.
const LINGER: Duration = Duration::from_secs(2);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Upgrade read, admission pending.
    Pending,
    Open,
    /// Our close frame is queued: nothing may be sent after it.
    Closing,
    /// Over, as far as the owner is concerned.
    Ended,
}

/// What the shard tells a connection's task to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer the pending upgrade with these bytes.
    Refuse(Vec<u8>),
    /// Start the closing handshake.
    Close(u16),
    /// Cut it off.
    Terminate,
}

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The closing handshake is complete.
    Closed,
    /// The peer broke the protocol; it is told with this close code.
    Fault(u16, &'static str),
    /// The peer is gone, or was cut off.
    Gone,
}

/// The part both the task and the shard hold.
pub(crate) struct Connection {
    handle: Handle,
    id: ClientId,
    writer: OwnedWriteHalf,
    outbox: RefCell<Outbox>,
    state: Cell<State>,
    order: RefCell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    /// The owner wants no more messages for now.
    paused: Cell<bool>,
    /// The last write found the socket full; the task waits for it.
    blocked: Cell<bool>,
    /// The newest pong that found the socket full: RFC 6455 5.5.3 lets it stand for older ones.
    pong: RefCell<Option<Box<[u8]>>>,
    /// Heartbeat tick of the last byte read.
    last_read: Cell<u32>,
    pinged: Cell<bool>,
    /// Number of the last fan-out that reached it, so that several rooms reach it once.
    mark: Cell<u32>,
    /// Listed for the flush at the end of the batch.
    dirty: Cell<bool>,
    /// The 101, until it is sent.
    welcome: RefCell<Vec<u8>>,
    /// Its place among the server's connections, until it ends.
    place: RefCell<Option<Place>>,
}

/// What a flush left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Empty,
    Blocked,
    Broken,
}

impl Connection {
    pub(crate) fn new(
        handle: Handle,
        id: ClientId,
        writer: OwnedWriteHalf,
        welcome: Vec<u8>,
        place: Place,
    ) -> Rc<Self> {
        Rc::new(Self {
            handle,
            id,
            writer,
            outbox: RefCell::default(),
            state: Cell::new(State::Pending),
            order: RefCell::default(),
            waker: RefCell::default(),
            paused: Cell::new(false),
            blocked: Cell::new(false),
            pong: RefCell::default(),
            last_read: Cell::new(0),
            pinged: Cell::new(false),
            mark: Cell::new(0),
            dirty: Cell::new(false),
            welcome: RefCell::new(welcome),
            place: RefCell::new(Some(place)),
        })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(crate) fn outbox(&self) -> &RefCell<Outbox> {
        &self.outbox
    }

    /// Pending to open: queues the 101.
    pub(crate) fn open(&self) {
        self.state.set(State::Open);
        self.push_control(&self.welcome.take());
        self.wake();
    }

    /// Frees its place; true if it had not ended before.
    pub(crate) fn end(&self) -> bool {
        self.place.take();
        self.state.replace(State::Ended) != State::Ended
    }

    pub(crate) fn order(&self, order: Order) {
        let mut waiting = self.order.borrow_mut();
        if !matches!(*waiting, Some(Order::Terminate | Order::Refuse(_))) {
            *waiting = Some(order);
        }
        drop(waiting);
        self.wake();
    }

    pub(crate) fn take_order(&self) -> Option<Order> {
        self.order.take()
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Makes [`wake`](Self::wake) wake the task that polls.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// Marks it as reached by fan-out `number`; false if it was already.
    pub(crate) fn mark(&self, number: u32) -> bool {
        self.mark.replace(number) != number
    }

    /// Lists it for the next flush; false if it was already.
    pub(crate) fn list(&self) -> bool {
        !self.dirty.replace(true)
    }

    pub(crate) fn unlist(&self) {
        self.dirty.set(false);
    }

    /// A byte came at this tick.
    pub(crate) fn heard(&self, tick: u32) {
        self.last_read.set(tick);
        self.pinged.set(false);
    }

    /// Ticks since the last byte.
    pub(crate) fn silence(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.last_read.get())
    }

    /// Queues a ping unless one is unanswered.
    pub(crate) fn ping(&self) -> bool {
        let first = !self.pinged.replace(true);
        if first {
            // Final frame, opcode 9, no payload (RFC 6455 5.5.2).
            self.outbox.borrow_mut().push_control(&[0x89, 0]);
        }
        first
    }

    /// Whether the owner has asked for no more messages.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// Queues bytes that are no message. While the socket is full only the newest pong is kept, so
    /// that a flood of pings leaves one pong and not a long queue.
    pub(crate) fn push_control(&self, bytes: &[u8]) {
        if self.blocked.get() && bytes.first() == Some(&PONG) {
            *self.pong.borrow_mut() = Some(bytes.into());
        } else {
            self.outbox.borrow_mut().push_control(bytes);
        }
    }

    /// Hands what waits to the system, as much as it takes.
    pub(crate) fn flush(&self, metrics: &Metrics) -> Flush {
        let mut outbox = self.outbox.borrow_mut();
        loop {
            if outbox.is_empty() {
                match self.pong.take() {
                    Some(pong) => outbox.push_control(&pong),
                    None => break,
                }
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let written = match outbox.slices(&mut slices) {
                1 => self.writer.try_write(&slices[0]),
                filled => self.writer.try_write_vectored(&slices[..filled]),
            };
            match written {
                Ok(written) => {
                    metrics.bytes_out.add(written as u64);
                    metrics.written.add(outbox.advance(written) as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.blocked.replace(true) {
                        self.wake();
                    }
                    return Flush::Blocked;
                }
                Err(_) => return Flush::Broken,
            }
        }
        self.blocked.set(false);
        Flush::Empty
    }

    /// Polls the blocked socket on; `Ready` when it is broken.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>, metrics: &Metrics) -> Poll<()> {
        while self.blocked.get() {
            match self.writer.as_ref().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {
                    if self.flush(metrics) == Flush::Broken {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Gives up what waits, and counts it.
    pub(crate) fn abandon(&self, metrics: &Metrics) {
        metrics.dropped.add(self.outbox.borrow_mut().clear() as u64);
    }

    /// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
    pub(crate) fn cut(&self) {
        // Failing leaves an ordinary close, which is no worse for anybody but the system's memory.
        let _ = SockRef::from(self.writer.as_ref()).set_linger(Some(Duration::ZERO));
    }

    fn shut_down(&self) {
        // A peer that is already gone needs no FIN.
        let _ = SockRef::from(self.writer.as_ref()).shutdown(Shutdown::Write);
    }
}

/// First byte of a pong: final frame, opcode 10.
const PONG: u8 = 0x8A;

/// What woke the task.
enum Wake {
    /// There is something to read, and whether it filled the scratch.
    Input {
        full: bool,
    },
    Order(Order),
    Gone,
}

struct Task<'a> {
    shard: &'a Rc<Shard>,
    connection: Rc<Connection>,
    reader: OwnedReadHalf,
    socket: WebSocket<Transport>,
    /// Reading stopped with messages left: go on without waiting for the socket.
    unread: bool,
}

/// Serves an open connection to its end, with the bytes that came before the 101.
pub(crate) async fn run(
    shard: &Rc<Shard>,
    connection: Rc<Connection>,
    reader: OwnedReadHalf,
    early: Vec<u8>,
) {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(shard.config().max_payload))
        .max_frame_size(Some(shard.config().max_payload));
    let transport = Transport {
        arrived: Arrived::new(early),
        connection: connection.clone(),
    };
    let socket = WebSocket::from_raw_socket(transport, Role::Server, Some(limits));
    let mut task = Task {
        shard,
        connection,
        reader,
        socket,
        unread: true,
    };
    let end = task.serve().await;
    let Task {
        connection, reader, ..
    } = task;
    shard.end(&connection);
    match end {
        End::Gone => connection.cut(),
        End::Closed => linger(shard, &connection, reader).await,
        End::Fault(code, reason) => {
            connection.push_control(&close_frame(code, reason));
            linger(shard, &connection, reader).await;
        }
    }
    connection.abandon(shard.metrics());
}

impl Task<'_> {
    async fn serve(&mut self) -> End {
        loop {
            match poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Input { full } => {
                    if let Some(end) = self.read_messages() {
                        return end;
                    }
                    if full {
                        // More may follow at once; others have their turn first.
                        yield_now().await;
                    }
                }
                Wake::Order(Order::Close(code)) => {
                    if let Some(end) = self.close(code) {
                        return end;
                    }
                }
                Wake::Order(_) | Wake::Gone => return End::Gone,
            }
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        self.connection.register(cx);
        if let Some(order) = self.connection.take_order() {
            return Poll::Ready(Wake::Order(order));
        }
        if self
            .connection
            .poll_flush(cx, self.shard.metrics())
            .is_ready()
        {
            return Poll::Ready(Wake::Gone);
        }
        if self.connection.is_paused() || self.shard.waits_for_inbox(&self.connection) {
            return Poll::Pending;
        }
        if self.unread {
            return Poll::Ready(Wake::Input { full: false });
        }
        let mut scratch = self.shard.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        let polled = Pin::new(&mut self.reader).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) if read > 0 => {
                self.shard.metrics().bytes_in.add(read as u64);
                self.connection.heard(self.shard.tick());
                self.socket.get_mut().arrived.lend(scratch, read);
                Poll::Ready(Wake::Input {
                    full: read == SCRATCH,
                })
            }
            Poll::Ready(_) => {
                self.shard.return_scratch(scratch);
                Poll::Ready(Wake::Gone)
            }
            Poll::Pending => {
                self.shard.return_scratch(scratch);
                Poll::Pending
            }
        }
    }

    /// Takes as many messages as there are.
    fn read_messages(&mut self) -> Option<End> {
        self.unread = false;
        let end = loop {
            if self.connection.is_paused() || self.shard.is_inbox_full() {
                self.unread = true;
                break None;
            }
            match self.socket.read() {
                Ok(tungstenite::Message::Text(text)) => self.deliver(Message::Text(text)),
                Ok(tungstenite::Message::Binary(bytes)) => self.deliver(Message::Binary(bytes)),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    break None;
                }
                Err(error) => break Some(end_of(&error)),
            }
            if self.connection.state() == State::Ended {
                break Some(End::Gone);
            }
        };
        self.shard
            .return_scratch(self.socket.get_mut().arrived.settle());
        if !self.connection.outbox.borrow().is_empty()
            && self.connection.flush(self.shard.metrics()) == Flush::Broken
        {
            return Some(End::Gone);
        }
        end
    }

    fn deliver(&mut self, message: Message) {
        self.shard.metrics().received.add(1);
        let mut exchange = Exchange {
            shard: self.shard,
            connection: &self.connection,
        };
        self.shard.protocol().message(message, &mut exchange);
    }

    fn close(&mut self, code: u16) -> Option<End> {
        if self.connection.state() != State::Open {
            return None;
        }
        self.connection.state.set(State::Closing);
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        };
        match self.socket.close(Some(frame)) {
            Ok(()) if self.connection.flush(self.shard.metrics()) != Flush::Broken => None,
            _ => Some(End::Gone),
        }
    }
}

/// The close code RFC 6455 7.4.1 gives for what tungstenite found.
fn end_of(error: &tungstenite::Error) -> End {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => End::Closed,
        tungstenite::Error::Utf8(_) => End::Fault(1007, "invalid UTF-8"),
        tungstenite::Error::Capacity(_) => End::Fault(1009, "message too large"),
        tungstenite::Error::Protocol(_) => End::Fault(1002, "protocol error"),
        _ => End::Gone,
    }
}

/// A whole close frame (RFC 6455 5.5.1), for connections tungstenite must not be asked about again.
fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let length = u8::try_from(2 + reason.len()).expect("reasons are short literals");
    let mut frame = vec![0x88, length];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

/// Sends what is queued, then a FIN, and discards what still comes: closing a socket with unread
/// bytes would reset it and take the close frame with it.
pub(crate) async fn linger(shard: &Rc<Shard>, connection: &Connection, mut reader: OwnedReadHalf) {
    let work = async {
        if connection.flush(shard.metrics()) == Flush::Broken {
            return;
        }
        let mut closed = false;
        poll_fn(|cx| {
            connection.register(cx);
            if matches!(connection.take_order(), Some(Order::Terminate))
                || connection.poll_flush(cx, shard.metrics()).is_ready()
            {
                return Poll::Ready(());
            }
            if !closed && connection.outbox.borrow().is_empty() {
                connection.shut_down();
                closed = true;
            }
            let mut scratch = shard.take_scratch();
            let polled = loop {
                let mut buffer = ReadBuf::new(&mut scratch);
                match Pin::new(&mut reader).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => break Poll::Ready(()),
                    Poll::Pending => break Poll::Pending,
                }
            };
            shard.return_scratch(scratch);
            polled
        })
        .await;
    };
    if timeout(LINGER, work).await.is_err() {
        connection.cut();
    }
}
