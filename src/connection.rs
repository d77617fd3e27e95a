//! One connection as its shard sees it: its state, and the orders for its task.

pub(crate) mod calls;
pub(crate) mod heartbeat;
pub(crate) mod outbox;
pub(crate) mod output;
pub(crate) mod read_gate;

use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
    task::Context,
};

use crate::{
    border::{
        ending::Ending,
        handle::{ClientId, Handle},
        owner::OwnerNumber,
    },
    frame::{deflate::Window, outgoing::EMPTY_PING},
    handshake::refusal::Refusal,
    limits::{buffered::Tally, rate::Rate},
    metrics::Metrics,
    transport::stream::Writer,
};

use self::{calls::OpenCalls, heartbeat::Heartbeat, output::Output, read_gate::ReadGate};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The upgrade request is complete, and the owner has not decided yet.
    Pending,
    Open,
    /// Our close frame is queued: nothing may be sent after it.
    Closing,
    /// The connection is over for the owner.
    Ended,
}

/// An order of the shard to a connection's task.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer the pending upgrade so.
    Refuse(Box<Refusal>),
    /// Start the closing handshake as the connection's [`ending`](Connection::close) says.
    Close,
    /// Cut it off.
    Terminate,
}

/// The part that the task and the shard share.
pub(crate) struct Connection {
    name: Name,
    pub(crate) output: Output,
    pub(crate) read_gate: ReadGate,
    pub(crate) heartbeat: Heartbeat,
    state: Cell<State>,
    order: RefCell<Option<Order>>,
    /// The owner knows of its upgrade, so it has to hear of its end.
    known: Cell<bool>,
    /// Bytes of memory for what the client sends: an incomplete message, and bytes that are not to be read yet.
    held: Cell<usize>,
    /// Its open calls.
    calls: RefCell<OpenCalls>,
    /// When its bucket of messages is full again; see [`Rate`].
    bucket: Cell<u64>,
    /// The 101 and the frame that goes with it, until they are sent.
    welcome: RefCell<Box<[u8]>>,
    /// How it ends, once one of the sides has said so with a close frame.
    ending: Cell<Option<Box<Ending>>>,
    /// What its messages are compressed with, if they are.
    window: Option<Window>,
    /// Its client offered `zocket.1`.
    speaks_zocket: bool,
    /// Whose it is.
    owner: Cell<OwnerNumber>,
}

/// What a connection is called by the owner and by users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) handle: Handle,
    pub(crate) id: ClientId,
}

impl Connection {
    pub(crate) fn new(
        name: Name,
        owner: OwnerNumber,
        writer: Writer,
        welcome: Vec<u8>,
        window: Option<Window>,
        speaks_zocket: bool,
        tally: Rc<Tally>,
    ) -> Rc<Self> {
        Rc::new(Self {
            name,
            output: Output::new(writer, tally),
            read_gate: ReadGate::default(),
            heartbeat: Heartbeat::default(),
            state: Cell::new(State::Pending),
            order: RefCell::default(),
            known: Cell::new(false),
            held: Cell::new(0),
            calls: RefCell::default(),
            bucket: Cell::new(0),
            welcome: RefCell::new(welcome.into()),
            ending: Cell::default(),
            window,
            speaks_zocket,
            owner: Cell::new(owner),
        })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.name.handle
    }

    pub(crate) fn owner(&self) -> OwnerNumber {
        self.owner.get()
    }

    pub(crate) fn set_owner(&self, owner: OwnerNumber) {
        self.owner.set(owner);
    }

    pub(crate) fn id(&self) -> ClientId {
        self.name.id
    }

    /// What its messages are compressed with, if both sides agreed to compress.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window
    }

    /// Whether its client knows `$welcome`, `$refused`, `$ping` and `$pong`.
    pub(crate) fn speaks_zocket(&self) -> bool {
        self.speaks_zocket
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

    /// Pending to open: queues the 101.
    pub(crate) fn open(&self) {
        self.state.set(State::Open);
        self.output.push_answer(self.take_welcome());
        self.wake();
    }

    /// The 101 and the frame that goes with it, once.
    pub(crate) fn take_welcome(&self) -> Vec<u8> {
        self.welcome.take().into()
    }

    /// Whether the 101 has been queued.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcome.borrow().is_empty()
    }

    /// True if it had not ended before.
    pub(crate) fn end(&self) -> bool {
        self.state.replace(State::Ended) != State::Ended
    }

    /// Open to closing: nothing may be sent any more, and its task has the order to send the close frame. Does nothing if it is
    /// not open.
    pub(crate) fn close(&self, ending: Ending) {
        if self.state.get() == State::Open {
            self.state.set(State::Closing);
            self.set_ending(ending);
            self.order(Order::Close);
        }
    }

    /// Notes how it ends, unless that is known already.
    pub(crate) fn set_ending(&self, ending: Ending) {
        let first = self.ending.take();
        self.ending.set(first.or_else(|| Some(Box::new(ending))));
    }

    /// How it ends, if one of the sides has said so.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let ending = self.ending.take();
        let copy = ending.as_deref().cloned();
        self.ending.set(ending);
        copy
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

    /// Its open calls. Nothing that is done with them looks at them again.
    pub(crate) fn calls(&self) -> RefMut<'_, OpenCalls> {
        self.calls.borrow_mut()
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.read_gate.pause(paused);
        self.wake();
    }

    /// Wakes its task.
    pub(crate) fn wake(&self) {
        self.output.wake();
    }

    /// Makes [`wake`](Self::wake) wake the task that polls.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.output.register(cx);
    }

    /// Queues a ping unless one is unanswered, or our close frame is sent: nothing may follow that.
    pub(crate) fn ping(&self) -> bool {
        let first = self.state() == State::Open && self.heartbeat.ping();
        if first {
            self.output.push_control(&EMPTY_PING);
        }
        first
    }

    /// Answers a `$ping`, if its client may send one and our close frame is not sent: nothing may follow that.
    pub(crate) fn pong(&self) -> bool {
        if self.speaks_zocket && self.state() == State::Open {
            self.output.pong();
        }
        self.speaks_zocket
    }

    /// Takes a message from its bucket. If the bucket is empty, returns after how many nanoseconds it has one.
    pub(crate) fn take_message(&self, rate: Rate, now: u64) -> Result<(), u64> {
        rate.take(self.bucket.get(), now)
            .map(|full| self.bucket.set(full))
    }

    /// Undoes a [`take_message`](Self::take_message).
    pub(crate) fn give_message_back(&self, rate: Rate) {
        self.bucket.set(rate.give_back(self.bucket.get()));
    }

    /// Bytes of memory for what the client sends, at the end of the last read: an incomplete message, and bytes that have arrived
    /// but are not to be read yet. Complete messages count for the inbox. At most `maxPayload` and 64 KiB. 0 once its task is
    /// over.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    pub(crate) fn set_held(&self, bytes: usize) {
        let before = self.held.replace(bytes);
        if before != bytes {
            self.output.tally(before, bytes);
        }
    }

    /// Whether it holds more than `share` bytes, in both directions together.
    pub(crate) fn holds_more_than(&self, share: usize) -> bool {
        self.held() + self.output.held() > share
    }

    /// Bytes of memory that its end would free.
    pub(crate) fn weight(&self) -> usize {
        self.held() + self.output.weight()
    }

    /// Closes the socket for good; what still waits is counted as dropped.
    pub(crate) fn abandon(&self, metrics: &Metrics) {
        self.set_held(0);
        self.output.abandon(metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_stays_small() {
        assert!(
            size_of::<Connection>() <= 336,
            "{}",
            size_of::<Connection>()
        );
    }
}
