//! The bell: wakes the owner, and knows for how long the owner has not woken up.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    border::event::EventSink,
    sync::{AtomicBool, AtomicU64},
};

/// An owner that does not hear the bell for this long does not work any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rings the owner, unless it has been rung and has not answered yet.
pub(crate) struct Bell {
    ringing: AtomicBool,
    /// When it rang first since the owner heard it last, in nanoseconds from `watch` on; 0 if the owner has heard it.
    unheard: AtomicU64,
    /// Runs if somebody wants to know whether the owner hears.
    watch: Option<Instant>,
    sink: Box<dyn EventSink>,
}

impl Bell {
    /// `is_watched` is whether anybody will ask if the owner [hears](Self::is_heard): to know costs a look at the clock
    /// for each ring.
    pub(crate) fn new(sink: impl EventSink, is_watched: bool) -> Self {
        Self {
            ringing: AtomicBool::new(false),
            unheard: AtomicU64::new(0),
            watch: is_watched.then(Instant::now),
            sink: Box::new(sink),
        }
    }

    pub(crate) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::SeqCst) {
            self.call();
        }
    }

    /// The owner is about to take: what comes from now on rings again.
    pub(crate) fn answer(&self) {
        // Swapped like the other side, so that all that happens to the flag has one order.
        self.ringing.swap(false, Ordering::SeqCst);
        self.hear();
    }

    /// The owner has woken up. It may take later, or in several turns.
    pub(crate) fn hear(&self) {
        if self.watch.is_some() {
            self.unheard.store(0, Ordering::SeqCst);
        }
    }

    /// Whether the owner has heard it within the last seconds, as far as it rang. Rings it, so that the next to ask knows.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard_within(PATIENCE)
    }

    /// The same, for another time.
    pub(crate) fn is_heard_within(&self, patience: Duration) -> bool {
        let Some(now) = self.now() else {
            return true;
        };
        match self.unheard.load(Ordering::SeqCst) {
            0 => {
                // Also if it rings already: whoever put its answer off has heard that ring, and may be busy since.
                self.call();
                true
            }
            since => Duration::from_nanos(now.saturating_sub(since)) < patience,
        }
    }

    pub(crate) fn thinned(&self) {
        self.sink.thinned();
    }

    fn call(&self) {
        if let Some(now) = self.now() {
            // An earlier ring that nobody has heard counts.
            let _ = (self.unheard).compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        }
        self.sink.ring();
    }

    /// Nanoseconds since the watch was started, at least one; `None` without a watch.
    fn now(&self) -> Option<u64> {
        let elapsed = self.watch?.elapsed().as_nanos();
        Some(u64::try_from(elapsed).unwrap_or(u64::MAX).max(1))
    }
}

#[cfg(all(test, not(zocket_loom)))]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::*;

    /// A bell, and how often it has rung.
    fn hung(is_watched: bool) -> (Bell, Arc<AtomicUsize>) {
        let rung = Arc::new(AtomicUsize::new(0));
        let count = rung.clone();
        let sink = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        (Bell::new(sink, is_watched), rung)
    }

    /// Makes all that happened to it happen so much earlier.
    fn age(bell: &mut Bell, by: Duration) {
        let watch = bell.watch.as_mut().unwrap();
        *watch = watch.checked_sub(by).unwrap();
    }

    #[test]
    fn an_owner_that_does_not_hear_a_ring_for_five_seconds_is_told_of() {
        let (mut bell, _) = hung(true);
        bell.ring();
        age(&mut bell, Duration::from_secs(4));
        assert!(bell.is_heard());
        age(&mut bell, Duration::from_millis(1_100));
        assert!(!bell.is_heard() && !bell.is_heard());
        bell.answer();
        assert!(bell.is_heard());
    }

    #[test]
    fn each_look_rings_a_bell_that_was_heard() {
        let (mut bell, rung) = hung(true);
        assert!(bell.is_heard() && bell.is_heard());
        assert_eq!(rung.load(Ordering::SeqCst), 1);
        age(&mut bell, PATIENCE);
        assert!(!bell.is_heard());
        bell.hear();
        assert!(bell.is_heard());
        assert_eq!(rung.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_owner_that_heard_a_ring_and_puts_its_answer_off_is_watched_too() {
        let (mut bell, rung) = hung(true);
        bell.ring();
        bell.hear();
        age(&mut bell, 2 * PATIENCE);
        // Whether it hears is not known before it is rung again.
        assert!(bell.is_heard());
        assert_eq!(rung.load(Ordering::SeqCst), 2);
        age(&mut bell, PATIENCE);
        assert!(!bell.is_heard());
    }

    #[test]
    fn nobody_looks_at_an_unwatched_bell() {
        let (bell, rung) = hung(false);
        bell.ring();
        bell.ring();
        assert!(bell.is_heard());
        assert_eq!(rung.load(Ordering::SeqCst), 1);
        bell.answer();
        bell.ring();
        assert_eq!(rung.load(Ordering::SeqCst), 2);
    }
}
