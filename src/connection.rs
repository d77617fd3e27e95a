//! One connection as its shard sees it: state, outbox, and what its task is told.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    net::Shutdown,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    id::{ClientId, Handle},
    metrics::Metrics,
    outbox::{Frames, Outbox, SLICES},
    rate::Rate,
    shard::Place,
};

/// First byte of a pong: final frame, opcode 10 (RFC 6455 5.5.3).
const PONG: u8 = 0x8A;
/// First byte of a close frame: final frame, opcode 8 (RFC 6455 5.5.1).
const CLOSE: u8 = 0x88;

/// Messages of one connection that may wait for the owner: one client alone does not fill the inbox,
/// and the owner's wish to pause it comes in time.
const MAX_WAITING: u32 = 128;

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
    /// Start the closing handshake, with a hint after how many milliseconds to connect again.
    Close(u16, Option<u32>),
    /// Cut it off.
    Terminate,
}

/// The part both the task and the shard hold.
pub(crate) struct Connection {
    handle: Handle,
    id: ClientId,
    /// Gone once the connection's task is over: the number may outlive the socket.
    writer: RefCell<Option<OwnedWriteHalf>>,
    outbox: RefCell<Outbox>,
    state: Cell<State>,
    order: RefCell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    /// The owner has been told of its upgrade, so it is to be told of its end.
    known: Cell<bool>,
    /// The owner wants no more messages for now.
    paused: Cell<bool>,
    /// The last write found the socket full; the task waits for it.
    blocked: Cell<bool>,
    /// The newest pong that found the socket full: RFC 6455 5.5.3 lets it stand for older ones.
    pong: RefCell<Option<Box<[u8]>>>,
    /// Number of its last event, and how many were written since one before them was seen taken.
    last_event: Cell<u64>,
    waiting: Cell<u32>,
    /// Listed for a wake when the owner has taken something.
    waits: Cell<bool>,
    /// Heartbeat tick of the last byte read.
    last_read: Cell<u32>,
    pinged: Cell<bool>,
    /// Number of the last fan-out that reached it, so that several rooms reach it once.
    mark: Cell<u32>,
    /// When its bucket of messages is full again; see [`Rate`].
    bucket: Cell<u64>,
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
            writer: RefCell::new(Some(writer)),
            outbox: RefCell::default(),
            state: Cell::new(State::Pending),
            order: RefCell::default(),
            waker: RefCell::default(),
            known: Cell::new(false),
            paused: Cell::new(false),
            blocked: Cell::new(false),
            pong: RefCell::default(),
            last_event: Cell::new(0),
            waiting: Cell::new(0),
            waits: Cell::new(false),
            last_read: Cell::new(0),
            pinged: Cell::new(false),
            mark: Cell::new(0),
            bucket: Cell::new(0),
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

    /// The owner is about to hear of it.
    pub(crate) fn make_known(&self) {
        self.known.set(true);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.get()
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

    /// Whether the 101 has been queued.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcome.borrow().is_empty()
    }

    /// Frees its place; true if it had not ended before.
    pub(crate) fn end(&self) -> bool {
        self.place.take();
        self.state.replace(State::Ended) != State::Ended
    }

