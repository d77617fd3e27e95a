//! The inbox of one shard: events that the owner has not taken yet.
//!
//! The shard appends events to a batch that only it sees ([`InboxWriter`]). It publishes the batch when its other ready tasks have
//! had their turn. The owner takes published batches. The lock is held for a push or a pop of a batch, never for a message.
//!
//! The inbox has a bound in bytes. Past `limit` the shard stops reading sockets. TCP then slows the clients down, and nothing is
//! lost. Events that are not messages always fit, because the number of connections bounds their number.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use crate::{
    border::{
        bell::Bell,
        codes::limit::BATCH_EVENTS,
        event::{Event, Head},
        handle::Handle,
        weight::parsed_size,
    },
    message::protocol::Bytes,
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard},
};

/// Bytes of one batch. A single larger message gets a batch for itself. V8 keeps strings up to
/// 128 KiB on ordinary pages, and larger ones on pages that it maps and faults in for each.
const BATCH_BYTES: usize = 112 * 1024;
/// Values from this length on are always weighed: a few of them that come before the owner asks for it can be too much.
const WEIGHED: usize = 64 * 1024;
/// Values that become larger than this many times their length count for more.
const GROWTH: usize = 8;
/// Buffers up to this size are used again.
const REUSED_BYTES: usize = BATCH_BYTES * 2;

/// Bytes of memory that a payload beside the values takes in addition: its head, and what keeps it.
const BESIDE: usize = 128;

/// Events on their way to the owner, taken in one go.
#[derive(Debug, Default)]
pub struct Batch {
    heads: Vec<Head>,
    text: Vec<u8>,
    /// The payloads that are bytes, in the order of their events, and the memory that they take. They are parts of the messages
    /// as these came, so nothing is copied.
    beside: Vec<Bytes>,
    beside_bytes: usize,
    /// Additional bytes, for values that are much larger once they are parsed.
    growth: usize,
    more: bool,
}

impl Batch {
    /// The numbers of the events; see [`event`](crate::border::event).
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The values: one JSON array, as long as there are heads.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.text
    }

    /// The payloads that are bytes, in the order of their events.
    #[must_use]
    pub fn beside(&self) -> &[Bytes] {
        &self.beside
    }

    /// Takes them out.
    #[must_use]
    pub fn take_beside(&mut self) -> Vec<Bytes> {
        self.beside_bytes = 0;
        mem::take(&mut self.beside)
    }

    /// Whether more events waited behind these when they were taken. No bell rings for those: take again.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.more
    }

    /// Appends an event, weighed or not; returns how many bytes its value has, or its payload beside that.
    fn push(&mut self, handle: Handle, event: &Event<'_>, is_weighed: bool) -> u32 {
        self.text
            .push(if self.heads.is_empty() { b'[' } else { b',' });
        let start = self.text.len();
        event.write(&mut self.text);
        let value = &self.text[start..];
        let mut length = value.len();
        if let Some(payload) = event.beside() {
            length = payload.len();
            self.beside.push(payload.clone());
            self.beside_bytes += length + BESIDE;
        }
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        let weight = if is_weighed || value.len() >= WEIGHED {
            parsed_size(value)
        } else {
            0
        };
        self.growth += (weight as usize / GROWTH).saturating_sub(value.len());
        let code = event.code();
        self.heads.push(Head {
            handle,
            code,
            bytes,
            weight,
            number: event.number(),
        });
        bytes
    }

    /// The bytes that count towards the inbox's limit.
    fn bytes(&self) -> usize {
        self.values_and_beside() + size_of_val(&*self.heads) + self.growth
    }

    fn values_and_beside(&self) -> usize {
        self.text.len() + self.beside_bytes
    }

    fn has_room_for(&self, bytes: usize, events: usize) -> bool {
        self.heads.is_empty()
            || (self.values_and_beside() + bytes <= BATCH_BYTES
                && self.heads.len() + events <= BATCH_EVENTS)
    }

    /// Appends what another one holds, and empties it.
    fn append(&mut self, other: &mut Self) {
        if let [_, values @ ..] = &*other.text {
            self.text.push(b',');
            self.text.extend_from_slice(values);
            self.heads.extend_from_slice(&other.heads);
            self.growth += other.growth;
            self.beside.append(&mut other.beside);
            self.beside_bytes += other.beside_bytes;
        }
        other.clear();
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.text.clear();
        self.beside.clear();
        self.beside_bytes = 0;
        self.growth = 0;
    }
}

