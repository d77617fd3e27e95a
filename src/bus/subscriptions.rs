//! Which channels this process reads: those of rooms with members here, and two of its own.
//!
//! A room that has lost its last member is read a few seconds longer, so that members that come and go do not change what the bus has
//! to know.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    mem,
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
/// How many empty rooms are read where nothing else is said. Past that, the one that has been empty for the longest is given up.
const MOST_EMPTY: usize = 65_536;
/// How many subscriptions the bus is asked for before it has confirmed the first of them.
const MOST_ASKED: usize = 1_024;
/// How long somebody waits at the most. The owner answers for us then.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the bus was asked on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// To read it to us.
    Subscribe,
    /// The same, and it does.
    Confirmed,
}

/// One channel that is read, or that the bus still reads to us.
#[derive(Debug)]
struct Reading {
    /// Its place among all that were ever read.
    place: u64,
    /// The room, if it is the channel of one.
    room: Option<RoomName>,
    asked: Asked,
    /// When it lost its last member.
    empty_since: Option<Instant>,
    /// It was given up, and the bus does not know that.
    is_closed: bool,
    /// Its turn to be looked at for what the bus has to be asked.
    turn: Option<u64>,
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
///
/// A connection gets changes one by one from [`next`](Self::next), and few at a time. So a bus that is slow makes no list longer than
/// the number of rooms, whatever their members do meanwhile.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// How many empty rooms are read.
    most_empty: usize,
    channels: HashMap<Channel, Reading>,
    /// When rooms became empty, oldest first. A room that has members again stands here until its turn.
    empty: VecDeque<(Instant, Channel)>,
    /// Whether there is a connection to ask. A new one is asked for all.
    is_connected: bool,
    /// The channels that the bus may have to be asked for, by their turns.
    turns: BTreeMap<u64, Channel>,
    /// The last turn.
    last_turn: u64,
    /// How many the bus was asked for and has not confirmed.
    asked: usize,
    /// The places of those that the bus has not confirmed.
    unconfirmed: BTreeSet<u64>,
    /// Of those, the ones that no server of the bus serves at the moment.
    unserved: BTreeSet<u64>,
    /// The last place.
    last: u64,
    rooms: usize,
    /// Who waits since when, by a mark, and for which places: all up to this one.
    waiting: VecDeque<(Instant, Mark, u64)>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::new(MOST_EMPTY)
    }
}

