//! The owners of one engine: those who take its events and give it commands. There is one, unless several share the engine.

use std::{
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use rustc_hash::FxHashSet;

use crate::{
    border::{bell::Bell, event::EventSink, handle::Handle, inbox::Inbox},
    sync::{AtomicUsize, Mutex, MutexGuard},
};

/// An owner that does not answer for this long gets no new connections, if another one does.
const DEAF: Duration = Duration::from_secs(1);

/// The number of an owner, as connections and commands carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct OwnerNumber(u8);

impl OwnerNumber {
    /// Stands where an owner has left its connections behind, and where commands come from no owner.
    pub(crate) const NOBODY: Self = Self(u8::MAX);

    /// The owner with this number.
    #[cfg(feature = "bus")]
    pub(crate) fn of(raw: u8) -> Self {
        Self(raw)
    }

    /// The number itself.
    pub(crate) fn raw(self) -> u8 {
        self.0
    }

    /// Its place in a list.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// What all threads know of an owner.
pub(crate) struct Owner {
    pub(crate) number: OwnerNumber,
    /// How many came before it.
    pub(crate) age: u64,
    pub(crate) bell: Arc<Bell>,
    /// One a shard.
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    /// Connections that it got, until they end.
    connections: AtomicUsize,
    /// Those of them that are open.
    open: AtomicUsize,
    /// Those whose end it had not answered when the shard let go of it. Held once for each, and never for a message.
    unanswered: Mutex<FxHashSet<Handle>>,
}

impl Owner {
    /// Whether it has answered lately, as far as it was rung. Asking rings it.
    pub(crate) fn is_heard(&self) -> bool {
        self.bell.is_heard_within(DEAF)
    }

    /// How many connections it has, with those that wait for their 101.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many open connections it has.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn got(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, was_open: bool) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if was_open {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A shard lets go of it, and the events about the ends of these connections are still on their way.
    pub(crate) fn leave_unanswered(&self, handles: impl Iterator<Item = Handle>) {
        self.unanswered().extend(handles);
    }

    /// It has heard of one of these ends.
    pub(crate) fn answered(&self, handle: Handle) {
        self.unanswered().remove(&handle);
    }

    /// It will hear of nothing any more: returns how many of these ends it has not heard of.
    pub(crate) fn take_unanswered(&self, is_one: impl Fn(Handle) -> bool) -> usize {
        let mut unanswered = self.unanswered();
        let before = unanswered.len();
        unanswered.retain(|handle| !is_one(*handle));
        before - unanswered.len()
    }

    fn unanswered(&self) -> MutexGuard<'_, FxHashSet<Handle>> {
        (self.unanswered.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owners of an engine, oldest first.
#[derive(Default)]
pub(crate) struct Owners {
    /// Held to let one in or out, and to look at all; never for a message.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    entered: u64,
    /// The number behind the one that was given last.
    next: u8,
}

struct Member {
    number: OwnerNumber,
    /// Until no shard has anything of it.
    owner: Option<Arc<Owner>>,
    /// As long as somebody may give commands under its number.
    held: Weak<Owner>,
    /// It is leaving: so many shards still have something of it.
    leaving: Option<usize>,
    /// It has stopped, and needs nothing of what the owners share.
    is_done: bool,
}

/// Who is left when an owner leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Others,
    /// The engine has to stop.
    Nobody,
}

impl Owners {
    /// Lets an owner in; `None` if there are too many. Numbers take turns, so that an answer that is still on its way to one that has
    /// gone does not reach the next one.
    pub(crate) fn enter(
        &self,
        sink: impl EventSink,
        is_watched: bool,
        limit: usize,
        shards: usize,
    ) -> Option<Arc<Owner>> {
        let state = &mut *self.lock();
        let age = state.entered;
        let members = &mut state.members;
        members.retain(|it| it.owner.is_some() || it.held.strong_count() > 0);
        let is_free = |number: &u8| members.iter().all(|it| it.number.0 != *number);
        let mut numbers = (state.next..OwnerNumber::NOBODY.0).chain(0..state.next);
        let number = OwnerNumber(numbers.find(is_free)?);
        let bell = Arc::new(Bell::new(sink, is_watched));
        let inboxes = (0..shards)
            .map(|_| Arc::new(Inbox::new(limit, bell.clone())))
            .collect();
        let owner = Arc::new(Owner {
            number,
            age,
            bell,
            inboxes,
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            unanswered: Mutex::default(),
        });
        members.push(Member {
            number,
            owner: Some(owner.clone()),
            held: Arc::downgrade(&owner),
            leaving: None,
            is_done: false,
        });
        state.entered += 1;
        state.next = number.0 + 1;
        Some(owner)
    }

    /// Notes that an owner leaves. If others stay, each of so many shards says when it has nothing of it any more. One that has left
    /// may come again.
    pub(crate) fn leave(&self, owner: &Arc<Owner>, shards: usize) -> Left {
        let members = &mut self.lock().members;
        if !members.iter().any(|it| it.is(owner)) {
            return Left::Others;
        }
        let stays = |it: &Member| it.needs_it() && it.leaving.is_none() && !it.is(owner);
        if !members.iter().any(stays) {
            return Left::Nobody;
        }
        for member in members.iter_mut().filter(|it| it.is(owner)) {
            member.leaving.get_or_insert(shards);
        }
        Left::Others
    }

    /// A shard has nothing of an owner any more.
    pub(crate) fn left(&self, owner: &Arc<Owner>) {
        let members = &mut self.lock().members;
        for member in members.iter_mut().filter(|it| it.is(owner)) {
            let left = member.leaving.map_or(0, |shards| shards.saturating_sub(1));
            member.leaving = Some(left);
            if left == 0 {
                member.owner = None;
            }
        }
    }

    /// Notes that an owner has stopped, and needs nothing any more. The last one may find that others are there, as no owner leaves
    /// an engine that stops for all.
    #[cfg(feature = "bus")]
    pub(crate) fn done(&self, owner: &Arc<Owner>) {
        let members = &mut self.lock().members;
        for member in members.iter_mut().filter(|it| it.is(owner)) {
            member.is_done = true;
        }
    }

    /// Whether another owner than this one needs the engine.
    pub(crate) fn has_others(&self, owner: &Arc<Owner>) -> bool {
        let members = &self.lock().members;
        members.iter().any(|it| it.needs_it() && !it.is(owner))
    }

    /// The owner with a number, also after all shards have let go of it.
    pub(crate) fn held(&self, number: OwnerNumber) -> Option<Arc<Owner>> {
        let state = self.lock();
        let member = state.members.iter().find(|it| it.number == number);
        member.and_then(|it| it.held.upgrade())
    }

    /// Those of whom a shard may have something, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Owner>> {
        let state = self.lock();
        let owners = state.members.iter().filter_map(|it| it.owner.clone());
        owners.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Whether it still needs what the owners share.
    fn needs_it(&self) -> bool {
        self.owner.is_some() && !self.is_done
    }

    fn is(&self, owner: &Arc<Owner>) -> bool {
        self.owner.as_ref().is_some_and(|it| Arc::ptr_eq(it, owner))
    }
}

#[cfg(all(test, not(zocket_loom)))]
mod tests {
    use super::*;

    fn enter(owners: &Owners) -> Option<Arc<Owner>> {
        owners.enter(|| (), true, 1024, 2)
    }

    #[cfg(feature = "bus")]
    #[test]
    fn an_owner_that_has_stopped_keeps_nothing_alive_though_no_shard_has_let_go_of_it() {
        let owners = Owners::default();
        let [first, second] = [(); 2].map(|()| enter(&owners).unwrap());
        owners.done(&first);
        assert!(owners.has_others(&first) && !owners.has_others(&second));
        assert_eq!(owners.all().len(), 2);
        assert_eq!(owners.leave(&second, 2), Left::Nobody);
    }

    #[test]
    fn a_number_is_free_when_every_shard_and_the_owner_itself_have_let_go_of_it() {
        let owners = Owners::default();
        let first = enter(&owners).unwrap();
        let second = enter(&owners).unwrap();
        assert_eq!(owners.leave(&first, 2), Left::Others);
        owners.left(&first);
        assert_eq!(owners.all().len(), 2);
        owners.left(&first);
        assert_eq!(owners.all().len(), 1);
        assert_eq!(owners.all()[0].number, second.number);
        for number in 2..u8::MAX {
            assert_eq!(enter(&owners).unwrap().number, OwnerNumber(number));
        }
        assert!(enter(&owners).is_none());
        drop(first);
        assert_eq!(enter(&owners).unwrap().number, OwnerNumber(0));
    }

    #[test]
    fn a_number_is_not_used_again_before_the_others() {
        let owners = Owners::default();
        let stays = enter(&owners).unwrap();
        for number in (1..u8::MAX).chain(1..10) {
            let goes = enter(&owners).unwrap();
            assert_eq!(goes.number, OwnerNumber(number));
            owners.leave(&goes, 1);
            owners.left(&goes);
        }
        assert_eq!(owners.all()[0].number, stays.number);
    }

    #[test]
    fn the_last_one_that_leaves_stops_the_engine() {
        let owners = Owners::default();
        let first = enter(&owners).unwrap();
        let second = enter(&owners).unwrap();
        assert_eq!(owners.leave(&second, 2), Left::Others);
        assert_eq!(owners.leave(&first, 2), Left::Nobody);
    }

    #[test]
    fn one_that_has_left_does_not_stop_the_engine_for_another_one_that_is_leaving() {
        let owners = Owners::default();
        let first = enter(&owners).unwrap();
        let second = enter(&owners).unwrap();
        assert_eq!(owners.leave(&first, 1), Left::Others);
        owners.left(&first);
        assert_eq!(owners.leave(&second, 1), Left::Nobody);
        assert_eq!(owners.leave(&first, 1), Left::Others);
        assert!(owners.held(first.number).is_some());
    }

    #[test]
    fn there_is_a_number_for_each_of_255_owners_and_no_more() {
        let owners = Owners::default();
        let all: Vec<_> = (0..256).map(|_| enter(&owners)).collect();
        assert!(all[..255].iter().all(Option::is_some));
        assert!(all[255].is_none());
    }
}
