//! Who is in which room, for one shard: both indexes. No I/O, no await.
//!
//! Clients are slot numbers. A room's members are a dense list, so that fan-out walks memory in
//! order; each client knows its place in it, so that leaving costs the same in a room of any size.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use crate::id::RoomName;

type RoomId = u32;

#[derive(Debug, Default)]
struct Room {
    name: RoomName,
    members: Vec<u32>,
}

#[derive(Debug, Default)]
struct Client {
    /// Place in `Registry::open`; `None` while not open.
    place: Option<u32>,
    /// Place in the members of each of its rooms. Ids are ours, so the fast hash is safe here.
    rooms: FxHashMap<RoomId, u32>,
}

/// What a change did to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It got its first member.
    Opened,
    /// It lost its last one.
    Emptied,
    /// Neither.
    None,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    open: Vec<u32>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    free: Vec<RoomId>,
    /// Names are the peers' choice, so this hash is keyed.
    names: HashMap<RoomName, RoomId>,
}

impl Registry {
    /// Every open client.
    pub(crate) fn open(&self) -> &[u32] {
        &self.open
    }

    /// The members of a room; none if there is no such room.
    pub(crate) fn members(&self, name: &[u8]) -> &[u32] {
        self.names
            .get(name)
            .map_or(&[], |&id| &self.rooms[id as usize].members)
    }

    pub(crate) fn insert(&mut self, slot: u32) {
        let index = slot as usize;
        if index >= self.clients.len() {
            self.clients.resize_with(index + 1, Client::default);
        }
        let client = &mut self.clients[index];
        if client.place.is_none() {
            client.place = Some(count(self.open.len()));
            self.open.push(slot);
        }
    }

    /// Takes a client out of everything; tells each room that it emptied.
    pub(crate) fn remove(&mut self, slot: u32, mut emptied: impl FnMut(&[u8])) {
        let Some(client) = self.clients.get_mut(slot as usize) else {
            return;
        };
        let Some(place) = client.place.take() else {
            return;
        };
        let rooms = std::mem::take(&mut client.rooms);
        self.open.swap_remove(place as usize);
        if let Some(&moved) = self.open.get(place as usize) {
            self.clients[moved as usize].place = Some(place);
        }
        for (id, place) in rooms {
            if let Some(name) = self.remove_member(id, place) {
                emptied(&name);
            }
        }
    }

    pub(crate) fn join(&mut self, slot: u32, name: &[u8]) -> Change {
        let is_open = |client: &Client| client.place.is_some();
        if !self.clients.get(slot as usize).is_some_and(is_open) {
            return Change::None;
        }
        let (id, change) = if let Some(&id) = self.names.get(name) {
            (id, Change::None)
        } else {
            (self.open_room(name), Change::Opened)
        };
        let members = &mut self.rooms[id as usize].members;
        self.clients[slot as usize]
            .rooms
            .entry(id)
            .or_insert_with(|| {
                members.push(slot);
                count(members.len() - 1)
            });
        change
    }