impl Subscriptions {
    /// Reads so many empty rooms at most.
    pub(crate) fn new(most_empty: usize) -> Self {
        Self {
            most_empty,
            channels: HashMap::new(),
            empty: VecDeque::new(),
            is_connected: false,
            turns: BTreeMap::new(),
            last_turn: 0,
            asked: 0,
            unconfirmed: BTreeSet::new(),
            unserved: BTreeSet::new(),
            last: 0,
            rooms: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Reads a channel, which may be that of a room.
    pub(crate) fn open(&mut self, channel: Channel, room: Option<&RoomName>) {
        let reading = self.channels.entry(channel).or_insert_with(|| Reading {
            place: 0,
            room: room.cloned(),
            asked: Asked::Nothing,
            empty_since: None,
            is_closed: true,
            turn: None,
        });
        reading.empty_since = None;
        if !mem::take(&mut reading.is_closed) {
            return;
        }
        self.rooms += usize::from(reading.room.is_some());
        // The bus may still read it to us, as it was not asked to stop.
        if reading.asked != Asked::Confirmed {
            self.last += 1;
            reading.place = self.last;
            self.unconfirmed.insert(self.last);
        }
        self.give_turn(channel);
    }

    /// A room has no member left. Returns a channel that is read no more, which may be that of another room.
    pub(crate) fn emptied(&mut self, channel: Channel, now: Instant) -> Option<Channel> {
        let reading = self.channels.get_mut(&channel)?;
        if reading.empty_since.is_some() || reading.is_closed {
            return None;
        }
        reading.empty_since = Some(now);
        self.empty.push_back((now, channel));
        if self.empty.len() > self.most_empty {
            return self.close_oldest();
        }
        None
    }

    /// The next channel that has been empty for long enough. It is read no more.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Channel> {
        while let Some((since, _)) = self.empty.front() {
            if now.duration_since(*since) < LINGER {
                return None;
            }
            if let Some(closed) = self.close_oldest() {
                return Some(closed);
            }
        }
        if self.empty.capacity() > 0 {
            self.empty = VecDeque::new();
        }
        None
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.empty.front().map(|(since, _)| *since + LINGER)
    }

    /// Gives the oldest empty room up, unless it has had members since.
    fn close_oldest(&mut self) -> Option<Channel> {
        let (since, channel) = self.empty.pop_front()?;
        let reading = self.channels.get_mut(&channel)?;
        if reading.empty_since != Some(since) {
            return None;
        }
        self.rooms -= 1;
        self.unconfirmed.remove(&reading.place);
        self.unserved.remove(&reading.place);
        reading.empty_since = None;
        reading.is_closed = true;
        if reading.asked == Asked::Nothing {
            self.forget(channel);
        } else {
            self.give_turn(channel);
        }
        Some(channel)
    }

    /// What to ask the bus next on this connection.
    pub(crate) fn next(&mut self) -> Option<Change> {
        while self.asked < MOST_ASKED {
            let (_, channel) = self.turns.pop_first()?;
            let Some(reading) = self.channels.get_mut(&channel) else {
                continue;
            };
            reading.turn = None;
            if !reading.is_closed && reading.asked == Asked::Nothing {
                reading.asked = Asked::Subscribe;
                self.asked += 1;
                return Some(Change::Subscribe(channel));
            }
            // If the bus has not answered yet, it is looked at again when it has.
            if reading.is_closed && reading.asked == Asked::Confirmed {
                self.forget(channel);
                return Some(Change::Unsubscribe(channel));
            }
        }
        None
    }

    fn give_turn(&mut self, channel: Channel) {
        if let Some(reading) = self.channels.get_mut(&channel)
            && self.is_connected
            && reading.turn.is_none()
        {
            self.last_turn += 1;
            reading.turn = Some(self.last_turn);
            self.turns.insert(self.last_turn, channel);
        }
    }

    fn forget(&mut self, channel: Channel) {
        let forgotten = self.channels.remove(&channel);
        if let Some(turn) = forgotten.and_then(|it| it.turn) {
            self.turns.remove(&turn);
        }
        shrink_map(&mut self.channels);
    }

    /// The bus reads a channel to us from now on.
    pub(crate) fn confirmed(&mut self, channel: Channel) {
        let Some(reading) = self.channels.get_mut(&channel) else {
            return;
        };
        if mem::replace(&mut reading.asked, Asked::Confirmed) == Asked::Subscribe {
            self.asked -= 1;
        }
        if reading.is_closed {
            self.give_turn(channel);
        } else {
            self.unconfirmed.remove(&reading.place);
            self.unserved.remove(&reading.place);
        }
    }

    /// No server serves a channel that the bus was asked for. It is asked for again once one does.
    pub(crate) fn unserved(&mut self, channel: Channel) {
        if let Some(place) = self.unask(channel) {
            self.unserved.insert(place);
        }
    }

    /// The bus does not read a channel to us any more, and has to be asked again.
    pub(crate) fn ask_again(&mut self, channel: Channel) {
        if let Some(place) = self.unask(channel) {
            self.unserved.remove(&place);
            self.give_turn(channel);
        }
    }

    /// The bus has not been asked for a channel. Returns its place, unless it is closed.
    fn unask(&mut self, channel: Channel) -> Option<u64> {
        let reading = self.channels.get_mut(&channel)?;
        if mem::replace(&mut reading.asked, Asked::Nothing) == Asked::Subscribe {
            self.asked -= 1;
        }
        let (place, is_closed) = (reading.place, reading.is_closed);
        if is_closed {
            self.forget(channel);
            return None;
        }
        self.unconfirmed.insert(place);
        Some(place)
    }

    /// The channels that are read, or that the bus still reads to us.
    pub(crate) fn all(&self) -> impl Iterator<Item = Channel> {
        self.channels.keys().copied()
    }

    /// Whether the bus has confirmed a channel.
    pub(crate) fn is_confirmed(&self, channel: Channel) -> bool {
        let reading = self.channels.get(&channel);
        reading.is_some_and(|it| it.asked == Asked::Confirmed)
    }

    /// There is a new connection, which has to be asked for all.
    pub(crate) fn connected(&mut self) {
        self.is_connected = true;
        for channel in self.channels.keys().copied().collect::<Vec<_>>() {
            self.give_turn(channel);
        }
    }

    /// The connection is gone: nothing is confirmed any more.
    pub(crate) fn lost(&mut self) {
        if !mem::take(&mut self.is_connected) {
            return;
        }
        self.asked = 0;
        self.turns.clear();
        self.channels.retain(|_, reading| !reading.is_closed);
        shrink_map(&mut self.channels);
        for reading in self.channels.values_mut() {
            reading.asked = Asked::Nothing;
            reading.turn = None;
        }
        self.unconfirmed = self.channels.values().map(|it| it.place).collect();
        self.unserved.clear();
    }

    /// Notes that somebody waits until all that are read now are confirmed; see [`ready`](Self::ready).
    pub(crate) fn wait(&mut self, mark: Mark, now: Instant) {
        let is_over = |since: Instant| now.duration_since(since) >= PATIENCE;
        while (self.waiting.front()).is_some_and(|(since, ..)| is_over(*since)) {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, mark, self.last));
    }