/// The shared side.
pub(crate) struct Inbox {
    /// Published batches and an empty one to use again; held by the shard to publish, by the owner to take.
    queue: Mutex<Queue>,
    /// Bytes in `queue`, readable without it.
    bytes: AtomicUsize,
    /// Events ever taken; the shard numbers those it writes.
    taken: AtomicU64,
    /// The shard has stopped reading and wants to hear when something is taken.
    waiting: AtomicBool,
    /// The owner wants no messages for now.
    is_closed: AtomicBool,
    /// The owner wants to know how much memory values may take.
    weighs: AtomicBool,
    limit: usize,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    spare: Batch,
}

/// The state of the inbox after a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// The shard waits for room, and now there is some.
    Wake,
    /// Nobody waits.
    Quiet,
}

impl Inbox {
    pub(crate) fn new(limit: usize, bell: Arc<Bell>) -> Self {
        Self {
            queue: Mutex::default(),
            bytes: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            weighs: AtomicBool::new(false),
            limit,
            bell,
        }
    }

    /// The oldest batch, which says whether there are more: the owner then takes again without being rung.
    pub(crate) fn take(&self) -> (Option<Batch>, Drained) {
        let mut queue = self.lock();
        let Some(mut batch) = queue.batches.pop_front() else {
            return (None, Drained::Quiet);
        };
        batch.more = !queue.batches.is_empty();
        drop(queue);
        let left = self.bytes.fetch_sub(batch.bytes(), Ordering::SeqCst) - batch.bytes();
        self.taken
            .fetch_add(batch.heads.len() as u64, Ordering::SeqCst);
        batch.text.push(b']');
        let wake = left <= self.limit && self.waiting.swap(false, Ordering::SeqCst);
        (
            Some(batch),
            if wake { Drained::Wake } else { Drained::Quiet },
        )
    }

    /// Has the shard read no more messages, or read on; it is to be woken then.
    pub(crate) fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::SeqCst);
    }

    /// Has the shard weigh values from now on.
    pub(crate) fn weigh(&self) {
        self.weighs.store(true, Ordering::Relaxed);
    }

    /// Gives a taken batch's memory back for the next one.
    pub(crate) fn recycle(&self, mut batch: Batch) {
        if batch.text.capacity() <= REUSED_BYTES {
            batch.clear();
            self.lock().spare = batch;
        }
    }

    /// Publishes one event from outside the shard's own thread.
    pub(crate) fn publish_one(&self, handle: Handle, event: &Event<'_>) {
        let mut batch = Batch::default();
        batch.push(handle, event, false);
        self.publish(&mut batch);
    }

    fn publish(&self, batch: &mut Batch) {
        self.bytes.fetch_add(batch.bytes(), Ordering::SeqCst);
        let mut queue = self.lock();
        match queue.batches.back_mut() {
            Some(last) if last.has_room_for(batch.values_and_beside(), batch.heads.len()) => {
                last.append(batch);
            }
            _ => {
                let spare = mem::take(&mut queue.spare);
                queue.batches.push_back(mem::replace(batch, spare));
            }
        }
        drop(queue);
        self.bell.ring();
    }

    /// Bytes of what has been published and not taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard's side: the batch that is being written.
pub(crate) struct InboxWriter {
    batch: Batch,
    written: u64,
    inbox: Arc<Inbox>,
}

