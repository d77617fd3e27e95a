//! Places for sockets that are not connections yet. They limit the number of such sockets.
//!
//! A socket takes a place when it is accepted, and gives it back when it is admitted or closed. When the places run out, the server
//! drops a socket whose request is incomplete, or a refused one that does not leave. It drops the oldest of the address that has
//! the most of them, so that one address cannot lock out the rest.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::time::{Instant, timeout_at};

use crate::{
    limits::addresses::Source,
    sync::{Mutex, MutexGuard, Notify},
};

/// How long a socket keeps its place in any case. A process that opens many connections at once sends its requests only after all
/// of them are open.
const GRACE: Duration = Duration::from_secs(1);
/// An address that holds this part of the places can lose its grace.
const SHARE: usize = 8;
/// The part of the places that may be on their way out while more sockets are accepted.
const LEAVING: usize = 64;
/// Addresses that memory is kept for while nobody is pending.
const KEPT: usize = 64;

/// The pending places of a server.
pub(crate) struct PendingPlaces {
    limit: usize,
    /// Places besides, where a socket does not wait for others: its request is answered at once.
    spare: usize,
    /// Held by the listener to accept, by a handshake when its request is complete and when it ends.
    state: Mutex<State>,
    /// For the listener: a place has become free, or can be made so.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Places that are taken.
    taken: usize,
    /// Those of them whose sockets have been told to leave.
    leaving: usize,
    /// The sockets that the server may drop, by address and age.
    droppable: BTreeMap<(Source, u64), Droppable>,
    sources: FxHashMap<Source, Crowd>,
    /// The number of the next that can be told to.
    next: u64,
    /// The socket that came last.
    newcomer: Option<Source>,
}

struct Droppable {
    since: Instant,
    notice: Arc<Notify>,
}

/// Those of one address that can be told to leave.
struct Crowd {
    count: usize,
    oldest: u64,
    /// One of them has used up its grace.
    late: bool,
}

/// The next step of the listener.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    /// Accept.
    Now,
    /// Look again then, or when something has changed.
    From(Instant),
    /// Look again when something has changed.
    Unknown,
}

impl PendingPlaces {
    pub(crate) fn new(limit: usize, spare: usize) -> Self {
        Self {
            limit,
            spare,
            state: Mutex::default(),
            changed: Notify::default(),
        }
    }

    /// Takes a place for a socket that was accepted just now.
    pub(crate) fn enter(self: &Arc<Self>, source: Source, now: Instant) -> PendingPlace {
        let notice = Arc::new(Notify::default());
        let mut state = self.lock();
        state.taken += 1;
        state.newcomer = Some(source);
        let number = state.list(source, now, notice.clone());
        drop(state);
        PendingPlace {
            places: self.clone(),
            source,
            number: Some(number),
            notice,
        }
    }

    /// Waits until one more socket may be accepted. That socket may be one too many, and only then is another one dropped for it.
    /// Before, the server does not know whether a next socket comes, and from which address.
    pub(crate) async fn room(&self) {
        loop {
            match self.make_room(Instant::now) {
                Room::Now => return,
                Room::From(at) => {
                    let _ = timeout_at(at, self.changed.notified()).await;
                }
                Room::Unknown => self.changed.notified().await,
            }
        }
    }

    /// Mostly there is room, and then nobody asks what time it is.
    fn make_room(&self, now: impl Fn() -> Instant) -> Room {
        let mut state = self.lock();
        while state.staying() > self.limit {
            let now = now();
            match state.first_to_go(self.limit) {
                Some((key, from)) if from <= now => state.tell_to_leave(key, now),
                _ if state.staying() < self.limit + self.spare => break,
                Some((_, from)) => return Room::From(from),
                None => return Room::Unknown,
            }
        }
        let fits = state.staying() < self.limit + self.spare || !state.droppable.is_empty();
        if fits && state.leaving < (self.limit / LEAVING).max(1) {
            Room::Now
        } else {
            Room::Unknown
        }
    }

    /// Makes room after a socket that could not be made to wait has taken a place; false if there is none.
    pub(crate) fn squeeze(&self, now: Instant) -> bool {
        self.make_room(|| now);
        let state = self.lock();
        state.staying() <= self.limit && state.leaving <= (self.limit / LEAVING).max(1)
    }

    /// The system has no descriptors left. Drops somebody if that is possible, and waits until something has changed; at
    /// most for so long.
    pub(crate) async fn spare_a_descriptor(&self, longest: Duration) {
        let now = Instant::now();
        self.spare_one(now);
        let _ = timeout_at(now + longest, self.changed.notified()).await;
    }