    /// The next of those who wait, and wait for nothing any more.
    pub(crate) fn ready(&mut self) -> Option<Mark> {
        let (_, mark, place) = *self.waiting.front()?;
        if !self.are_confirmed(place) {
            return None;
        }
        self.waiting.pop_front();
        Some(mark)
    }

    /// The place of the last channel that was opened; see [`are_confirmed`](Self::are_confirmed).
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether the bus has confirmed all up to a place that it can serve.
    pub(crate) fn are_asked(&self, place: u64) -> bool {
        let mut missing = self.unconfirmed.range(..=place);
        missing.all(|missing| self.unserved.contains(missing))
    }

    /// Whether the bus has confirmed all up to a place.
    pub(crate) fn are_confirmed(&self, place: u64) -> bool {
        let missing = self.unconfirmed.first();
        missing.is_none_or(|missing| *missing > place)
    }

    /// Whether the channel is read.
    pub(crate) fn reads(&self, channel: Channel) -> bool {
        self.reading(channel).is_some()
    }

    /// The room whose channel it is, if it is one that is read.
    pub(crate) fn room(&self, channel: Channel) -> Option<&RoomName> {
        self.reading(channel)?.room.as_ref()
    }

    fn reading(&self, channel: Channel) -> Option<&Reading> {
        self.channels.get(&channel).filter(|it| !it.is_closed)
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

    fn open(all: &mut Subscriptions, name: &[u8]) {
        all.open(room(name), Some(&name.into()));
    }

    /// All that a connection is asked for now.
    fn asks(all: &mut Subscriptions) -> Vec<Change> {
        std::iter::from_fn(|| all.next()).collect()
    }

    fn connected() -> Subscriptions {
        let mut all = Subscriptions::default();
        all.connected();
        all
    }

    #[test]
    fn members_that_come_and_go_do_not_change_what_is_read() {
        let (mut all, now) = (connected(), Instant::now());
        open(&mut all, b"a");
        assert_eq!(asks(&mut all), [Change::Subscribe(room(b"a"))]);
        all.confirmed(room(b"a"));
        for millisecond in 0..1_000 {
            let now = now + Duration::from_millis(millisecond);
            assert_eq!(all.emptied(room(b"a"), now), None);
            open(&mut all, b"a");
            assert_eq!(all.expire(now), None);
        }
        let last = now + Duration::from_secs(2);
        assert_eq!(all.emptied(room(b"a"), last), None);
        assert_eq!(all.expire(last + LINGER / 2), None);
        assert!(all.reads(room(b"a")));
        assert_eq!(asks(&mut all), []);
        assert_eq!(all.expire(last + LINGER), Some(room(b"a")));
        assert_eq!(all.expire(last + LINGER), None);
        assert!(!all.reads(room(b"a")) && all.rooms() == 0 && all.empty.capacity() == 0);
        assert_eq!(asks(&mut all), [Change::Unsubscribe(room(b"a"))]);
        assert!(all.channels.is_empty() && all.due().is_none());
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
        assert_eq!(all.channels.len(), MOST_EMPTY);
    }

    #[test]
    fn who_waits_is_told_when_all_that_were_read_then_are_confirmed() {
        let (mut all, now) = (connected(), Instant::now());
        open(&mut all, b"a");
        open(&mut all, b"b");
        all.wait((0, 1), now);
        open(&mut all, b"c");
        all.wait((0, 2), now);
        all.confirmed(room(b"a"));
        assert_eq!(all.ready(), None);
        all.confirmed(room(b"b"));
        assert_eq!(all.ready(), Some((0, 1)));
        assert_eq!(all.ready(), None);
        // The connection goes: all three have to be confirmed again.
        all.lost();
        all.connected();
        all.confirmed(room(b"c"));
        assert_eq!(all.ready(), None);
        all.confirmed(room(b"a"));
        all.confirmed(room(b"b"));
        assert_eq!(all.ready(), Some((0, 2)));
        assert!(all.are_confirmed(all.last()));
        all.wait((0, 3), now);
        assert_eq!(all.ready(), Some((0, 3)));
    }

    #[test]
    fn who_waits_while_the_bus_is_away_is_forgotten_in_time() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        open(&mut all, b"a");
        for second in 0..100_u32 {
            all.wait((0, second), now + Duration::from_secs(second.into()));
        }
        assert!(all.waiting.len() <= 10);
    }

