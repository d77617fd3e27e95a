//! Publications that wait for the bus, or for its answer.
//!
//! At most 4 MiB and 5 s of them wait, and 64 KiB of what processes tell each other. While the bus takes them, at most 1 MiB of them
//! is under way without an answer. Those whose lane is shut are held, and let others pass.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::bus::{
    books::{Books, Fate},
    channels::Channel,
    lanes::Lanes,
};

/// Bytes that may wait.
const MOST: usize = 4 * 1024 * 1024;
/// Bytes beside them for what processes tell each other. One that publishes too much would be forgotten by the others otherwise.
const RESERVED: usize = 64 * 1024;
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
    /// Its place among all that were added.
    number: Ticket,
    /// Its place among all that were taken, once it was.
    pub(crate) ticket: Ticket,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
    since: Instant,
    /// Whether it is in the books.
    is_counted: bool,
}

/// What is known of the answer to a publication that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It may still come.
    Awaited,
    /// It took too long, and the publication is counted. The connection still holds the bytes.
    Late,
    /// It came.
    Came,
}

/// One that was written.
#[derive(Debug)]
struct UnderWay {
    number: Ticket,
    ticket: Ticket,
    size: usize,
    since: Instant,
    is_counted: bool,
    answer: Answer,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Queue {
    books: Arc<Books>,
    /// What the names of channels begin with.
    prefix: String,
    next: Ticket,
    /// In the order of their numbers.
    waiting: VecDeque<Waiting>,
    /// The same, whose lanes are shut.
    held: VecDeque<Waiting>,
    /// The bytes of both.
    waiting_bytes: usize,
    /// The lanes whose publications are held.
    shut: Lanes,
    /// The last ticket.
    taken: Ticket,
    /// In the order of their tickets.
    under_way: VecDeque<UnderWay>,
    /// What the connection holds, also of those whose answer is late.
    under_way_bytes: usize,
    /// How many of them await their answer.
    awaited: usize,
    /// All up to this one are not awaited any more.
    given_up: Ticket,
}

impl Queue {
    pub(crate) fn new(books: Arc<Books>, prefix: String) -> Self {
        Self {
            books,
            prefix,
            next: 0,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            waiting_bytes: 0,
            shut: Lanes::default(),
            taken: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            awaited: 0,
            given_up: 0,
        }
    }

    /// Adds a publication that was counted. False if there is no room, and it is dropped.
    pub(crate) fn push(&mut self, channel: Channel, bytes: Vec<u8>, now: Instant) -> bool {
        let is_added = self.add(channel, bytes, now, true);
        if !is_added {
            self.end(Fate::Dropped, true);
        }
        is_added
    }

    /// Adds what processes tell each other, which is in no counter. False if there is no room.
    pub(crate) fn push_uncounted(
        &mut self,
        channel: Channel,
        bytes: Vec<u8>,
        now: Instant,
    ) -> bool {
        self.add(channel, bytes, now, false)
    }

    fn add(&mut self, channel: Channel, bytes: Vec<u8>, now: Instant, is_counted: bool) -> bool {
        let size = bytes.len() + OVERHEAD;
        let most = if is_counted { MOST } else { MOST + RESERVED };
        if self.waiting_bytes + size > most {
            return false;
        }
        self.waiting_bytes += size;
        self.next += 1;
        self.waiting.push_back(Waiting {
            number: self.next,
            ticket: 0,
            channel,
            bytes,
            since: now,
            is_counted,
        });
        true
    }

    /// Whether so little waits that long answers to other processes may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes < MOST / 4
    }

    fn end(&self, fate: Fate, is_counted: bool) {
        if is_counted {
            self.books.end(fate, 1);
        }
    }