impl InboxWriter {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            batch: Batch::default(),
            written: 0,
            inbox,
        }
    }

    /// Appends an event and returns how many bytes its value has.
    pub(crate) fn push(&mut self, handle: Handle, event: &Event<'_>) -> u32 {
        if !self.batch.has_room_for(event.size_hint(), 1) {
            self.publish();
        }
        self.written += 1;
        let weighs = self.inbox.weighs.load(Ordering::Relaxed);
        self.batch.push(handle, event, weighs)
    }

    /// Number of the last event that was pushed, from 1.
    pub(crate) fn last(&self) -> u64 {
        self.written
    }

    /// Whether the owner has taken the event of that number.
    pub(crate) fn is_taken(&self, number: u64) -> bool {
        self.inbox.taken.load(Ordering::SeqCst) >= number
    }

    /// Whether the owner has heard the bell lately; see [`Bell::is_heard`].
    pub(crate) fn is_heard(&self) -> bool {
        self.inbox.bell.is_heard()
    }

    /// Tells the owner that a crowd has left.
    pub(crate) fn thinned(&self) {
        self.inbox.bell.thinned();
    }

    /// How many events are not published yet.
    pub(crate) fn unpublished(&self) -> usize {
        self.batch.heads.len()
    }

    pub(crate) fn publish(&mut self) {
        if !self.batch.heads.is_empty() {
            self.inbox.publish(&mut self.batch);
        }
    }

    /// Whether the shard should stop reading.
    pub(crate) fn is_full(&self) -> bool {
        self.inbox.bytes.load(Ordering::SeqCst) + self.batch.bytes() > self.inbox.limit
    }

    /// Whether the owner wants no messages for now.
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed.load(Ordering::SeqCst)
    }

    /// Whether `blocked` holds; if so, a wake follows once the owner has taken something.
    pub(crate) fn waits(&self, blocked: impl Fn(&Self) -> bool) -> bool {
        if !blocked(self) {
            return false;
        }
        // The owner may have taken between the look and this, and then wakes nobody. A flag that is left set only
        // costs a wake too many. Swapped, as the owner does, so that one of the two sees the other.
        self.inbox.waiting.swap(true, Ordering::SeqCst);
        blocked(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::protocol::Payload;

    fn inbox(limit: usize) -> (Arc<Inbox>, InboxWriter) {
        let inbox = Arc::new(Inbox::new(limit, Arc::new(Bell::new(|| (), false))));
        (inbox.clone(), InboxWriter::new(inbox))
    }

    fn message(payload: &str) -> Event<'_> {
        Event::Message {
            route: 0,
            number: None,
            payload: Some(Payload::Json(payload)),
        }
    }

    #[test]
    fn batches_join_until_they_hold_a_thousand_events() {
        let (inbox, mut writer) = inbox(usize::MAX);
        for n in 0..2500 {
            writer.push(Handle(n), &message("1"));
            if n % 7 == 0 {
                writer.publish();
            }
        }
        writer.publish();
        let mut handles = Vec::new();
        while let (Some(batch), _) = inbox.take() {
            let parsed: Vec<i64> = serde_json::from_slice(batch.values()).unwrap();
            assert_eq!(parsed.len(), batch.heads().len());
            assert!(parsed.len() <= BATCH_EVENTS);
            handles.extend(batch.heads().iter().map(|head| head.handle.0));
            inbox.recycle(batch);
        }
        assert_eq!(handles, (0..2500).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_stays_under_its_bytes_unless_one_message_is_larger() {
        let (inbox, mut writer) = inbox(usize::MAX);
        let large = "1".repeat(BATCH_BYTES * 2);
        let middling = "1".repeat(50 * 1024);
        for payload in [&middling, &middling, &middling, &large, &middling] {
            writer.push(Handle(0), &message(payload));
        }
        writer.publish();
        let mut sizes = Vec::new();
        while let (Some(batch), _) = inbox.take() {
            sizes.push(batch.values().len() / 1024);
        }
        assert_eq!(sizes, [100, 50, 224, 50]);
    }

    #[test]
    fn a_full_inbox_says_when_there_is_room_again() {
        let (inbox, mut writer) = inbox(110);
        writer.push(Handle(0), &message(&"1".repeat(80)));
        writer.publish();
        assert!(!writer.is_full());
        writer.push(Handle(0), &message(&"1".repeat(80)));
        assert!(writer.waits(InboxWriter::is_full));
        assert!(!writer.is_taken(2));
        writer.publish();
        assert_eq!(inbox.take().1, Drained::Wake);
        assert!(!writer.waits(InboxWriter::is_full));
        assert!(writer.is_taken(2));
        assert_eq!(inbox.take().1, Drained::Quiet);
    }
}