    #[test]
    fn a_room_that_is_given_up_keeps_nobody_waiting() {
        let (mut all, now) = (connected(), Instant::now());
        open(&mut all, b"a");
        all.wait((0, 1), now);
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        assert_eq!(all.ready(), Some((0, 1)));
        assert!(all.are_confirmed(all.last()));
    }

    #[test]
    fn a_bus_that_confirms_nothing_is_asked_for_a_part_and_gets_the_rest_later() {
        let mut all = connected();
        let name = |number: usize| room(&number.to_le_bytes());
        for number in 0..3 * MOST_ASKED {
            open(&mut all, &number.to_le_bytes());
        }
        let first = asks(&mut all);
        assert_eq!(first.len(), MOST_ASKED);
        for number in 0..MOST_ASKED / 2 {
            all.confirmed(name(number));
        }
        assert_eq!(asks(&mut all).len(), MOST_ASKED / 2);
        // Another connection is asked for all again.
        all.lost();
        assert_eq!(asks(&mut all), []);
        all.connected();
        let mut asked = 0;
        loop {
            let part = asks(&mut all);
            if part.is_empty() {
                break;
            }
            assert!(part.len() <= MOST_ASKED);
            asked += part.len();
            for change in part {
                let Change::Subscribe(channel) = change else {
                    panic!("nothing was given up");
                };
                all.confirmed(channel);
            }
        }
        assert_eq!(asked, 3 * MOST_ASKED);
        assert!(all.are_confirmed(all.last()));
    }

