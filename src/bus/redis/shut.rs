//! Which slots of a Redis Cluster are shut: nothing may be published to them for now.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::bus::lanes::Lanes;

/// How long the subscribers of a slot that has moved have to follow, before publications for it leave.
const SETTLING: Duration = Duration::from_millis(500);

/// Slots that are shut, and when they are opened again.
#[derive(Default)]
pub(super) struct Shut {
    lanes: Lanes,
    /// Soonest first.
    opening: VecDeque<(Instant, Lanes)>,
}

impl Shut {
    /// All of them.
    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Shuts slots until [`open_later`](Self::open_later).
    pub(super) fn until_opened(&mut self, lanes: &Lanes) {
        self.forget(lanes);
        self.lanes.add(lanes);
    }

    /// Shuts slots for a moment.
    pub(super) fn for_a_moment(&mut self, lanes: &Lanes) {
        self.lanes.add(lanes);
        self.open_later(lanes);
    }

    /// Slots that are shut are to be opened in a moment, and not before.
    pub(super) fn open_later(&mut self, lanes: &Lanes) {
        self.forget(lanes);
        // Each time is the same span from now, so the last one is the latest.
        let at = Instant::now() + SETTLING;
        self.opening.push_back((at, lanes.clone()));
    }

    /// When slots are to be opened.
    pub(super) fn due(&self) -> Option<Instant> {
        self.opening.front().map(|(at, _)| *at)
    }

    /// Opens those whose time has come; to be called until there are none.
    pub(super) fn open(&mut self, now: Instant) -> Option<Lanes> {
        if self.due()? > now {
            return None;
        }
        let (_, lanes) = self.opening.pop_front()?;
        self.lanes.remove(&lanes);
        Some(lanes)
    }

    fn forget(&mut self, lanes: &Lanes) {
        for (_, opening) in &mut self.opening {
            opening.remove(lanes);
        }
        self.opening.retain(|(_, opening)| !opening.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_open_in_the_order_in_which_their_time_comes_and_not_before() {
        let mut shut = Shut::default();
        let (one, other) = (Lanes::one(1), Lanes::one(2));
        shut.for_a_moment(&one);
        shut.until_opened(&other);
        let later = Instant::now() + SETTLING;
        assert!(shut.due().is_some_and(|at| at <= later));
        assert_eq!(shut.open(Instant::now() - SETTLING), None);
        assert_eq!(shut.open(later), Some(one));
        assert_eq!((shut.open(later), shut.due()), (None, None));
        assert!(shut.lanes().has(2) && !shut.lanes().has(1));
        shut.open_later(&other);
        assert_eq!(shut.open(Instant::now() + SETTLING), Some(other));
        assert!(shut.lanes().is_empty());
    }

    #[test]
    fn a_slot_that_is_shut_again_has_its_full_time() {
        let mut shut = Shut::default();
        let lanes = Lanes::one(7);
        shut.for_a_moment(&lanes);
        shut.until_opened(&lanes);
        assert_eq!(shut.due(), None);
        shut.for_a_moment(&lanes);
        shut.for_a_moment(&lanes);
        let later = Instant::now() + SETTLING;
        assert_eq!(shut.open(later), Some(lanes));
        assert_eq!(shut.open(later), None);
    }
}
