//! The rooms of one shard, in two indexes: the members of each room, and the rooms of each client. No I/O, no await.
//!
//! Clients are slot numbers. The members of a room are a dense list, so that fan-out walks memory in order. Each client knows its
//! place in that list, so that leaving costs the same in a room of any size.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use crate::{
    rooms::RoomName,
    shrink::{shrink_list, shrink_map},
};

type RoomId = u32;

/// With fewer room numbers than this, giving out new numbers does not pay.
const MANY_ROOMS: usize = if cfg!(test) { 4 } else { 1_024 };

/// A number that is free has no name and no members.
#[derive(Debug, Default)]
struct Room {
    name: Option<RoomName>,
    members: Vec<u32>,
}

#[derive(Debug, Default)]
struct Client {
    /// Place in `Registry::open`; `None` while not open.
    place: Option<u32>,
    /// Place in the members of each of its rooms. Ids are ours, so the fast hash is safe here.
    rooms: FxHashMap<RoomId, u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    open: Vec<u32>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    free: Vec<RoomId>,
    /// Clients can choose the names, so this hash has a secret key.
    names: HashMap<RoomName, RoomId>,
}

impl Registry {
    /// Every open client.
    pub(crate) fn open(&self) -> &[u32] {
        &self.open
    }

    /// The members of a room. The list is empty if the room does not exist.
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

    /// Takes a client out of all rooms, and reports each room that is now empty.
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
        shrink_list(&mut self.open);
        for (id, place) in rooms {
            if let Some(name) = self.remove_member(id, place) {
                emptied(&name);
            }
        }
        self.tidy();
        while self.clients.last().is_some_and(|it| it.place.is_none()) {
            self.clients.pop();
        }
        shrink_list(&mut self.clients);
    }

    /// Puts a client into a room. If the room was empty, `opened` gives the name to keep.
    pub(crate) fn join(&mut self, slot: u32, name: &[u8], opened: impl FnOnce(&[u8]) -> RoomName) {
        let is_open = |client: &Client| client.place.is_some();
        if !self.clients.get(slot as usize).is_some_and(is_open) {
            return;
        }
        let id = match self.names.get(name) {
            Some(&id) => id,
            None => self.open_room(opened(name)),
        };
        let members = &mut self.rooms[id as usize].members;
        self.clients[slot as usize]
            .rooms
            .entry(id)
            .or_insert_with(|| {
                members.push(slot);
                count(members.len() - 1)
            });
    }

    fn open_room(&mut self, name: RoomName) -> RoomId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(Room::default());
            count(self.rooms.len() - 1)
        });
        self.rooms[id as usize].name = Some(name.clone());
        self.names.insert(name, id);
        id
    }

    /// Takes a client out of a room, and reports the room if it is now empty.
    pub(crate) fn leave(&mut self, slot: u32, name: &[u8], emptied: impl FnOnce(&[u8])) {
        let Some(&id) = self.names.get(name) else {
            return;
        };
        let Some(client) = self.clients.get_mut(slot as usize) else {
            return;
        };
        let Some(place) = client.rooms.remove(&id) else {
            return;
        };
        if client.rooms.is_empty() {
            client.rooms = FxHashMap::default();
        } else {
            shrink_map(&mut client.rooms);
        }
        if let Some(name) = self.remove_member(id, place) {
            emptied(&name);
            self.tidy();
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
            shrink_list(&mut room.members);
            return None;
        }
        let name = std::mem::take(room).name?;
        self.names.remove(&name);
        self.free.push(id);
        Some(name)
    }

    /// Gives back the memory of rooms that are gone, when that is most of it. The other rooms get the lowest numbers then.
    fn tidy(&mut self) {
        shrink_map(&mut self.names);
        if self.rooms.len() < MANY_ROOMS || self.names.len() > self.rooms.len() / 8 {
            return;
        }
        let mut next = 0;
        for old in 0..self.rooms.len() {
            let room = std::mem::take(&mut self.rooms[old]);
            let Some(name) = &room.name else { continue };
            // No number is taken twice: those up to `old` have moved down already.
            let (old, new) = (count(old), next);
            for &slot in &room.members {
                let rooms = &mut self.clients[slot as usize].rooms;
                if let Some(place) = rooms.remove(&old) {
                    rooms.insert(new, place);
                }
            }
            self.names.insert(name.clone(), new);
            self.rooms[new as usize] = room;
            next += 1;
        }
        self.rooms.truncate(next as usize);
        self.rooms.shrink_to(2 * self.rooms.len());
        self.free = Vec::new();
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

    const ROOMS: u8 = 32;

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
            (0..8_u32, 0..ROOMS).prop_map(|(slot, room)| Step::Join(slot, room)),
            (0..8_u32, 0..ROOMS).prop_map(|(slot, room)| Step::Leave(slot, room)),
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
                let name = room.name.as_ref().unwrap();
                prop_assert_eq!(registry.names.get(name), Some(&id));
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
        // Few names and eight slots: nothing may grow with the number of steps.
        prop_assert!(registry.rooms.len() <= ROOMS.into() && registry.clients.len() <= 8);
        // Numbers of rooms that are gone are given anew.
        prop_assert!(
            registry.rooms.len() < MANY_ROOMS
                || registry.rooms.len() < 8 * (registry.names.len() + 1)
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 0..400)) {
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
                        let mut opened = false;
                        registry.join(slot, &[room], |name| {
                            opened = true;
                            name.into()
                        });
                        alive += i32::from(opened);
                        if open.contains(&slot) {
                            let members = rooms.entry(room).or_default();
                            prop_assert_eq!(opened, members.is_empty());
                            members.insert(slot);
                        }
                    }
                    Step::Leave(slot, room) => {
                        registry.leave(slot, &[room], |_| alive -= 1);
                        rooms.entry(room).or_default().remove(&slot);
                    }
                }
                let mut clients = registry.open().to_vec();
                clients.sort_unstable();
                prop_assert_eq!(clients, open.iter().copied().collect::<Vec<_>>());
                for room in 0..ROOMS {
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