    #[test]
    fn rooms_that_come_and_go_while_the_bus_does_not_answer_cost_nothing() {
        let (mut all, mut now) = (connected(), Instant::now());
        for number in 0..10 * MOST_ASKED {
            let name = number.to_le_bytes();
            open(&mut all, &name);
            asks(&mut all);
            all.emptied(room(&name), now);
            now += LINGER;
            all.expire(now);
        }
        // Those that the bus was asked for have to be given up once it has answered.
        assert_eq!(all.channels.len(), MOST_ASKED);
        assert!(all.turns.len() <= MOST_ASKED);
        let asked: Vec<_> = all.channels.keys().copied().collect();
        for channel in &asked {
            all.confirmed(*channel);
        }
        let given_up = asks(&mut all);
        assert_eq!(given_up.len(), MOST_ASKED);
        let is_given_up = |it: &Change| matches!(it, Change::Unsubscribe(_));
        assert!(given_up.iter().all(is_given_up));
        assert!(all.channels.is_empty() && all.turns.is_empty());
    }

    #[test]
    fn a_room_that_gets_a_member_while_it_is_given_up_is_read() {
        let (mut all, now) = (connected(), Instant::now());
        open(&mut all, b"a");
        asks(&mut all);
        // Before the bus has answered.
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        open(&mut all, b"a");
        assert!(!all.are_confirmed(all.last()));
        all.confirmed(room(b"a"));
        assert!(all.are_confirmed(all.last()) && all.reads(room(b"a")));
        assert_eq!(asks(&mut all), []);
        // Before the bus was asked to stop.
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        open(&mut all, b"a");
        assert_eq!(asks(&mut all), []);
        assert!(all.are_confirmed(all.last()) && all.reads(room(b"a")));
        // After that.
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        assert_eq!(asks(&mut all), [Change::Unsubscribe(room(b"a"))]);
        open(&mut all, b"a");
        assert_eq!(asks(&mut all), [Change::Subscribe(room(b"a"))]);
        assert!(!all.are_confirmed(all.last()));
        assert_eq!(all.rooms(), 1);
    }

    #[test]
    fn what_nobody_serves_keeps_the_rest_from_nothing_and_is_asked_for_when_it_is_served() {
        let mut all = connected();
        open(&mut all, b"a");
        open(&mut all, b"b");
        let last = all.last();
        assert_eq!(asks(&mut all).len(), 2);
        all.unserved(room(b"a"));
        assert!(!all.are_asked(last));
        all.confirmed(room(b"b"));
        assert!(all.are_asked(last) && !all.are_confirmed(last));
        assert!(asks(&mut all).is_empty() && all.asked == 0);
        all.ask_again(room(b"a"));
        assert!(!all.are_asked(last));
        assert_eq!(asks(&mut all), [Change::Subscribe(room(b"a"))]);
        all.confirmed(room(b"a"));
        assert!(all.are_confirmed(last));
        // The server of one has let it go.
        all.ask_again(room(b"b"));
        assert!(!all.are_confirmed(last));
        assert_eq!(asks(&mut all), [Change::Subscribe(room(b"b"))]);
        // Two answers come, as it was asked twice.
        all.ask_again(room(b"b"));
        assert_eq!(asks(&mut all).len(), 1);
        all.confirmed(room(b"b"));
        all.confirmed(room(b"b"));
        assert!(all.are_confirmed(last) && all.asked == 0);
        all.ask_again(room(b"unknown"));
        all.unserved(room(b"unknown"));
        assert!(asks(&mut all).is_empty());
    }

    #[test]
    fn a_room_that_is_given_up_is_not_asked_for_again() {
        let (mut all, now) = (connected(), Instant::now());
        open(&mut all, b"a");
        asks(&mut all);
        all.confirmed(room(b"a"));
        all.emptied(room(b"a"), now);
        all.expire(now + LINGER);
        all.ask_again(room(b"a"));
        assert!(asks(&mut all).is_empty() && all.channels.is_empty());
        assert!(all.unserved.is_empty() && all.unconfirmed.is_empty());
    }
}