    /// The next one to write, if another one may be under way. Whoever takes it writes it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Waiting> {
        if !self.shut.is_empty() {
            self.pass_by();
        }
        let size = self.waiting.front()?.bytes.len() + OVERHEAD;
        if !self.under_way.is_empty() && self.under_way_bytes + size > MOST_UNDER_WAY {
            return None;
        }
        let mut taken = self.waiting.pop_front()?;
        self.taken += 1;
        taken.ticket = self.taken;
        self.waiting_bytes -= size;
        self.under_way_bytes += size;
        self.awaited += 1;
        self.under_way.push_back(UnderWay {
            number: taken.number,
            ticket: taken.ticket,
            size,
            since: now,
            is_counted: taken.is_counted,
            answer: Answer::Awaited,
        });
        Some(taken)
    }

    /// Holds the first ones, if their lanes are shut.
    fn pass_by(&mut self) {
        let is_shut = |it: &Waiting| self.shut.carry(it.channel, &self.prefix);
        while self.waiting.front().is_some_and(is_shut) {
            if let Some(passed) = self.waiting.pop_front() {
                insert(&mut self.held, passed);
            }
        }
    }

    /// Publications in these lanes are held from now on.
    pub(crate) fn hold(&mut self, lanes: &Lanes) {
        self.shut.add(lanes);
    }

    /// They are not held any more.
    pub(crate) fn open(&mut self, lanes: &Lanes) {
        self.shut.remove(lanes);
        if self.held.is_empty() {
            return;
        }
        // Those that are still to be held are passed by again.
        let mut all = std::mem::take(&mut self.held);
        all.append(&mut self.waiting);
        all.make_contiguous().sort_by_key(|it| it.number);
        self.waiting = all;
    }

    /// One that was taken was not written, and waits again.
    pub(crate) fn put_back(&mut self, waiting: Waiting) {
        // If it is not there any more, or late, it was counted.
        let place = (self.under_way).binary_search_by_key(&waiting.ticket, |it| it.ticket);
        let Some(one) = place.ok().and_then(|it| self.under_way.get_mut(it)) else {
            return;
        };
        let answer = std::mem::replace(&mut one.answer, Answer::Came);
        if answer == Answer::Awaited {
            self.awaited -= 1;
            self.waiting_bytes += waiting.bytes.len() + OVERHEAD;
            insert(&mut self.waiting, waiting);
        }
        self.shift();
    }

    /// The bus has answered; whether that was about a publication of the application.
    pub(crate) fn answered(&mut self, ticket: Ticket, fate: Fate) -> bool {
        let place = self.under_way.binary_search_by_key(&ticket, |it| it.ticket);
        let Some(one) = place.ok().and_then(|it| self.under_way.get_mut(it)) else {
            return false;
        };
        let is_counted = one.is_counted;
        if std::mem::replace(&mut one.answer, Answer::Came) == Answer::Awaited {
            self.awaited -= 1;
            self.end(fate, is_counted);
        }
        self.shift();
        is_counted
    }

    /// Forgets the oldest ones that have their answers.
    fn shift(&mut self) {
        while (self.under_way.front()).is_some_and(|it| it.answer == Answer::Came) {
            if let Some(done) = self.under_way.pop_front() {
                self.under_way_bytes -= done.size;
            }
        }
    }

    /// The connection is gone, and with it the answers.
    pub(crate) fn lost(&mut self) {
        for one in std::mem::take(&mut self.under_way) {
            if one.answer == Answer::Awaited {
                self.end(Fate::Unconfirmed, one.is_counted);
            }
        }
        (self.under_way_bytes, self.awaited) = (0, 0);
        let all = std::mem::take(&mut self.shut);
        self.open(&all);
    }

    /// Gives up those that took too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let is_late = |since: Instant| now.duration_since(since) >= PATIENCE;
        for queue in [&mut self.waiting, &mut self.held] {
            while queue.front().is_some_and(|it| is_late(it.since)) {
                drop_first(queue, &mut self.waiting_bytes, &self.books);
            }
        }
        let from = self.first_not_given_up();
        for one in self.under_way.range_mut(from..) {
            if !is_late(one.since) {
                break;
            }
            self.given_up = one.ticket;
            if one.answer == Answer::Awaited {
                one.answer = Answer::Late;
                self.awaited -= 1;
                if !one.is_counted {
                    continue;
                }
                self.books.end(Fate::Unconfirmed, 1);
            }
        }
        if self.waiting.is_empty() && self.held.is_empty() && self.under_way.is_empty() {
            self.waiting = VecDeque::new();
            self.held = VecDeque::new();
            self.under_way = VecDeque::new();
        }
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let waiting = [&self.waiting, &self.held].into_iter();
        let waiting = waiting.filter_map(|it| it.front()).map(|it| it.since);
        let under_way = self.under_way.get(self.first_not_given_up());
        let oldest = waiting.chain(under_way.map(|it| it.since));
        oldest.min().map(|since| since + PATIENCE)
    }

    fn first_not_given_up(&self) -> usize {
        let given_up = self.given_up;
        (self.under_way).partition_point(|it| it.ticket <= given_up)
    }

    /// Gives up all that waits.
    pub(crate) fn drop_all(&mut self) {
        for queue in [&mut self.waiting, &mut self.held] {
            while !queue.is_empty() {
                drop_first(queue, &mut self.waiting_bytes, &self.books);
            }
        }
        self.lost();
    }

    /// The number of the last one that was added.
    pub(crate) fn last(&self) -> Ticket {
        self.next
    }

    /// Whether all up to a number have their answers, or will never have one.
    pub(crate) fn is_settled(&self, last: Ticket) -> bool {
        let mut waiting = [&self.waiting, &self.held].into_iter();
        if waiting.any(|it| it.front().is_some_and(|it| it.number <= last)) {
            return false;
        }
        // One that was put back was taken after others that were added later.
        let mut under_way = self.under_way.range(self.first_not_given_up()..);
        !under_way.any(|it| it.answer == Answer::Awaited && it.number <= last)
    }

    /// Whether nothing waits, and nothing awaits its answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty() && self.awaited == 0
    }
}