    fn spare_one(&self, now: Instant) {
        let mut state = self.lock();
        match state.first_to_go(state.staying()) {
            Some((key, from)) if from <= now => state.tell_to_leave(key, now),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Places of sockets that have not been told to leave.
    fn staying(&self) -> usize {
        self.taken - self.leaving
    }

    /// Makes a socket one that can be told to leave; its number.
    fn list(&mut self, source: Source, since: Instant, notice: Arc<Notify>) -> u64 {
        let number = self.next;
        self.next += 1;
        let crowd = self.sources.entry(source).or_insert(Crowd {
            count: 0,
            oldest: number,
            late: false,
        });
        crowd.count += 1;
        let entry = Droppable { since, notice };
        self.droppable.insert((source, number), entry);
        number
    }

    /// Makes it one that stays; `None` if it has been told to leave.
    fn unlist(&mut self, key: (Source, u64)) -> Option<Droppable> {
        let entry = self.droppable.remove(&key)?;
        let (source, number) = key;
        if let Some(crowd) = self.sources.get_mut(&source) {
            crowd.count -= 1;
            if crowd.count == 0 {
                self.sources.remove(&source);
            } else if crowd.oldest == number {
                let mut others = self.droppable.range((source, number)..);
                if let Some((&(_, oldest), _)) = others.next() {
                    crowd.oldest = oldest;
                }
            }
        }
        if self.sources.is_empty() && self.sources.capacity() > KEPT {
            self.sources.shrink_to(KEPT);
        }
        Some(entry)
    }

    /// Removes a socket's entry under this number. Returns whether the socket had been told to leave.
    fn forget(&mut self, source: Source, number: Option<u64>) -> bool {
        let was_told = number.is_some_and(|number| self.unlist((source, number)).is_none());
        self.leaving -= usize::from(was_told);
        was_told
    }

    /// The oldest of the address with the most, and from when on it may be told to leave.
    fn first_to_go(&self, limit: usize) -> Option<((Source, u64), Instant)> {
        let weight = |crowd: &Crowd| (crowd.count, Reverse(crowd.oldest));
        let (&source, crowd) = (self.sources.iter()).max_by_key(|(_, crowd)| weight(crowd))?;
        let key = (source, crowd.oldest);
        let since = self.droppable.get(&key)?.since;
        let holds_much = crowd.count >= (limit / SHARE).max(2);
        let from = if holds_much && (crowd.late || self.newcomer != Some(source)) {
            since
        } else {
            since + GRACE
        };
        Some((key, from))
    }

    fn tell_to_leave(&mut self, key: (Source, u64), now: Instant) {
        if let Some(entry) = self.unlist(key) {
            if let Some(crowd) = self.sources.get_mut(&key.0)
                && entry.since + GRACE <= now
            {
                crowd.late = true;
            }
            self.leaving += 1;
            entry.notice.notify_one();
        }
    }
}

/// The place of one socket. Given back when dropped, which must be after the socket is closed.
pub(crate) struct PendingPlace {
    places: Arc<PendingPlaces>,
    source: Source,
    /// Its number among those that can be told to leave; `None` while it cannot.
    number: Option<u64>,
    notice: Arc<Notify>,
}

impl PendingPlace {
    /// The request says who asks: the place counts for that address from now on.
    pub(crate) fn belong_to(&mut self, source: Source) {
        if source == self.source {
            return;
        }
        let before = std::mem::replace(&mut self.source, source);
        if let Some(number) = self.number {
            let mut state = self.places.lock();
            // A socket that has been told to leave is in no list any more.
            if let Some(Droppable { since, notice }) = state.unlist((before, number)) {
                self.number = Some(state.list(source, since, notice));
            }
        }
    }

    /// The request is complete: the socket stays until it is decided on. False if it has to be refused, as others have all
    /// places but the spare ones.
    pub(crate) fn complete(&mut self) -> bool {
        let mut state = self.places.lock();
        let waiting = state.staying() - state.droppable.len();
        if self.places.spare > 0 && waiting >= self.places.limit {
            return false;
        }
        let number = self.number.take();
        let was_told = state.forget(self.source, number);
        drop(state);
        if was_told {
            // Another one has to go instead.
            self.places.changed.notify_one();
        }
        true
    }

    /// The socket is refused: from now on it can be told to leave, if it does not do so by itself.
    pub(crate) fn refused(&mut self) {
        // A new one, as the other may have been rung in vain.
        self.notice = Arc::default();
        let mut state = self.places.lock();
        let was_told = state.forget(self.source, self.number);
        let is_short = state.staying() >= self.places.limit;
        self.number = Some(state.list(self.source, Instant::now(), self.notice.clone()));
        drop(state);
        if was_told || is_short {
            self.places.changed.notify_one();
        }
    }

    /// Resolves when the socket is to be closed at once.
    ///
    /// # Cancel safety
    /// Safe: a notice that came is there at the next call.
    pub(crate) async fn told_to_leave(&self) {
        self.notice.notified().await;
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        let is_short = state.taken >= self.places.limit || state.leaving > 0;
        state.forget(self.source, self.number);
        state.taken -= 1;
        drop(state);
        if is_short {
            self.places.changed.notify_one();
        }
    }
}

#[cfg(all(test, not(zocket_loom)))]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    /// A server with so many places, and the moment it starts at.
    struct Door {
        places: Arc<PendingPlaces>,
        start: Instant,
    }

    impl Door {
        fn new(limit: usize) -> Self {
            Self {
                places: Arc::new(PendingPlaces::new(limit, 0)),
                start: Instant::now(),
            }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// As the listener does it: only when there is room.
        fn enter(&self, address: &str, milliseconds: u64) -> PendingPlace {
            let now = self.at(milliseconds);
            assert_eq!(self.places.make_room(|| now), Room::Now);
            self.places.enter(source(address), now)
        }

        fn room(&self, milliseconds: u64) -> Room {
            self.places.make_room(|| self.at(milliseconds))
        }

        fn taken(&self) -> usize {
            self.places.lock().taken
        }
    }

    const A: &str = "192.0.2.1";
    const B: &str = "192.0.2.2";

    /// Whether it has been told to leave, by the books.
    fn is_told(place: &PendingPlace) -> bool {
        let state = place.places.lock();
        (place.number).is_some_and(|number| !state.droppable.contains_key(&(place.source, number)))
    }

    fn told(places: &[PendingPlace]) -> Vec<usize> {
        let told = places.iter().enumerate().filter(|(_, it)| is_told(it));
        told.map(|(index, _)| index).collect()
    }

    #[test]
    fn spare_places_are_for_those_that_are_answered_at_once() {
        let start = Instant::now();
        let places = Arc::new(PendingPlaces::new(2, 2));
        let enter = || {
            assert_eq!(places.make_room(|| start), Room::Now);
            places.enter(source(A), start)
        };
        let mut all = vec![enter(), enter()];
        assert!(all.iter_mut().all(PendingPlace::complete));
        // All wait for the owner, and there is still room to look at who comes; but nobody else may wait.
        let (mut probe, mut late) = (enter(), enter());
        assert!(!late.complete());
        probe.refused();
        late.refused();
        assert!(matches!(places.make_room(|| start), Room::From(_)));
        drop(probe);
        assert_eq!(places.make_room(|| start), Room::Now);
        drop(all.pop());
        let mut next = enter();
        assert!(next.complete());
    }

    #[test]
    fn a_place_counts_for_the_address_that_a_proxy_names() {
        let door = Door::new(4);
        // They all come through one proxy. One client has three that do not leave.
        let mut places: Vec<_> = (0..4).map(|at| door.enter(B, at)).collect();
        for place in &mut places[1..] {
            place.belong_to(source(A));
        }
        places[0].belong_to(source(B));
        places.push(door.enter("192.0.2.3", 4));
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [1]);
        // Of one that has been told to leave nothing is left in the lists.
        places[1].belong_to(source("192.0.2.4"));
        assert_eq!(told(&places), [1]);
        places.clear();
        let state = door.places.lock();
        assert_eq!((state.taken, state.leaving), (0, 0));
        assert!(state.droppable.is_empty() && state.sources.is_empty());
    }

    #[test]
    fn for_a_newcomer_the_oldest_of_the_address_with_the_most_goes_at_once() {
        let door = Door::new(4);
        let mut places = vec![door.enter(B, 0)];
        places.extend((1..4).map(|at| door.enter(A, at)));
        assert!(told(&places).is_empty());
        places.push(door.enter("192.0.2.3", 4));
        // Only now somebody is one too many.
        assert!(told(&places).is_empty());
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [1]);
        drop(places.remove(1));
        assert_eq!(door.room(4), Room::Now);
        assert!(told(&places).is_empty());
        places.push(door.enter("192.0.2.4", 5));
        assert_eq!(door.room(5), Room::Unknown);
        assert_eq!(told(&places), [1]);
    }

