//! Notices when many rooms are read no more. The owner can then return their memory to the system.
//!
//! Shards notice when connections go. The thread of the bus frees its part up to 5 s later, and its memory is apart from theirs.

use std::time::Duration;

use tokio::time::Instant;

/// When the owner is told. The second time is for the rooms that are read a little longer.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(6)];
/// Fewer rooms are not worth it.
const MANY: usize = 1_024;

/// The rooms of one process.
#[derive(Debug, Default)]
pub(crate) struct Thinning {
    /// The most there were since the owner was told last.
    most: usize,
    /// What is due next, and when.
    next: Option<(usize, Instant)>,
}

impl Thinning {
    /// Takes the number of rooms. Returns whether to tell the owner now.
    pub(crate) fn count(&mut self, rooms: usize, now: Instant) -> bool {
        self.most = self.most.max(rooms);
        let Some((index, at)) = self.next else {
            // Less would be the ordinary coming and going.
            if self.most >= MANY && rooms * 4 <= self.most * 3 {
                self.next = Some((0, now + WAITS[0]));
            }
            return false;
        };
        if now < at {
            return false;
        }
        self.next = WAITS.get(index + 1).map(|wait| (index + 1, now + *wait));
        if self.next.is_none() {
            self.most = rooms;
        }
        true
    }

    /// When to count again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_told_twice_when_a_quarter_of_many_rooms_has_gone() {
        let (mut rooms, now) = (Thinning::default(), Instant::now());
        assert!(!rooms.count(2_000, now));
        assert!(!rooms.count(1_501, now));
        assert_eq!(rooms.due(), None);
        assert!(!rooms.count(1_500, now));
        assert!(!rooms.count(0, now + Duration::from_secs(1)));
        let first = rooms.due().unwrap();
        assert!(rooms.count(0, first));
        let second = rooms.due().unwrap();
        assert!(!rooms.count(0, first));
        assert!(rooms.count(0, second));
        assert_eq!(rooms.due(), None);
        assert!(!rooms.count(0, second + WAITS[1]));
    }

    #[test]
    fn few_rooms_come_and_go_unnoticed() {
        let (mut rooms, now) = (Thinning::default(), Instant::now());
        rooms.count(MANY - 1, now);
        rooms.count(0, now);
        assert_eq!(rooms.due(), None);
    }
}
