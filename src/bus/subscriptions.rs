//! Which channels this process reads: those of rooms with members here, and two of its own.
//!
//! A room that has lost its last member is read a few seconds longer, so that members that come and go do not change what the bus has
//! to know.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    bus::channels::Channel,
    rooms::{RoomName, changes::Mark},
    shrink::shrink_map,
};

/// How long an empty room is read.
const LINGER: Duration = Duration::from_secs(5);
/// How many empty rooms are read. Past that, the one that has been empty for the longest is given up.
const MOST_EMPTY: usize = 65_536;

/// One channel that is read.
#[derive(Debug)]
struct Reading {
    /// Its place among all that were ever read.
    place: u64,
    /// The room, if it is the channel of one.
    room: Option<RoomName>,
    /// The bus has confirmed it on this connection.
    is_confirmed: bool,
    /// When it lost its last member.
    empty_since: Option<Instant>,
}

/// A change for the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Read it.
    Subscribe(Channel),
    /// Read it no more.
    Unsubscribe(Channel),
}

/// The channels that are read.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: HashMap<Channel, Reading>,
    /// When rooms became empty, oldest first. A room that has members again stands here until its turn.
    empty: VecDeque<(Instant, Channel)>,
    /// The places of those that the bus has not confirmed.
    unconfirmed: BTreeSet<u64>,
    /// The last place.
    last: u64,
    rooms: usize,
    /// Who waits, by a mark, and for which places: all up to this one.
    waiting: VecDeque<(Mark, u64)>,
}

impl Subscriptions {
    /// Reads a channel, which may be that of a room. Returns what the bus has to know.
    pub(crate) fn open(&mut self, channel: Channel, room: Option<&RoomName>) -> Option<Change> {
        if let Some(reading) = self.channels.get_mut(&channel) {
            reading.empty_since = None;
            return None;
        }
        self.last += 1;
        let reading = Reading {
            place: self.last,
            room: room.cloned(),
            is_confirmed: false,
            empty_since: None,
        };
        self.channels.insert(channel, reading);
        self.unconfirmed.insert(self.last);
        self.rooms += usize::from(room.is_some());
        Some(Change::Subscribe(channel))
    }

    /// A room has no member left.
    pub(crate) fn emptied(&mut self, channel: Channel, now: Instant) -> Option<Change> {
        let reading = self.channels.get_mut(&channel)?;
        if reading.empty_since.is_some() {
            return None;
        }
        reading.empty_since = Some(now);
        self.empty.push_back((now, channel));
        if self.empty.len() > MOST_EMPTY {
            return self.close_oldest();
        }
        None
    }

