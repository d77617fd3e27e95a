//! Which node of a cluster serves which slots, as far as this process has heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::bus::{
    lanes::{Lane, Lanes, SLOTS},
    redis::member::Number,
};

/// The node of each slot.
pub(super) struct Owners(Vec<Option<Number>>);

impl Default for Owners {
    fn default() -> Self {
        Self(vec![None; SLOTS.into()])
    }
}

impl Owners {
    /// The node that serves a slot.
    pub(super) fn of(&self, slot: Lane) -> Option<Number> {
        self.0.get(usize::from(slot)).copied().flatten()
    }

    /// A node serves these slots, or nobody does.
    pub(super) fn set(&mut self, lanes: &Lanes, owner: Option<Number>) {
        for (slot, place) in (0..).zip(&mut self.0) {
            if lanes.has(slot) {
                *place = owner;
            }
        }
    }

    /// The slots of a node, or those that nobody serves.
    pub(super) fn served_by(&self, owner: Option<Number>) -> Lanes {
        let mut lanes = Lanes::default();
        for (slot, place) in (0..).zip(&self.0) {
            if *place == owner {
                lanes.insert(slot);
            }
        }
        lanes
    }

    /// The nodes that serve a slot.
    pub(super) fn all(&self) -> BTreeSet<Number> {
        self.0.iter().copied().flatten().collect()
    }

    /// The slots that others serve than before, if these nodes serve these slots and nobody serves the rest.
    pub(super) fn changes(
        &self,
        mut told: BTreeMap<Option<Number>, Lanes>,
    ) -> Vec<(Option<Number>, Lanes)> {
        let mut unserved = Lanes::default();
        unserved.insert_range(0..=SLOTS - 1);
        for (_, lanes) in told.iter().filter(|(owner, _)| owner.is_some()) {
            unserved.remove(lanes);
        }
        told.insert(None, unserved);
        let news = told.into_iter().map(|(owner, mut lanes)| {
            lanes.remove(&self.served_by(owner));
            (owner, lanes)
        });
        news.filter(|(_, lanes)| !lanes.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_nobody_names_any_more_are_served_by_nobody() {
        let mut owners = Owners::default();
        let mut low = Lanes::default();
        low.insert_range(0..=9);
        owners.set(&low, Some(1));
        assert_eq!((owners.of(9), owners.of(10)), (Some(1), None));
        let mut told = BTreeMap::from([(Some(1), Lanes::one(3)), (Some(2), Lanes::one(4))]);
        low.remove(&Lanes::one(3));
        low.remove(&Lanes::one(4));
        let changes = [(None, low), (Some(2), Lanes::one(4))];
        assert_eq!(owners.changes(told.clone()), changes);
        for (owner, lanes) in changes {
            owners.set(&lanes, owner);
        }
        assert_eq!(owners.changes(told.clone()), []);
        assert_eq!(owners.served_by(Some(2)), Lanes::one(4));
        assert_eq!(owners.all(), BTreeSet::from([1, 2]));
        // There was no room for the node that serves it.
        told.remove(&Some(2));
        told.insert(None, Lanes::one(4));
        assert_eq!(owners.changes(told), [(None, Lanes::one(4))]);
    }
}
