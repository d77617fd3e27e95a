//! Finds the clients of a shard by their ids. An owner has handles for its own clients, so only
//! messages of other processes and owners need it.

use std::{cell::RefCell, collections::HashMap};

use crate::{
    border::handle::{ClientId, Handle},
    shrink::shrink_map,
};

/// The open clients of a shard by id, if there is a bus or there may be other owners.
#[derive(Debug, Default)]
pub(crate) struct Ids(Option<RefCell<HashMap<ClientId, Handle>>>);

impl Ids {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self(is_kept.then(RefCell::default))
    }

    pub(crate) fn insert(&self, id: ClientId, handle: Handle) {
        if let Some(ids) = &self.0 {
            ids.borrow_mut().insert(id, handle);
        }
    }

    pub(crate) fn remove(&self, id: ClientId) {
        if let Some(ids) = &self.0 {
            let mut ids = ids.borrow_mut();
            ids.remove(&id);
            shrink_map(&mut ids);
        }
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<Handle> {
        self.0.as_ref()?.borrow().get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_if_somebody_needs_them_and_go() {
        let id = ClientId::random();
        for (is_kept, found) in [(true, Some(Handle(7))), (false, None)] {
            let ids = Ids::new(is_kept);
            ids.insert(id, Handle(7));
            assert_eq!(ids.get(id), found);
            ids.remove(id);
            assert_eq!(ids.get(id), None);
        }
    }
}
