//! The way out of a connection: what is queued, handed to the socket, and how the socket ends.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::{
    connection::outbox::{Frames, Outbox, SLICES, latest},
    frame::outgoing,
    limits::buffered::Tally,
    message::own::{PONG, PONG_LENGTH},
    metrics::Metrics,
    transport::stream::Writer,
};

/// What a flush left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Empty,
    Blocked,
    Broken,
}

/// In [`Output::own_pong`]: it waits until the outbox is empty.
const DUE: u8 = u8::MAX;

/// The socket of a connection as it is written to, and what waits for it.
pub(crate) struct Output {
    /// Gone once the connection's task is over: the number may outlive the socket.
    writer: RefCell<Option<Writer>>,
    outbox: RefCell<Outbox>,
    /// The newest pong that found the socket full: RFC 6455 5.5.3 lets it stand for older ones.
    pong: RefCell<Option<Box<[u8]>>>,
    /// How many bytes of a `$pong` wait at the start of the outbox, or [`DUE`]. It is a text frame, and no message that is
    /// counted, so it enters an empty outbox alone.
    own_pong: Cell<u8>,
    /// The connection's task, which waits for a full socket, and for orders.
    waker: RefCell<Option<Waker>>,
    /// The last write found the socket full; the task waits for it.
    blocked: Cell<bool>,
    /// Listed for the flush at the end of the batch.
    dirty: Cell<bool>,
    /// What the writer takes may wait in it. Known here, so that other connections do not look at their sockets for each message.
    seals: bool,
    /// Number of the last fan-out that reached it or left it out, so that several rooms reach it once.
    mark: Cell<u32>,
}

