//! What a shard has of each owner: the events it writes for it, and how its part of the shard ends.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::{
    border::{
        handle::ClientId,
        inbox::InboxWriter,
        mailbox::StopMode,
        owner::{Owner, OwnerNumber},
    },
    shard::drain::Drain,
};

/// One owner's part of a shard.
pub(crate) struct Part {
    pub(crate) owner: Arc<Owner>,
    pub(crate) writer: InboxWriter,
    /// Answers about members that it has not asked the rest of, by the numbers of its questions. [`questions`](super::questions) keeps to a
    /// bound.
    pub(crate) questions: FxHashMap<u32, LongAnswer>,
    /// How many of its connections are there, until their sockets are closed.
    pub(crate) live: usize,
    /// How it ends, if it does.
    pub(crate) leaving: Option<StopMode>,
    /// The plan of its drain, while it drains.
    pub(crate) drain: Option<Drain>,
    /// When what is left of it is cut off.
    pub(crate) deadline: Option<Instant>,
}

impl Part {
    pub(crate) fn is_of(&self, owner: &Arc<Owner>) -> bool {
        Arc::ptr_eq(&self.owner, owner)
    }
}

/// The members of a room at the moment of a question, for an owner that gets them bit by bit.
pub(crate) struct LongAnswer {
    pub(crate) ids: Vec<ClientId>,
    /// How many of them the owner has.
    pub(crate) told: usize,
}

/// The parts of a shard, in the places of their owners' numbers.
#[derive(Default)]
pub(crate) struct Parts {
    list: Vec<Option<Part>>,
}

impl Parts {
    pub(crate) fn add(&mut self, owner: Arc<Owner>, inbox: InboxWriter) {
        let place = owner.number.index();
        if self.list.len() <= place {
            self.list.resize_with(place + 1, || None);
        }
        self.list[place] = Some(Part {
            owner,
            writer: inbox,
            questions: FxHashMap::default(),
            live: 0,
            leaving: None,
            drain: None,
            deadline: None,
        });
    }

    /// `None` if that owner is gone.
    pub(crate) fn of(&self, number: OwnerNumber) -> Option<&Part> {
        self.list.get(number.index())?.as_ref()
    }

    pub(crate) fn of_mut(&mut self, number: OwnerNumber) -> Option<&mut Part> {
        self.list.get_mut(number.index())?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: OwnerNumber) -> Option<Part> {
        self.list.get_mut(number.index())?.take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part> {
        self.list.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.list.iter_mut().flatten()
    }

    /// Who hears of what concerns no connection: the one that stays and came first.
    pub(crate) fn eldest(&mut self) -> Option<&mut Part> {
        let mut parts = self.list.iter_mut().flatten();
        let first = parts.next()?;
        Some(parts.fold(first, |eldest, it| {
            let key = |part: &Part| (part.leaving.is_some(), part.owner.age);
            if key(it) < key(eldest) { it } else { eldest }
        }))
    }

    /// Who gets the next connection: the one with the fewest, of those that answer.
    pub(crate) fn choose(&self) -> Option<&Part> {
        let mut staying = self.iter().filter(|part| part.leaving.is_none());
        let first = staying.next()?;
        let Some(second) = staying.next() else {
            return Some(first);
        };
        let all = [first, second].into_iter().chain(staying);
        all.min_by_key(|part| (!part.owner.is_heard(), part.owner.connections()))
    }

    /// When something is due of those that leave.
    pub(crate) fn next(&self) -> Option<Instant> {
        let of = |part: &Part| {
            let drain = part.drain.as_ref().map(Drain::next);
            drain.into_iter().chain(part.deadline).min()
        };
        self.iter().filter_map(of).min()
    }
}
