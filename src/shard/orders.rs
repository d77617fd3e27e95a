//! Finds the clients that an order names, and tells their owners what to do with them.

use std::collections::BTreeMap;

use crate::{
    border::{
        act::Outcome,
        event::Event,
        handle::{ClientId, Handle},
        order::Order,
        orders::Party,
        owner::OwnerNumber,
    },
    shard::Shard,
};

/// Tells the owners of those clients that are here. The owner that gave the order has done its part.
pub(crate) fn carry_out(shard: &Shard, order: &Order) {
    let asker = order.owner().map(|owner| owner.number);
    let mut by_owner: BTreeMap<OwnerNumber, Vec<ClientId>> = BTreeMap::new();
    for &id in &order.clients {
        let connection = shard.ids.get(id).and_then(|it| shard.connection(it));
        let owner = connection.map(|it| it.owner());
        if let Some(owner) = owner.filter(|it| Some(*it) != asker) {
            by_owner.entry(owner).or_default().push(id);
        }
    }
    let mut parts = shard.parts.borrow_mut();
    for (owner, ids) in by_owner {
        // An owner that is gone has nobody who could do anything.
        let Some(part) = parts.of_mut(owner) else {
            continue;
        };
        shard
            .shared
            .orders
            .expect(order.key, Party::Owner(shard.index, owner));
        let event = Event::Order {
            order: order.key,
            act: &order.act,
            ids: &ids,
        };
        shard.write(part, Handle(shard.index), &event);
    }
    drop(parts);
    let all = &shard.shared.orders;
    all.done(order.key, Party::Shard(shard.index), Outcome::default());
}

/// Notes that an owner has done its part, as its commands before this have been obeyed.
pub(crate) fn carried_out(shard: &Shard, owner: OwnerNumber, order: u32, outcome: Outcome) {
    let party = Party::Owner(shard.index, owner);
    shard.shared.orders.done(order, party, outcome);
}