impl Output {
    pub(crate) fn new(writer: Writer, tally: Rc<Tally>) -> Self {
        Self {
            seals: writer.seals(),
            writer: RefCell::new(Some(writer)),
            outbox: RefCell::new(Outbox::new(tally)),
            pong: RefCell::default(),
            own_pong: Cell::new(0),
            waker: RefCell::default(),
            blocked: Cell::new(false),
            dirty: Cell::new(false),
            mark: Cell::new(0),
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

    /// Whether the socket takes nothing for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Whether nothing waits, a pong aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox.borrow().is_empty() && self.sealed() == 0
    }

    /// Bytes of memory that are held for what waits.
    pub(crate) fn held(&self) -> usize {
        self.outbox.borrow().held() + self.sealed()
    }

    /// The part of that which has left the outbox.
    fn sealed(&self) -> usize {
        if self.seals {
            self.writer.borrow().as_ref().map_or(0, Writer::sealed)
        } else {
            0
        }
    }

    /// Bytes of memory that would be free without it.
    pub(crate) fn weight(&self) -> usize {
        self.outbox.borrow().weight() + self.sealed()
    }

    /// What is held beside the outbox has become another number of bytes.
    pub(crate) fn tally(&self, before: usize, now: usize) {
        self.outbox.borrow().tally().change(before, now);
    }

    /// Queues a message of this connection's own while no more than `room` bytes are held; whether it did. `limit` is that of
    /// the connection.
    pub(crate) fn push_message(
        &self,
        room: usize,
        limit: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> bool {
        let has_room = self.held() <= room;
        if has_room {
            self.outbox.borrow_mut().push_message(limit, write);
        }
        has_room
    }

    /// Queues bytes that are no message. While the socket is full only the newest pong is kept, so
    /// that a flood of pings leaves one pong and not a long queue; a close frame ends its wait, as
    /// nothing may follow one.
    pub(crate) fn push_control(&self, bytes: &[u8]) {
        if self.blocked.get() && outgoing::is_pong(bytes) {
            *self.pong.borrow_mut() = Some(bytes.into());
            return;
        }
        if outgoing::is_close(bytes) {
            self.pong.take();
            if self.own_pong.get() == DUE {
                self.own_pong.set(0);
            }
        }
        self.outbox.borrow_mut().push_control(bytes);
    }

    /// Queues the answer to the upgrade request, and frames that no message is counted for.
    pub(crate) fn push_answer(&self, answer: Vec<u8>) {
        self.outbox.borrow_mut().push_answer(answer);
    }

    /// Queues a `$pong`, unless one waits already.
    pub(crate) fn pong(&self) {
        if self.own_pong.get() == 0 {
            self.own_pong.set(DUE);
            let mut outbox = self.outbox.borrow_mut();
            if outbox.is_empty() {
                self.push_own_pong(&mut outbox);
            }
        }
    }

    /// Queues the `$pong` that is due, in an empty outbox; whether one is.
    fn push_own_pong(&self, outbox: &mut Outbox) -> bool {
        let is_due = self.own_pong.get() == DUE;
        self.own_pong.set(0);
        if is_due {
            outbox.push_uncounted(PONG);
            self.own_pong.set(PONG_LENGTH);
        }
        is_due
    }

    /// The system took so many bytes more.
    fn pass_own_pong(&self, written: usize) {
        let left = self.own_pong.get();
        if left != 0 && left != DUE {
            let written = u8::try_from(written).unwrap_or(u8::MAX);
            self.own_pong.set(left.saturating_sub(written));
        }
    }

    /// Queues shared messages from number `from` on while no more than `limit` bytes are held; returns how many it took.
    pub(crate) fn push_shared(&self, frames: &Rc<Frames>, from: usize, limit: usize) -> usize {
        let copies = self.blocked.get();
        let Some(limit) = limit.checked_sub(self.sealed()) else {
            return 0;
        };
        let mut outbox = self.outbox.borrow_mut();
        outbox.push_shared(frames, from, limit, copies)
    }

    /// Whether no more than `limit` bytes are held for it. Writes and makes the outbox small first, where that may help.
    pub(crate) fn has_room(&self, limit: usize, metrics: &Metrics) -> bool {
        if self.held() <= limit {
            return true;
        }
        // It may only look slow because this batch is large.
        if self.flush(metrics) == Flush::Broken {
            return false;
        }
        if self.held() > limit {
            let mut outbox = self.outbox.borrow_mut();
            metrics.dropped.add(latest::compact(&mut outbox) as u64);
        }
        self.held() <= limit
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
        if !self.blocked.get() && self.held() > limit {
            // What one batch queues is bounded too, and only a write tells what the socket takes.
            let is_broken = self.flush(metrics) == Flush::Broken;
            if is_broken {
                metrics.dropped.add(1);
                return;
            }
        }
        let mut outbox = self.outbox.borrow_mut();
        if self.blocked.get() {
            metrics
                .dropped
                .add(latest::drop_latest(&mut outbox, route) as u64);
        }
        outbox.push_latest(frame, route);
    }

    /// Hands what waits to the system, as much as it takes. Once the socket is full, what is superseded is dropped.
    pub(crate) fn flush(&self, metrics: &Metrics) -> Flush {
        let writer = self.writer.borrow();
        let Some(writer) = &*writer else {
            return Flush::Broken;
        };
        let flushed = self.flush_to(writer, metrics);
        if self.seals {
            let (before, now) = writer.sealed_change();
            self.tally(before, now);
        }
        flushed
    }

    fn flush_to(&self, writer: &Writer, metrics: &Metrics) -> Flush {
        let mut outbox = self.outbox.borrow_mut();
        loop {
            if outbox.is_empty() && !self.push_own_pong(&mut outbox) {
                match self.pong.take() {
                    Some(pong) => outbox.push_control(&pong),
                    None if !self.seals => break,
                    None => match writer.try_flush() {
                        Ok(()) => break,
                        Err(error) => return self.not_written(&error, &mut outbox, metrics),
                    },
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
                    self.pass_own_pong(written);
                    let taken = outbox.advance(written);
                    let written = if self.seals {
                        writer.settle(taken)
                    } else {
                        taken
                    };
                    metrics.written.add(written as u64);
                }
                Err(error) => return self.not_written(&error, &mut outbox, metrics),
            }
        }
        if self.seals {
            metrics.written.add(writer.settle(0) as u64);
        }
        self.blocked.set(false);
        Flush::Empty
    }

    fn not_written(&self, error: &io::Error, outbox: &mut Outbox, metrics: &Metrics) -> Flush {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Flush::Broken;
        }
        if !self.blocked.replace(true) {
            metrics.dropped.add(latest::coalesce(outbox) as u64);
            self.wake();
        }
        Flush::Blocked
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
            Some(writer) => writer.poll_write_ready(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Closes the socket for good; what still waits is counted as dropped.
    pub(crate) fn abandon(&self, metrics: &Metrics) {
        self.drop_queued(metrics);
        if let Some(writer) = self.let_go() {
            writer.shut_down();
        }
    }

    /// Gives up what waits, and counts it as dropped.
    pub(crate) fn drop_queued(&self, metrics: &Metrics) {
        let mut dropped = self.outbox.borrow_mut().clear();
        if let Some(writer) = &*self.writer.borrow() {
            metrics.written.add(writer.settle(0) as u64);
            dropped += writer.give_up();
        }
        metrics.dropped.add(dropped as u64);
    }

    /// Lets go of a socket that the peer has reset, without the calls that end a live one.
    pub(crate) fn forget(&self) {
        self.let_go();
    }

    fn let_go(&self) -> Option<Writer> {
        let writer = self.writer.take()?;
        let (told, _) = writer.sealed_change();
        self.tally(told, 0);
        Some(writer)
    }

    /// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
    pub(crate) fn cut(&self) {
        if let Some(writer) = &*self.writer.borrow() {
            writer.end_with_reset();
        }
    }

    pub(crate) fn shut_down(&self) {
        if let Some(writer) = &*self.writer.borrow() {
            writer.shut_down();
        }
    }
}
