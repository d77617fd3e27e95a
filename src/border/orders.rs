//! The orders that are under way in an engine, and who has not carried out its part of each.
//!
//! An owner does itself what concerns its own clients. For the others it gives an order, which goes to all shards and to the bus. A
//! shard finds the clients that it has and tells their owners. The bus tells the other processes. All of them answer here. When nobody
//! is left, the asker hears how the order ended, once.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[cfg(feature = "bus")]
use crate::border::mailbox::{Mail, Mailbox};
use crate::{
    border::{
        act::{Act, Outcome},
        event::Event,
        handle::{ClientId, Handle},
        order::{Asker, Order},
        owner::{Owner, OwnerNumber},
    },
    shrink::shrink_map,
};

/// Most orders that may be under way.
const MOST: usize = 16_384;

/// Somebody who has a part of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// A shard that looks for clients.
    Shard(u32),
    /// An owner that has clients on a shard.
    Owner(u32, OwnerNumber),
    /// The bus, which asks other processes.
    #[cfg(feature = "bus")]
    Bus,
}

/// The orders under way.
pub(crate) struct Orders {
    /// Held for a moment for each order and each of its parts, never for a message.
    state: Mutex<State>,
    /// Where the bus hears how orders of other processes ended.
    #[cfg(feature = "bus")]
    bus: Option<Arc<Mailbox>>,
}

struct State {
    last: u32,
    open: HashMap<u32, Open>,
    /// Those that take orders: the shards that run, and the bus.
    parties: Vec<Party>,
    /// There was a bus, and nobody asks other processes any more.
    #[cfg(feature = "bus")]
    has_lost_bus: bool,
}

/// Why an order fails once the bus has ended. The call's name stands before it: that of a server or of a publisher.
#[cfg(feature = "bus")]
const STOPPED: &str = "it has stopped";

struct Open {
    asker: Asker,
    /// Who has not answered.
    waiting: Vec<Party>,
    outcome: Outcome,
}

impl Orders {
    /// For an engine with so many shards, and perhaps a bus.
    pub(crate) fn new(shards: u32, #[cfg(feature = "bus")] bus: Option<Arc<Mailbox>>) -> Self {
        #[cfg_attr(not(feature = "bus"), expect(unused_mut, reason = "there is no bus"))]
        let mut parties: Vec<_> = (0..shards).map(Party::Shard).collect();
        #[cfg(feature = "bus")]
        parties.extend(bus.as_ref().map(|_| Party::Bus));
        Self {
            state: Mutex::new(State {
                last: 0,
                open: HashMap::new(),
                parties,
                #[cfg(feature = "bus")]
                has_lost_bus: false,
            }),
            #[cfg(feature = "bus")]
            bus,
        }
    }

    /// Begins an order. Whoever begins it hands it to all that take orders. An order that cannot begin has ended, as its asker hears.
    pub(crate) fn begin(
        &self,
        asker: Asker,
        act: Act,
        clients: Vec<ClientId>,
    ) -> Option<Arc<Order>> {
        let mut state = self.lock();
        let mut waiting = state.parties.clone();
        // The bus does not send on what came from it.
        #[cfg(feature = "bus")]
        waiting.retain(|it| *it != Party::Bus || !matches!(asker, Asker::Process));
        let mut outcome = Outcome::default();
        #[cfg(feature = "bus")]
        if state.has_lost_bus {
            outcome = Outcome::failed(STOPPED);
        }
        if state.open.len() >= MOST {
            outcome = Outcome::failed("too many orders are under way");
            waiting.clear();
        }
        let key = state.next();
        if waiting.is_empty() {
            drop(state);
            self.deliver(&asker, key, outcome);
            return None;
        }
        let open = Open {
            asker: asker.clone(),
            waiting,
            outcome,
        };
        state.open.insert(key, open);
        Some(Arc::new(Order {
            key,
            asker,
            act,
            clients,
        }))
    }

    /// One more has a part of an order. Only somebody who has not answered yet may say so.
    pub(crate) fn expect(&self, key: u32, party: Party) {
        if let Some(open) = self.lock().open.get_mut(&key) {
            open.waiting.push(party);
        }
    }

    /// Somebody has done its part. Nothing happens if it had none.
    pub(crate) fn done(&self, key: u32, party: Party, outcome: Outcome) {
        let mut state = self.lock();
        let Some(open) = state.open.get_mut(&key) else {
            return;
        };
        let Some(place) = open.waiting.iter().position(|it| *it == party) else {
            return;
        };
        open.waiting.swap_remove(place);
        open.outcome.add(outcome);
        if !open.waiting.is_empty() {
            return;
        }
        let ended = state.open.remove(&key);
        shrink_map(&mut state.open);
        drop(state);
        if let Some(Open { asker, outcome, .. }) = ended {
            self.deliver(&asker, key, outcome);
        }
    }

    /// A shard has ended, and its clients with it.
    pub(crate) fn shard_ended(&self, shard: u32) {
        self.gone(
            |party| matches!(party, Party::Shard(it) | Party::Owner(it, _) if *it == shard),
            &Outcome::default(),
        );
    }

    /// An owner has no part of a shard any more.
    pub(crate) fn owner_left(&self, shard: u32, owner: OwnerNumber) {
        self.gone(
            |party| *party == Party::Owner(shard, owner),
            &Outcome::default(),
        );
    }

    /// The bus has ended, so nobody asks other processes.
    #[cfg(feature = "bus")]
    pub(crate) fn bus_ended(&self) {
        self.lock().has_lost_bus = true;
        self.gone(|party| *party == Party::Bus, &Outcome::failed(STOPPED));
    }