    /// Open to closing: nothing may be sent any more. False if it was not open.
    pub(crate) fn start_closing(&self) -> bool {
        let open = self.state.get() == State::Open;
        if open {
            self.state.set(State::Closing);
        }
        open
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

    pub(crate) fn has_order(&self) -> bool {
        self.order.borrow().is_some()
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.wake();
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

    /// Queues a ping unless one is unanswered, or our close frame is sent: nothing may follow that.
    pub(crate) fn ping(&self) -> bool {
        let first = self.state() == State::Open && !self.pinged.replace(true);
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

    /// Takes a message from its bucket; if there is none, says after how many nanoseconds there is one.
    pub(crate) fn take_message(&self, rate: Rate, now: u64) -> Result<(), u64> {
        rate.take(self.bucket.get(), now)
            .map(|full| self.bucket.set(full))
    }

    /// Counts a message that waits for the owner as event `number`.
    pub(crate) fn count_message(&self, number: u64, is_taken: impl Fn(u64) -> bool) {
        let before = if is_taken(self.last_event.get()) {
            0
        } else {
            self.waiting.get()
        };
        self.waiting.set(before + 1);
        self.last_event.set(number);
    }

    /// Whether so many of its messages wait for the owner that it is not read on.
    pub(crate) fn has_enough_waiting(&self, is_taken: impl Fn(u64) -> bool) -> bool {
        self.waiting.get() >= MAX_WAITING && !is_taken(self.last_event.get())
    }

    /// Whether the socket takes nothing for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Lists it for a wake when the owner has taken something; false if it was already.
    pub(crate) fn start_waiting(&self) -> bool {
        !self.waits.replace(true)
    }

    pub(crate) fn stop_waiting(&self) {
        self.waits.set(false);
    }

    /// Queues bytes that are no message. While the socket is full only the newest pong is kept, so
    /// that a flood of pings leaves one pong and not a long queue; a close frame ends its wait, as
    /// nothing may follow one.
    pub(crate) fn push_control(&self, bytes: &[u8]) {
        match bytes.first() {
            Some(&PONG) if self.blocked.get() => {
                *self.pong.borrow_mut() = Some(bytes.into());
                return;
            }
            Some(&CLOSE) => {
                self.pong.take();
            }
            _ => {}
        }
        self.outbox.borrow_mut().push_control(bytes);
    }

    /// Queues a message of a route that keeps its latest alone: while the socket is full it supersedes the one that waits,
    /// and is taken past `limit` too, since there is one at most. The caller has counted it as sent.
    pub(crate) fn push_latest(
        &self,
        frame: &Rc<Frames>,
        route: u32,
        limit: usize,
        metrics: &Metrics,
    ) {
        if !self.blocked.get() && self.outbox.borrow().bytes() > limit {
            // What one batch queues is bounded too, and only a write tells what the socket takes.
            let is_broken = self.flush(metrics) == Flush::Broken;
            if is_broken {
                metrics.dropped.add(1);
                return;
            }
        }
        let mut outbox = self.outbox.borrow_mut();
        if self.blocked.get() {
            metrics.dropped.add(outbox.drop_latest(route) as u64);
        }
        outbox.push_latest(frame, route);
    }

    /// Hands what waits to the system, as much as it takes. Once the socket is full, what is superseded is dropped.
    pub(crate) fn flush(&self, metrics: &Metrics) -> Flush {
        let writer = self.writer.borrow();
        let Some(writer) = &*writer else {
            return Flush::Broken;
        };
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
                1 => writer.try_write(&slices[0]),
                filled => writer.try_write_vectored(&slices[..filled]),
            };
            match written {
                Ok(written) => {
                    metrics.bytes_out.add(written as u64);
                    metrics.written.add(outbox.advance(written) as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.blocked.replace(true) {
                        metrics.dropped.add(outbox.coalesce() as u64);
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
            match self.poll_writable(cx) {
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

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.writer.borrow() {
            Some(writer) => writer.as_ref().poll_write_ready(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Closes the socket for good; what still waits is counted as dropped.
    pub(crate) fn abandon(&self, metrics: &Metrics) {
        metrics.dropped.add(self.outbox.borrow_mut().clear() as u64);
        self.writer.take();
    }

    /// Lets go of a socket that the peer has reset, without the calls that end a live one.
    pub(crate) fn forget(&self) {
        if let Some(writer) = self.writer.take() {
            writer.forget();
        }
    }

    /// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
    pub(crate) fn cut(&self) {
        if let Some(writer) = &*self.writer.borrow() {
            // Failing leaves an ordinary close, which is no worse for anybody but the system's memory.
            let _ = SockRef::from(writer.as_ref()).set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn shut_down(&self) {
        if let Some(writer) = &*self.writer.borrow() {
            // A peer that is already gone needs no FIN.
            let _ = SockRef::from(writer.as_ref()).shutdown(Shutdown::Write);
        }
    }
}