    #[test]
    fn within_one_address_each_has_a_second_until_one_of_them_was_late() {
        let door = Door::new(8);
        let mut places: Vec<_> = (0..9).map(|at| door.enter(A, at)).collect();
        assert_eq!(door.room(9), Room::From(door.at(1000)));
        assert_eq!(door.room(1000), Room::Unknown);
        assert_eq!(told(&places), [0]);
        drop(places.remove(0));
        for at in 1001..1009 {
            places.push(door.enter(A, at));
            assert_eq!(door.room(at), Room::Unknown);
            drop(places.remove(0));
        }
        // All of them are young now, but the address has shown what it is.
        places.push(door.enter(A, 1010));
        assert_eq!(door.room(1010), Room::Unknown);
        assert_eq!(told(&places), [0]);
        // Once they have gone it is an address as any other.
        places.clear();
        let _places: Vec<_> = (0..9).map(|at| door.enter(A, 2000 + at)).collect();
        assert_eq!(door.room(2009), Room::From(door.at(3000)));
    }

    #[test]
    fn a_crowd_of_many_addresses_has_a_second_each() {
        let door = Door::new(64);
        let address = |n| format!("192.0.2.{n}");
        let _places: Vec<_> = (0..65).map(|n| door.enter(&address(n), n)).collect();
        assert_eq!(door.room(100), Room::From(door.at(1000)));
    }

