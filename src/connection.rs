//! One connection as its shard sees it: state, outbox, and what its task is told.

pub(crate) mod outbox;
mod output;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
};

use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    border::handle::{ClientId, Handle},
    connection::outbox::Outbox,
    frame::outgoing::EMPTY_PING,
    limits::{buffered::Tally, rate::Rate},
};

pub(crate) use self::output::Flush;

/// Messages of one connection that may wait for the owner, and bytes of them, before it is not read on. So a client that
/// floods is never far ahead of the others, and the owner's wish to pause it comes in time. With what the owner has taken
/// and not handled yet, it is twice as much.
const MAX_WAITING: u32 = 64;
const MAX_WAITING_BYTES: u32 = 128 * 1024;

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
    /// Bytes of those.
    waiting_bytes: Cell<u32>,
    /// Listed for a wake when the owner has taken something.
    waits: Cell<bool>,
    /// Bytes of memory held of what it sends: a message that is not complete, and what is not to be read yet.
    held: Cell<usize>,
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
}

impl Connection {
    pub(crate) fn new(
        handle: Handle,
        id: ClientId,
        writer: OwnedWriteHalf,
        welcome: Vec<u8>,
        tally: Rc<Tally>,
    ) -> Rc<Self> {
        Rc::new(Self {
            handle,
            id,
            writer: RefCell::new(Some(writer)),
            outbox: RefCell::new(Outbox::new(tally)),
            state: Cell::new(State::Pending),
            order: RefCell::default(),
            waker: RefCell::default(),
            known: Cell::new(false),
            paused: Cell::new(false),
            blocked: Cell::new(false),
            pong: RefCell::default(),
            last_event: Cell::new(0),
            waiting: Cell::new(0),
            waiting_bytes: Cell::new(0),
            waits: Cell::new(false),
            held: Cell::new(0),
            last_read: Cell::new(0),
            pinged: Cell::new(false),
            mark: Cell::new(0),
            bucket: Cell::new(0),
            dirty: Cell::new(false),
            welcome: RefCell::new(welcome),
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
        self.push_answer(&self.welcome.take());
        self.wake();
    }

    /// Whether the 101 has been queued.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcome.borrow().is_empty()
    }

    /// True if it had not ended before.
    pub(crate) fn end(&self) -> bool {
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
            self.outbox.borrow_mut().push_control(&EMPTY_PING);
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

    /// Counts a message of so many bytes that waits for the owner as event `number`.
    pub(crate) fn count_message(&self, number: u64, bytes: u32, is_taken: impl Fn(u64) -> bool) {
        let (mut count, mut sum) = (0, 0);
        if !is_taken(self.last_event.get()) {
            (count, sum) = (self.waiting.get(), self.waiting_bytes.get());
        }
        self.waiting.set(count + 1);
        self.waiting_bytes.set(bytes.saturating_add(sum));
        self.last_event.set(number);
    }

    /// Whether so much of it waits for the owner that it is not read on.
    pub(crate) fn has_enough_waiting(&self, is_taken: impl Fn(u64) -> bool) -> bool {
        let enough =
            self.waiting.get() >= MAX_WAITING || self.waiting_bytes.get() >= MAX_WAITING_BYTES;
        enough && !is_taken(self.last_event.get())
    }

    /// Bytes of memory held of what it sends, as they were when the last read settled: a message that is not complete, and
    /// what has arrived but is not to be read yet. Messages that are complete are the inbox's. At most `maxPayload` and
    /// 64 KiB; 0 once its task is over.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    pub(crate) fn set_held(&self, bytes: usize) {
        let before = self.held.replace(bytes);
        if before != bytes {
            self.outbox.borrow().tally().change(before, bytes);
        }
    }

    /// Whether it holds more than `share` bytes, of what it sends and what waits for it.
    pub(crate) fn holds_more_than(&self, share: usize) -> bool {
        self.held() + self.outbox.borrow().held() > share
    }

    /// Bytes of memory that would be free without it.
    pub(crate) fn weight(&self) -> usize {
        self.held() + self.outbox.borrow().weight()
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
}
