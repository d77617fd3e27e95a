//! Publications that wait for the bus, or for its answer.
//!
//! At most 4 MiB and 5 s of them wait. While the bus takes them, at most 1 MiB of them is under way without an answer.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::bus::{
    books::{Books, Fate},
    channels::Channel,
};

/// Bytes that may wait.
const MOST: usize = 4 * 1024 * 1024;
/// How long one may wait, and after it was written for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that may be under way.
const MOST_UNDER_WAY: usize = 1024 * 1024;
/// What one costs beside its bytes.
const OVERHEAD: usize = 128;

/// The number of a publication on its way.
pub(crate) type Ticket = u64;

/// One publication for one channel.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
    since: Instant,
}

/// One that was written.
#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    size: usize,
    since: Instant,
    is_done: bool,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Queue {
    books: Arc<Books>,
    next: Ticket,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// In the order of their tickets.
    under_way: VecDeque<UnderWay>,
    under_way_bytes: usize,
}

impl Queue {
    pub(crate) fn new(books: Arc<Books>) -> Self {
        Self {
            books,
            next: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
        }
    }

    /// Adds a publication that was counted; drops it if there is no room.
    pub(crate) fn push(&mut self, channel: Channel, bytes: Vec<u8>, now: Instant) {
        let size = bytes.len() + OVERHEAD;
        if self.waiting_bytes + size > MOST {
            self.books.end(Fate::Dropped, 1);
            return;
        }
        self.waiting_bytes += size;
        self.next += 1;
        self.waiting.push_back(Waiting {
            ticket: self.next,
            channel,
            bytes,
            since: now,
        });
    }

    /// The next one to write, if another one may be under way. Whoever takes it writes it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Waiting> {
        let size = self.waiting.front()?.bytes.len() + OVERHEAD;
        if !self.under_way.is_empty() && self.under_way_bytes + size > MOST_UNDER_WAY {
            return None;
        }
        let taken = self.waiting.pop_front()?;
        self.waiting_bytes -= size;
        self.under_way_bytes += size;
        self.under_way.push_back(UnderWay {
            ticket: taken.ticket,
            size,
            since: now,
            is_done: false,
        });
        Some(taken)
    }

    /// The bus has answered.
    pub(crate) fn answered(&mut self, ticket: Ticket, fate: Fate) {
        let place = self.under_way.binary_search_by_key(&ticket, |it| it.ticket);
        let Some(one) = place.ok().and_then(|it| self.under_way.get_mut(it)) else {
            // It took too long, and was counted.
            return;
        };
        if std::mem::replace(&mut one.is_done, true) {
            return;
        }
        self.books.end(fate, 1);
        self.shift();
    }

    /// The connection is gone, and with it the answers.
    pub(crate) fn lost(&mut self) {
        for one in std::mem::take(&mut self.under_way) {
            if !one.is_done {
                self.books.end(Fate::Unconfirmed, 1);
            }
        }
        self.under_way_bytes = 0;
    }

    /// Gives up those that took too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let is_late = |since: Instant| now.duration_since(since) >= PATIENCE;
        while self.waiting.front().is_some_and(|it| is_late(it.since)) {
            self.drop_first();
        }
        for one in &mut self.under_way {
            if !is_late(one.since) {
                break;
            }
            if !std::mem::replace(&mut one.is_done, true) {
                self.books.end(Fate::Unconfirmed, 1);
            }
        }
        self.shift();
        if self.is_empty() {
            self.waiting = VecDeque::new();
            self.under_way = VecDeque::new();
        }
    }

    /// Gives up all that waits.
    pub(crate) fn drop_all(&mut self) {
        while !self.waiting.is_empty() {
            self.drop_first();
        }
        self.lost();
    }

    /// The number of the last one that was added.
    pub(crate) fn last(&self) -> Ticket {
        self.next
    }

    /// Whether all up to a number have their answers, or will never have one.
    pub(crate) fn is_settled(&self, last: Ticket) -> bool {
        let under_way = self.under_way.front().map(|it| it.ticket);
        let oldest = under_way.or(self.waiting.front().map(|it| it.ticket));
        oldest.is_none_or(|oldest| oldest > last)
    }

    /// Whether nothing waits and nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.waiting_bytes -= first.bytes.len() + OVERHEAD;
            self.books.end(Fate::Dropped, 1);
        }
    }

    /// Forgets the oldest ones that are done.
    fn shift(&mut self) {
        while self.under_way.front().is_some_and(|it| it.is_done) {
            if let Some(done) = self.under_way.pop_front() {
                self.under_way_bytes -= done.size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Take,
        Answer(u64, Fate),
        Lost,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let fate = prop_oneof![Just(Fate::Confirmed), Just(Fate::Dropped)];
        prop_oneof![
            4 => (0..600_000_usize).prop_map(Step::Push),
            4 => Just(Step::Take),
            3 => (0..40_u64, fate).prop_map(|(ticket, fate)| Step::Answer(ticket, fate)),
            1 => Just(Step::Lost),
            1 => (0..4_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn every_publication_has_one_end_or_waits_and_memory_is_bounded(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let books = Arc::new(Books::default());
            let mut queue = Queue::new(books.clone());
            let mut now = Instant::now();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Push(size) => {
                        books.publish();
                        queue.push(Channel::Everybody, vec![0; size], now);
                    }
                    Step::Take => {
                        if let Some(taken) = queue.take(now) {
                            prop_assert!(taken.ticket > last, "in order");
                            last = taken.ticket;
                        }
                    }
                    Step::Answer(ticket, fate) => queue.answered(ticket, fate),
                    Step::Lost => queue.lost(),
                    Step::Wait(milliseconds) => {
                        now += Duration::from_millis(milliseconds);
                        queue.expire(now);
                    }
                }
                let open = queue.under_way.iter().filter(|it| !it.is_done).count();
                let counted = books.snapshot();
                prop_assert_eq!(counted.queued, (queue.waiting.len() + open) as u64);
                let sizes = queue.waiting.iter().map(|it| it.bytes.len() + OVERHEAD);
                prop_assert_eq!(queue.waiting_bytes, sizes.sum::<usize>());
                prop_assert!(queue.waiting_bytes <= MOST);
                let sizes = queue.under_way.iter().map(|it| it.size);
                prop_assert_eq!(queue.under_way_bytes, sizes.sum::<usize>());
                prop_assert!(queue.under_way.len() < 2 || queue.under_way_bytes <= MOST_UNDER_WAY);
            }
            queue.drop_all();
            prop_assert_eq!(books.snapshot().queued, 0);
        }
    }

    #[test]
    fn what_waits_too_long_is_dropped_and_what_was_written_is_unconfirmed() {
        let books = Arc::new(Books::default());
        let mut queue = Queue::new(books.clone());
        let now = Instant::now();
        for _ in 0..2 {
            books.publish();
            queue.push(Channel::Everybody, vec![1], now);
        }
        let first = queue.take(now).unwrap();
        queue.expire(now + PATIENCE.saturating_sub(Duration::from_millis(1)));
        assert_eq!(books.snapshot().queued, 2);
        queue.expire(now + PATIENCE);
        let counted = books.snapshot();
        assert_eq!((counted.dropped, counted.unconfirmed), (1, 1));
        // A late answer changes nothing.
        queue.answered(first.ticket, Fate::Confirmed);
        assert_eq!(books.snapshot(), counted);
        assert!(queue.is_empty());
    }
}