    fn open_room(&mut self, name: &[u8]) -> RoomId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(Room::default());
            count(self.rooms.len() - 1)
        });
        self.rooms[id as usize].name = name.into();
        self.names.insert(name.into(), id);
        id
    }

    pub(crate) fn leave(&mut self, slot: u32, name: &[u8]) -> Change {
        let Some(&id) = self.names.get(name) else {
            return Change::None;
        };
        let Some(client) = self.clients.get_mut(slot as usize) else {
            return Change::None;
        };
        let Some(place) = client.rooms.remove(&id) else {
            return Change::None;
        };
        if client.rooms.is_empty() {
            client.rooms = FxHashMap::default();
        }
        if self.remove_member(id, place).is_some() {
            Change::Emptied
        } else {
            Change::None
        }
    }

    /// The name of the room if that was its last member.
    fn remove_member(&mut self, id: RoomId, place: u32) -> Option<RoomName> {
        let room = &mut self.rooms[id as usize];
        room.members.swap_remove(place as usize);
        if let Some(&moved) = room.members.get(place as usize) {
            self.clients[moved as usize].rooms.insert(id, place);
        }
        if !room.members.is_empty() {
            return None;
        }
        let Room { name, .. } = std::mem::take(room);
        self.names.remove(&name);
        self.free.push(id);
        Some(name)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("connections and rooms of a shard are numbered with 32 bits")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32),
        Remove(u32),
        Join(u32, u8),
        Leave(u32, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8_u32).prop_map(Step::Insert),
            (0..8_u32).prop_map(Step::Remove),
            (0..8_u32, 0..5_u8).prop_map(|(slot, room)| Step::Join(slot, room)),
            (0..8_u32, 0..5_u8).prop_map(|(slot, room)| Step::Leave(slot, room)),
        ]
    }

    /// Both indexes say the same, a slot starts anew without rooms, and numbers of rooms are used again.
    fn check_indexes(registry: &Registry) -> Result<(), TestCaseError> {
        for (slot, client) in (0..).zip(&registry.clients) {
            match client.place {
                Some(place) => prop_assert_eq!(registry.open[place as usize], slot),
                None => prop_assert!(client.rooms.is_empty()),
            }
            for (&id, &place) in &client.rooms {
                let room = &registry.rooms[id as usize];
                prop_assert_eq!(room.members[place as usize], slot);
                prop_assert_eq!(registry.names.get(&room.name), Some(&id));
            }
        }
        let in_rooms: usize = registry
            .clients
            .iter()
            .map(|client| client.rooms.len())
            .sum();
        let members: usize = registry.rooms.iter().map(|room| room.members.len()).sum();
        prop_assert_eq!(in_rooms, members);
        prop_assert_eq!(
            registry.free.len() + registry.names.len(),
            registry.rooms.len()
        );
        // Five names and eight slots: nothing may grow with the number of steps.
        prop_assert!(registry.rooms.len() <= 5 && registry.clients.len() <= 8);
        Ok(())
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 0..200)) {
            let mut registry = Registry::default();
            let mut open = BTreeSet::new();
            let mut rooms: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
            let mut alive = 0_i32;
            for step in steps {
                match step {
                    Step::Insert(slot) => {
                        registry.insert(slot);
                        open.insert(slot);
                    }
                    Step::Remove(slot) => {
                        registry.remove(slot, |_| alive -= 1);
                        open.remove(&slot);
                        for members in rooms.values_mut() {
                            members.remove(&slot);
                        }
                    }
                    Step::Join(slot, room) => {
                        let change = registry.join(slot, &[room]);
                        if open.contains(&slot) {
                            let members = rooms.entry(room).or_default();
                            let first = members.is_empty();
                            members.insert(slot);
                            prop_assert_eq!(change == Change::Opened, first);
                            alive += i32::from(first);
                        }
                    }
                    Step::Leave(slot, room) => {
                        if registry.leave(slot, &[room]) == Change::Emptied {
                            alive -= 1;
                        }
                        rooms.entry(room).or_default().remove(&slot);
                    }
                }
                let mut clients = registry.open().to_vec();
                clients.sort_unstable();
                prop_assert_eq!(clients, open.iter().copied().collect::<Vec<_>>());
                for room in 0..5_u8 {
                    let mut members = registry.members(&[room]).to_vec();
                    members.sort_unstable();
                    let expected = rooms.get(&room).cloned().unwrap_or_default();
                    prop_assert_eq!(members, expected.into_iter().collect::<Vec<_>>());
                }
                let expected = rooms.values().filter(|members| !members.is_empty()).count();
                prop_assert_eq!(usize::try_from(alive).unwrap(), expected);
                prop_assert_eq!(registry.names.len(), expected);
                check_indexes(&registry)?;
            }
        }
    }
}
