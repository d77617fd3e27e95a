//! The task of one open connection: reads messages and hands them on, closes, lingers.

use std::{
    future::poll_fn,
    io,
    ops::ControlFlow,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::tcp::OwnedReadHalf,
    task::yield_now,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    self,
    protocol::{CloseFrame, Role, WebSocket, WebSocketConfig, frame::coding::CloseCode},
};

use crate::{
    connection::{Connection, Flush, Order, State},
    message::protocol::{Exchange, Message},
    shard::{Place, Shard},
    tasks::{
        feed::{Arrived, Next, Transport},
        upgrade::{Open, Registered},
    },
};

/// What tungstenite keeps for each connection: room for the longest control frame (RFC 6455 5.5) with its header.
const READ_BUFFER: usize = 125 + 6;
/// Room for tungstenite's own frames; the transport takes them at once, so one is all there is.
const WRITE_BUFFER: usize = 1024;
/// How long an ended connection is flushed and read on, so that a close frame arrives instead of a reset.
const LINGER: Duration = Duration::from_secs(2);

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The closing handshake is complete.
    Closed,
    /// The peer broke the protocol; it is told with this close code.
    Fault(u16, &'static str),
    /// The peer is gone, or was cut off.
    Gone,
    /// The peer has reset the connection: there is nothing left to end.
    Reset,
}

/// What woke the task.
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

struct Task {
    registered: Registered,
    reader: OwnedReadHalf,
    socket: WebSocket<Transport>,
    /// Dropped after the socket.
    _place: Place,
    /// Reading stopped with messages left: go on without waiting for the socket.
    unread: bool,
}

/// Serves an open connection to its end.
///
/// What an open connection keeps is made outside the future, which would keep the arguments of an `async fn` twice.
pub(crate) fn run(open: Open) -> impl Future<Output = ()> {
    let Open {
        registered,
        reader,
        early,
        place,
    } = open;
    let Registered { shard, connection } = &registered;
    shard.metrics().bytes_in.add(early.len() as u64);
    let socket = web_socket(connection.clone(), Arrived::new(early));
    let mut task = Task {
        registered,
        reader,
        socket,
        _place: place,
        unread: true,
    };
    async move {
        let end = task.serve().await;
        // What is not taken out is dropped last, its place among it.
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
        shard.end(connection);
        match end {
            End::Gone => return connection.cut(),
            End::Reset => return connection.forget(),
            End::Fault(code, reason) if !has_sent_close => {
                connection.push_control(&close_frame(code, reason));
            }
            End::Closed | End::Fault(..) => {}
        }
        linger(shard, connection, reader).await;
    }
}

/// tungstenite at the start of a connection.
fn web_socket(connection: Rc<Connection>, arrived: Arrived) -> WebSocket<Transport> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER);
    let transport = Transport::new(connection, arrived);
    WebSocket::from_raw_socket(transport, Role::Server, Some(limits))
}