    #[test]
    fn complete_requests_stay_and_when_there_are_no_others_nobody_is_accepted() {
        let door = Door::new(2);
        let mut places = vec![door.enter(A, 0), door.enter(A, 0)];
        for place in &mut places {
            assert!(place.complete());
        }
        assert_eq!(door.room(5000), Room::Unknown);
        places.pop();
        assert_eq!(door.room(5000), Room::Now);
    }

    #[test]
    fn a_request_that_is_complete_after_all_stays_and_another_one_goes() {
        let door = Door::new(4);
        let mut places: Vec<_> = (0..4).map(|at| door.enter(A, at)).collect();
        places.push(door.enter(B, 4));
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [0]);
        assert!(places[0].complete());
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [1]);
        assert_eq!(door.taken(), 5);
    }

    #[test]
    fn who_is_refused_can_go_too_after_those_before_it() {
        let door = Door::new(4);
        let mut places: Vec<_> = (0..4).map(|at| door.enter(A, at)).collect();
        assert!(places[0].complete());
        places[0].refused();
        places.push(door.enter(B, 4));
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [1]);
        // Refused in the very moment: it stays, as anybody who was refused.
        places[1].refused();
        assert!(told(&places).is_empty());
        assert_eq!(door.room(4), Room::Unknown);
        assert_eq!(told(&places), [2]);
        drop(places.remove(2));
        assert_eq!(door.room(4), Room::Now);
    }

    #[test]
    fn a_lack_of_descriptors_is_a_lack_of_places() {
        let door = Door::new(4096);
        let places: Vec<_> = (0..20).map(|at| door.enter(A, at)).collect();
        door.places.spare_one(door.at(20));
        assert!(told(&places).is_empty());
        for at in [1000, 1000, 1000] {
            door.places.spare_one(door.at(at));
        }
        assert_eq!(told(&places), [0, 1, 2]);
    }

    #[test]
    fn whatever_happens_descriptors_are_bounded_and_nothing_is_left() {
        let limit = 64;
        let door = Door::new(limit);
        let mut places: Vec<PendingPlace> = Vec::new();
        let mut state = 1_u32;
        let mut dice = |sides: usize| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (state >> 8) as usize % sides
        };
        for at in 0..20_000 {
            match dice(8) {
                0..4 => {
                    if door.room(at) == Room::Now {
                        places.push(door.enter(&format!("192.0.2.{}", dice(6)), at));
                    }
                }
                _ if places.is_empty() => {}
                4 => drop(places.swap_remove(dice(places.len()))),
                5 => {
                    let chosen = dice(places.len());
                    assert!(places[chosen].complete());
                }
                6 => {
                    let chosen = dice(places.len());
                    places[chosen].refused();
                }
                _ => places.retain(|place| !is_told(place)),
            }
            assert_eq!(door.taken(), places.len());
            assert!(places.len() <= limit + 1);
            let leaving = places.iter().filter(|it| is_told(it)).count();
            assert_eq!(door.places.lock().leaving, leaving);
        }
        places.clear();
        let state = door.places.lock();
        assert_eq!((state.taken, state.leaving), (0, 0));
        assert!(state.droppable.is_empty() && state.sources.is_empty());
    }
}