/// Puts a publication into its place.
fn insert(queue: &mut VecDeque<Waiting>, waiting: Waiting) {
    let place = queue.partition_point(|it| it.number < waiting.number);
    queue.insert(place, waiting);
}

fn drop_first(queue: &mut VecDeque<Waiting>, bytes: &mut usize, books: &Books) {
    if let Some(first) = queue.pop_front() {
        *bytes -= first.bytes.len() + OVERHEAD;
        if first.is_counted {
            books.end(Fate::Dropped, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bus::lanes::slot_of;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize, bool),
        Take,
        Answer(u64, Fate),
        Lost,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let fate = prop_oneof![Just(Fate::Confirmed), Just(Fate::Dropped)];
        prop_oneof![
            4 => (0..600_000_usize, any::<bool>()).prop_map(|(size, counted)| Step::Push(size, counted)),
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
            let mut queue = Queue::new(books.clone(), "chat".into());
            let mut now = Instant::now();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Push(size, true) => {
                        books.publish();
                        queue.push(Channel::Everybody, vec![0; size], now);
                    }
                    Step::Push(size, false) => {
                        queue.push_uncounted(Channel::Everybody, vec![0; size], now);
                    }
                    Step::Take => {
                        if let Some(taken) = queue.take(now) {
                            prop_assert!(taken.ticket > last, "in order");
                            last = taken.ticket;
                        }
                    }
                    Step::Answer(ticket, fate) => {
                        queue.answered(ticket, fate);
                    }
                    Step::Lost => queue.lost(),
                    Step::Wait(milliseconds) => {
                        now += Duration::from_millis(milliseconds);
                        queue.expire(now);
                    }
                }
                let awaits = |it: &&UnderWay| it.answer == Answer::Awaited;
                let open = queue.under_way.iter().filter(awaits).count();
                prop_assert_eq!(queue.awaited, open);
                prop_assert!(open == 0 || queue.due().is_some());
                prop_assert!(queue.due().is_none_or(|due| due > now));
                let open = queue.under_way.iter().filter(awaits).filter(|it| it.is_counted);
                let waiting = queue.waiting.iter().filter(|it| it.is_counted);
                let counted = books.snapshot();
                prop_assert_eq!(counted.queued, (waiting.count() + open.count()) as u64);
                let sizes = queue.waiting.iter().map(|it| it.bytes.len() + OVERHEAD);
                prop_assert_eq!(queue.waiting_bytes, sizes.sum::<usize>());
                prop_assert!(queue.waiting_bytes <= MOST + RESERVED);
                let sizes = queue.under_way.iter().map(|it| it.size);
                prop_assert_eq!(queue.under_way_bytes, sizes.sum::<usize>());
                prop_assert!(queue.under_way.len() < 2 || queue.under_way_bytes <= MOST_UNDER_WAY);
            }
            queue.drop_all();
            prop_assert_eq!(books.snapshot().queued, 0);
        }
    }

    #[test]
    fn processes_still_hear_of_each_other_while_publications_fill_the_queue() {
        let (books, now) = (Arc::new(Books::default()), Instant::now());
        let mut queue = Queue::new(books, "chat".into());
        let all = Channel::Everybody;
        while queue.push(all, vec![0; 100], now) {}
        assert!(queue.waiting_bytes <= MOST);
        let mut added = 0;
        while queue.push_uncounted(all, vec![0; 100], now) {
            added += 1;
        }
        assert!(added > 100 && queue.waiting_bytes <= MOST + RESERVED);
        assert!(!queue.push(all, vec![0; 100], now));
    }

    #[test]
    fn what_waits_too_long_is_dropped_and_what_was_written_is_unconfirmed() {
        let books = Arc::new(Books::default());
        let mut queue = Queue::new(books.clone(), "chat".into());
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
        assert!(queue.is_empty() && queue.due().is_none());
        // The connection still holds it.
        assert!(queue.under_way_bytes > 0);
        // A late answer changes no counter.
        queue.answered(first.ticket, Fate::Confirmed);
        assert_eq!(books.snapshot(), counted);
        assert_eq!(queue.under_way_bytes, 0);
    }

    #[test]
    fn a_connection_that_answers_nothing_gets_no_more_than_it_may_hold() {
        let books = Arc::new(Books::default());
        let mut queue = Queue::new(books.clone(), "chat".into());
        let mut now = Instant::now();
        let mut taken: u64 = 0;
        for _ in 0..40 {
            books.publish();
            queue.push(Channel::Everybody, vec![0; 100_000], now);
            while queue.take(now).is_some() {
                taken += 1;
            }
            now += PATIENCE / 4;
            queue.expire(now);
        }
        assert!(
            taken * 100_000 <= MOST_UNDER_WAY as u64,
            "{taken} were written"
        );
        let counted = books.snapshot();
        assert_eq!(counted.unconfirmed, taken);
        assert!(counted.queued <= 4);
    }

    /// A queue with publications `a1 b1 a2 b2 …`, and the lane of the first of both channels.
    fn two_lanes(count: u8) -> (Queue, Arc<Books>, Lanes) {
        let books = Arc::new(Books::default());
        let mut queue = Queue::new(books.clone(), "chat".into());
        for number in 1..=count {
            for name in [b"a", b"b"] {
                books.publish();
                let bytes = [name[0], number].to_vec();
                queue.push(Channel::of_room(name), bytes, Instant::now());
            }
        }
        let name = Channel::of_room(b"a").name("chat", ':');
        (queue, books, Lanes::one(slot_of(&name)))
    }

    /// All that may be written now.
    fn taken(queue: &mut Queue) -> Vec<Waiting> {
        std::iter::from_fn(|| queue.take(Instant::now())).collect()
    }

    fn texts(all: &[Waiting]) -> Vec<String> {
        let text = |it: &Waiting| format!("{}{}", char::from(it.bytes[0]), it.bytes[1]);
        all.iter().map(text).collect()
    }

    #[test]
    fn a_lane_that_is_shut_lets_others_pass_and_keeps_its_order() {
        let (mut queue, books, lane) = two_lanes(2);
        queue.hold(&lane);
        assert_eq!(texts(&taken(&mut queue)), ["b1", "b2"]);
        assert_eq!(books.snapshot().queued, 4);
        assert!(queue.due().is_some() && !queue.is_settled(1));
        queue.open(&lane);
        assert_eq!(texts(&taken(&mut queue)), ["a1", "a2"]);
        assert_eq!(queue.waiting_bytes, 0);
    }

    #[test]
    fn what_was_not_written_waits_again_in_its_place() {
        let (mut queue, books, lane) = two_lanes(2);
        let all = taken(&mut queue);
        assert_eq!(texts(&all), ["a1", "b1", "a2", "b2"]);
        queue.push(Channel::of_room(b"a"), vec![b'a', 3], Instant::now());
        books.publish();
        queue.hold(&lane);
        // In any order, and not those that were written.
        for waiting in all.into_iter().rev() {
            match waiting.bytes[0] {
                b'a' => queue.put_back(waiting),
                _ => assert!(queue.answered(waiting.ticket, Fate::Confirmed)),
            }
        }
        assert!(taken(&mut queue).is_empty());
        assert!(!queue.is_settled(1));
        assert_eq!(books.snapshot().confirmed, 2);
        queue.open(&lane);
        let again = taken(&mut queue);
        assert_eq!(texts(&again), ["a1", "a2", "a3"]);
        assert!(!queue.is_settled(1));
        queue.answered(again[0].ticket, Fate::Confirmed);
        assert!(queue.is_settled(2) && !queue.is_settled(3));
        for waiting in &again[1..] {
            queue.answered(waiting.ticket, Fate::Confirmed);
        }
        assert!(queue.is_settled(5) && queue.is_empty());
        assert_eq!((queue.under_way_bytes, queue.waiting_bytes), (0, 0));
    }

    #[test]
    fn what_is_held_gets_too_old_and_goes_on_after_a_lost_connection() {
        let (mut queue, books, lane) = two_lanes(1);
        queue.hold(&lane);
        assert_eq!(texts(&taken(&mut queue)), ["b1"]);
        queue.lost();
        assert_eq!(texts(&taken(&mut queue)), ["a1"]);
        let (mut queue, held, lane) = two_lanes(1);
        queue.hold(&lane);
        taken(&mut queue);
        queue.expire(Instant::now() + PATIENCE);
        let counted = (held.snapshot().dropped, held.snapshot().unconfirmed);
        assert_eq!(counted, (1, 1));
        assert!(queue.is_empty() && queue.due().is_none() && queue.waiting_bytes == 0);
        // One whose connection was lost was counted, and does not come back.
        let lost = Waiting {
            number: 1,
            ticket: 1,
            channel: Channel::Everybody,
            bytes: Vec::new(),
            since: Instant::now(),
            is_counted: true,
        };
        queue.put_back(lost);
        assert!(queue.is_empty());
        assert_eq!(books.snapshot().unconfirmed, 1);
    }
}