impl Task {
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
                Wake::Order(Order::Close(code, hint)) => {
                    if let Some(end) = self.close(code, hint) {
                        return end;
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
        let Registered { shard, connection } = &self.registered;
        let paused = connection.is_paused();
        let rested = poll_fn(|cx| {
            connection.register(cx);
            if connection.poll_flush(cx, shard.metrics()).is_ready() {
                return Poll::Ready(ControlFlow::Break(()));
            }
            let changed = connection.is_paused() != paused;
            let is_held =
                is_held(shard, connection) || (!self.unread && shard.waits_for_relief(connection));
            if changed || connection.has_order() || !is_held {
                return Poll::Ready(ControlFlow::Continue(()));
            }
            Poll::Pending
        });
        let is_long = paused || shard.holds_back(connection);
        tokio::select! {
            rested = rested => rested,
            // A reset; nobody knows how long such a pause lasts. An orderly end stands behind what is not read: the
            // heartbeat finds that its client is gone.
            _ = self.reader.ready(Interest::ERROR), if is_long => ControlFlow::Break(()),
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        self.registered.connection.register(cx);
        if let Some(order) = self.registered.connection.take_order() {
            return Poll::Ready(Wake::Order(order));
        }
        let Registered { shard, connection } = &self.registered;
        if connection.poll_flush(cx, shard.metrics()).is_ready() {
            return Poll::Ready(Wake::Gone);
        }
        if is_held(&self.registered.shard, &self.registered.connection) {
            return Poll::Ready(Wake::Held);
        }
        // What has been read already takes no more memory.
        if self.unread {
            return Poll::Ready(Wake::Input { full: false });
        }
        if shard.waits_for_relief(connection) {
            return Poll::Ready(Wake::Held);
        }
        let at_once = shard.reads_at_once();
        let mut scratch = self.registered.shard.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch[..at_once]);
        let polled = Pin::new(&mut self.reader).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) if read > 0 => {
                self.registered.shard.metrics().bytes_in.add(read as u64);
                self.registered
                    .connection
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
                Poll::Pending
            }
        }
    }

    /// Takes as many messages as there are.
    fn read_messages(&mut self) -> Option<End> {
        self.unread = false;
        let end = loop {
            if self.registered.connection.is_paused()
                || self.registered.shard.is_unread(&self.registered.connection)
            {
                self.unread = true;
                break None;
            }
            let max_payload = self.registered.shard.config().max_payload;
            match self.socket.get_mut().next(max_payload) {
                Ok(Next::Message(message)) => self.deliver(message),
                Ok(Next::Control) => {
                    if let Err(error) = self.read_control() {
                        break Some(end_of(&error));
                    }
                }
                Ok(Next::Nothing) => break None,
                Err(fault) => {
                    let (code, reason) = fault.close_code();
                    break Some(End::Fault(code, reason));
                }
            }
            if self.registered.connection.state() == State::Ended {
                break Some(End::Gone);
            }
        };
        let transport = self.socket.get_mut();
        let scratch = transport.arrived.settle();
        self.registered.shard.return_scratch(scratch);
        self.registered.connection.set_held(transport.held());
        self.registered.shard.watch_buffers();
        if !self.registered.connection.outbox().borrow().is_empty() && self.flush() == Flush::Broken
        {
            return Some(End::Gone);
        }
        end
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
        connection.flush(shard.metrics())
    }

    fn deliver(&mut self, message: Message) {
        let Registered { shard, connection } = &self.registered;
        shard.metrics().received.add(1);
        let mut exchange = Exchange { shard, connection };
        shard.protocol().message(message, &mut exchange);
    }

    fn close(&mut self, code: u16, hint: Option<u32>) -> Option<End> {
        if !self.registered.connection.start_closing() {
            return None;
        }
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: hint.map_or_else(Default::default, |ms| {
                format!("reconnect-after={ms}").into()
            }),
        };
        match self.socket.close(Some(frame)) {
            Ok(()) if self.flush() != Flush::Broken => None,
            _ => Some(End::Gone),
        }
    }
}

/// Whether a client is not to be read for now; its task is woken when that may have changed.
fn is_held(shard: &Shard, connection: &Rc<Connection>) -> bool {
    connection.is_paused() || shard.waits_for_inbox(connection)
}

/// The close code RFC 6455 7.4.1 gives for what tungstenite found.
fn end_of(error: &tungstenite::Error) -> End {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => End::Closed,
        tungstenite::Error::Utf8(_) => End::Fault(1007, "invalid UTF-8"),
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
/// bytes would reset it and take the close frame with it. Boxed, so that no open connection carries it along.
pub(crate) fn linger<'a>(
    shard: &'a Rc<Shard>,
    connection: &'a Connection,
    reader: OwnedReadHalf,
) -> Pin<Box<impl Future<Output = ()> + 'a>> {
    Box::pin(send_and_discard(shard, connection, reader))
}

async fn send_and_discard(shard: &Rc<Shard>, connection: &Connection, mut reader: OwnedReadHalf) {
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
            if !closed && connection.outbox().borrow().is_empty() {
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
    let is_over = tokio::select! {
        work = timeout(LINGER, work) => work.is_ok(),
        // Its order does not reach a connection whose number the owner has released.
        () = shard.terminating() => false,
    };
    if !is_over {
        connection.cut();
    }
}