    /// The next channel that has been empty for long enough.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Change> {
        while let Some((since, _)) = self.empty.front() {
            if now.duration_since(*since) < LINGER {
                return None;
            }
            if let Some(change) = self.close_oldest() {
                return Some(change);
            }
        }
        if self.empty.capacity() > 0 {
            self.empty = VecDeque::new();
        }
        None
    }

    /// Gives the oldest empty room up, unless it has had members since.
    fn close_oldest(&mut self) -> Option<Change> {
        let (since, channel) = self.empty.pop_front()?;
        if self.channels.get(&channel)?.empty_since != Some(since) {
            return None;
        }
        let reading = self.channels.remove(&channel)?;
        self.unconfirmed.remove(&reading.place);
        self.rooms -= 1;
        shrink_map(&mut self.channels);
        Some(Change::Unsubscribe(channel))
    }

    /// The bus reads a channel to us from now on.
    pub(crate) fn confirmed(&mut self, channel: Channel) {
        if let Some(reading) = self.channels.get_mut(&channel) {
            reading.is_confirmed = true;
            self.unconfirmed.remove(&reading.place);
        }
    }

    /// The connection is gone: nothing is confirmed any more.
    pub(crate) fn lost(&mut self) {
        for reading in self.channels.values_mut() {
            reading.is_confirmed = false;
        }
        self.unconfirmed = self.channels.values().map(|it| it.place).collect();
    }

    /// Notes that somebody waits until all that are read now are confirmed; see [`ready`](Self::ready).
    pub(crate) fn wait(&mut self, mark: Mark) {
        self.waiting.push_back((mark, self.last));
    }

    /// The next of those who wait, and wait for nothing any more.
    pub(crate) fn ready(&mut self) -> Option<Mark> {
        let (mark, place) = *self.waiting.front()?;
        if (self.unconfirmed.first()).is_some_and(|missing| *missing <= place) {
            return None;
        }
        self.waiting.pop_front();
        Some(mark)
    }

    /// Whether the bus has confirmed all.
    pub(crate) fn are_confirmed(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// Whether the channel is read.
    pub(crate) fn reads(&self, channel: Channel) -> bool {
        self.channels.contains_key(&channel)
    }

    /// The room whose channel it is, if it is one that is read.
    pub(crate) fn room(&self, channel: Channel) -> Option<&RoomName> {
        self.channels.get(&channel)?.room.as_ref()
    }

    /// All channels, for a new connection.
    pub(crate) fn all(&self) -> impl Iterator<Item = Channel> {
        self.channels.keys().copied()
    }

    /// How many rooms are read.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &[u8]) -> Channel {
        Channel::of_room(name)
    }

    fn open(all: &mut Subscriptions, name: &[u8]) -> Option<Change> {
        all.open(room(name), Some(&name.into()))
    }

    #[test]
    fn members_that_come_and_go_do_not_change_what_is_read() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        assert_eq!(open(&mut all, b"a"), Some(Change::Subscribe(room(b"a"))));
        for millisecond in 0..1_000 {
            let now = now + Duration::from_millis(millisecond);
            assert_eq!(all.emptied(room(b"a"), now), None);
            assert_eq!(open(&mut all, b"a"), None);
            assert_eq!(all.expire(now), None);
        }
        let last = now + Duration::from_secs(2);
        assert_eq!(all.emptied(room(b"a"), last), None);
        assert_eq!(all.expire(last + LINGER / 2), None);
        assert!(all.reads(room(b"a")));
        let gone = Some(Change::Unsubscribe(room(b"a")));
        assert_eq!(all.expire(last + LINGER), gone);
        assert_eq!(all.expire(last + LINGER), None);
        assert!(!all.reads(room(b"a")) && all.rooms() == 0 && all.empty.capacity() == 0);
    }

    #[test]
    fn the_empty_rooms_that_are_read_are_bounded() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        let mut closed = 0;
        for number in 0..MOST_EMPTY + 10 {
            let name = number.to_le_bytes();
            open(&mut all, &name);
            closed += usize::from(all.emptied(room(&name), now).is_some());
        }
        assert_eq!((closed, all.rooms()), (10, MOST_EMPTY));
    }

    #[test]
    fn who_waits_is_told_when_all_that_were_read_then_are_confirmed() {
        let mut all = Subscriptions::default();
        open(&mut all, b"a");
        open(&mut all, b"b");
        all.wait((0, 1));
        open(&mut all, b"c");
        all.wait((0, 2));
        all.confirmed(room(b"a"));
        assert_eq!(all.ready(), None);
        all.confirmed(room(b"b"));
        assert_eq!(all.ready(), Some((0, 1)));
        assert_eq!(all.ready(), None);
        // The connection goes: all three have to be confirmed again.
        all.lost();
        all.confirmed(room(b"c"));
        assert_eq!(all.ready(), None);
        all.confirmed(room(b"a"));
        all.confirmed(room(b"b"));
        assert_eq!(all.ready(), Some((0, 2)));
        assert!(all.are_confirmed());
        all.wait((0, 3));
        assert_eq!(all.ready(), Some((0, 3)));
    }

    #[test]
    fn a_room_that_is_given_up_keeps_nobody_waiting() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        open(&mut all, b"a");
        all.wait((0, 1));
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        assert_eq!(all.ready(), Some((0, 1)));
        assert!(all.are_confirmed());
    }
}