    /// Ends the parts of somebody who will not answer, with this outcome.
    fn gone(&self, is_gone: impl Fn(&Party) -> bool, outcome: &Outcome) {
        let mut state = self.lock();
        state.parties.retain(|party| !is_gone(party));
        let mut ended = Vec::new();
        for (key, open) in &mut state.open {
            let before = open.waiting.len();
            open.waiting.retain(|party| !is_gone(party));
            if open.waiting.len() < before {
                open.outcome.add(outcome.clone());
                if open.waiting.is_empty() {
                    ended.push((*key, open.asker.clone(), mem::take(&mut open.outcome)));
                }
            }
        }
        for (key, ..) in &ended {
            state.open.remove(key);
        }
        drop(state);
        for (key, asker, outcome) in ended {
            self.deliver(&asker, key, outcome);
        }
    }

    #[cfg_attr(
        not(feature = "bus"),
        expect(
            clippy::needless_pass_by_value,
            clippy::unused_self,
            unused_variables,
            reason = "only the bus needs it"
        )
    )]
    fn deliver(&self, asker: &Asker, key: u32, outcome: Outcome) {
        match asker {
            Asker::Owner(owner, number) => {
                if let Some(owner) = owner.upgrade() {
                    tell(&owner, *number, &outcome);
                }
            }
            #[cfg(feature = "bus")]
            Asker::Process => {
                if let Some(bus) = &self.bus {
                    bus.post(Mail::Obeyed(key, outcome));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number that no open order has.
    fn next(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.open.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

/// Tells an owner how its order ended.
fn tell(owner: &Owner, number: u32, outcome: &Outcome) {
    if let Some(inbox) = owner.inboxes.first() {
        inbox.publish_one(Handle::NONE, &Event::Ordered { number, outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::border::owner::Owners;

    const SHARDS: u32 = 2;

    struct Here {
        orders: Orders,
        owner: Arc<Owner>,
    }

    impl Here {
        fn new() -> Self {
            let owners = Owners::default();
            Self {
                orders: Orders::new(
                    SHARDS,
                    #[cfg(feature = "bus")]
                    None,
                ),
                owner: owners.enter(|| (), false, 1024, 1).unwrap(),
            }
        }

        /// The key of a new order.
        fn begin(&self) -> Option<u32> {
            let asker = Asker::Owner(Arc::downgrade(&self.owner), 9);
            let order = self.orders.begin(asker, Act::Leave(vec![]), vec![]);
            order.map(|order| order.key)
        }

        /// What the asker has heard since the last look.
        fn heard(&self) -> String {
            let (batch, _) = self.owner.inboxes[0].take();
            batch.map_or_else(String::new, |it| {
                String::from_utf8_lossy(it.values()).into_owned()
            })
        }
    }

    #[test]
    fn the_asker_hears_once_when_all_have_answered() {
        let here = Here::new();
        let key = here.begin().unwrap();
        let other = OwnerNumber::default();
        here.orders.done(key, Party::Shard(0), Outcome::default());
        here.orders.expect(key, Party::Owner(1, other));
        here.orders.done(key, Party::Shard(1), Outcome::default());
        // Nobody answers for somebody else, or twice.
        here.orders
            .done(key, Party::Shard(1), Outcome::failed("again"));
        here.orders
            .done(key, Party::Owner(0, other), Outcome::failed("not asked"));
        assert_eq!(here.heard(), "");
        here.orders
            .done(key, Party::Owner(1, other), Outcome::default());
        assert_eq!(here.heard(), r#"[{"number":9,"refused":[]}]"#);
        here.orders
            .done(key, Party::Owner(1, other), Outcome::default());
        assert_eq!(here.heard(), "");
    }

    #[test]
    fn those_that_are_gone_hold_up_no_order() {
        let here = Here::new();
        let key = here.begin().unwrap();
        let other = OwnerNumber::default();
        here.orders.expect(key, Party::Owner(0, other));
        here.orders.done(key, Party::Shard(0), Outcome::default());
        here.orders.shard_ended(1);
        assert_eq!(here.heard(), "");
        here.orders.owner_left(0, other);
        assert_eq!(here.heard(), r#"[{"number":9,"refused":[]}]"#);
        // The other shard still takes orders.
        let key = here.begin().unwrap();
        here.orders.done(key, Party::Shard(0), Outcome::default());
        assert_ne!(here.heard(), "");
        here.orders.shard_ended(0);
        assert_eq!(here.begin(), None);
        assert_eq!(here.heard(), r#"[{"number":9,"refused":[]}]"#);
    }

    #[cfg(feature = "bus")]
    #[test]
    fn orders_fail_once_the_bus_has_ended() {
        let mut here = Here::new();
        here.orders = Orders::new(1, Some(Arc::default()));
        let key = here.begin().unwrap();
        here.orders.done(key, Party::Shard(0), Outcome::default());
        assert_eq!(here.heard(), "");
        here.orders.bus_ended();
        assert!(here.heard().contains(STOPPED));
        let key = here.begin().unwrap();
        here.orders.done(key, Party::Shard(0), Outcome::default());
        assert!(here.heard().contains(STOPPED));
    }

    #[test]
    fn too_many_orders_fail_at_once() {
        let here = Here::new();
        for _ in 0..MOST {
            assert!(here.begin().is_some());
        }
        assert_eq!(here.begin(), None);
        assert!(here.heard().contains("too many orders"));
    }
}
