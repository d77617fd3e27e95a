//! Which other processes there are, as far as they have announced themselves.
//!
//! A process announces itself again and again, and says how often. Whoever is silent for five times as long is forgotten. A process that
//! connects asks who is there, and all answer within half a second.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    border::handle::Process,
    bus::{channels::Channel, control::Note, numbers::random, parts::Hands},
    shrink::shrink_map,
};

/// A process announces itself so often at most.
const SHORTEST: Duration = Duration::from_secs(1);
/// An interval that another process may name.
const LONGEST: Duration = Duration::from_secs(600);
/// All processes together announce themselves about so many times a second at most.
const RATE: u32 = 50;
/// After so many of its own intervals without a word, a process is forgotten.
const PATIENCE: u32 = 5;
/// How long after it has asked a process waits until it knows all others.
const SETTLING: Duration = Duration::from_secs(1);
/// The time over which the answers are spread: so much for each process, and not more than this.
const SPREAD: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];
/// Up to so many get an answer on their own channels. One announcement on the channel for everybody answers more.
const MOST_ANSWERS: usize = 4;
/// How many processes are known. Past that, others are not.
pub(crate) const MOST: usize = 16_384;
/// How often those that are silent are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// What is known of another process.
#[derive(Debug, Clone, Copy)]
struct Other {
    interval: Duration,
    /// When it is forgotten.
    until: Instant,
}

/// The other processes.
#[derive(Debug)]
pub(crate) struct Processes {
    /// Whether this process has clients to be asked about.
    serves: bool,
    others: HashMap<Process, Other>,
    /// Since when all have been asked; `None` while the bus is away.
    asked: Option<Instant>,
    /// When this process announces itself next. A publisher announces nothing, and has a turn then to notice when it was suspended.
    next: Instant,
    /// When those are looked for that are silent.
    look: Instant,
    /// Who has asked, and when it is answered.
    askers: Vec<Process>,
    answer: Option<Instant>,
}

impl Processes {
    pub(crate) fn new(serves: bool, now: Instant) -> Self {
        Self {
            serves,
            others: HashMap::new(),
            asked: None,
            next: now,
            look: now,
            askers: Vec::new(),
            answer: None,
        }
    }

    /// The bus is there, and what is posted leaves from then on.
    pub(crate) fn connected(&mut self, from: Instant, hands: &mut Hands<'_>) {
        for other in self.others.values_mut() {
            // Its announcements were not to be heard, perhaps.
            other.until = other.until.max(from + other.interval * PATIENCE);
        }
        self.asked = Some(from);
        // Processes that come back together do not stay in step.
        self.next = from + share(self.interval());
        self.post(Channel::Everybody, true, hands);
    }

    /// The bus is away.
    pub(crate) fn lost(&mut self) {
        self.asked = None;
        self.answer = None;
        self.askers = Vec::new();
    }

    /// Takes an announcement of a process that goes on.
    pub(crate) fn hear(
        &mut self,
        process: Process,
        interval: Option<Duration>,
        asks: bool,
        now: Instant,
    ) {
        let is_known = self.others.contains_key(&process);
        if let Some(interval) = interval
            && (is_known || self.others.len() < MOST)
        {
            let interval = interval.clamp(SHORTEST, LONGEST);
            let until = now + interval * PATIENCE;
            self.others.insert(process, Other { interval, until });
        }
        if asks && self.serves && self.asked.is_some() {
            if self.askers.len() <= MOST_ANSWERS && !self.askers.contains(&process) {
                self.askers.push(process);
            }
            let spread = (SPREAD[0] * self.count()).min(SPREAD[1]);
            self.answer.get_or_insert_with(|| now + share(spread));
        }
    }

    /// A process has ended.
    pub(crate) fn ended(&mut self, process: Process) {
        self.others.remove(&process);
        shrink_map(&mut self.others);
    }

    /// Says that this process ends.
    pub(crate) fn end(&mut self, hands: &mut Hands<'_>) {
        if self.serves && self.asked.is_some() {
            let note = Note::Announcement {
                interval: None,
                asks: false,
                ends: true,
            };
            hands.post(Channel::Everybody, note);
        }
        self.lost();
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, hands: &mut Hands<'_>) {
        let now = hands.now;
        if self.asked.is_none() {
            return;
        }
        if self.look <= now {
            self.look = now + LOOK;
            self.others.retain(|_, other| now < other.until);
            shrink_map(&mut self.others);
        }
        if self.next <= now {
            self.next = now + self.interval();
            if self.serves {
                self.announce(hands);
            }
        }
        if self.answer.is_some_and(|at| at <= now) {
            if self.askers.len() > MOST_ANSWERS {
                self.announce(hands);
                return;
            }
            self.answer = None;
            for asker in std::mem::take(&mut self.askers) {
                self.post(Channel::Process(asker), false, hands);
            }
        }
    }

    /// When something is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let settled = Some(self.asked? + SETTLING).filter(|it| *it > now);
        let next = Some(self.next);
        next.into_iter().chain(self.answer).chain(settled).min()
    }

    /// Whether all that are there are known.
    pub(crate) fn are_known(&self, now: Instant) -> bool {
        (self.asked).is_some_and(|asked| asked + SETTLING <= now)
    }

    pub(crate) fn has(&self, process: Process) -> bool {
        self.others.contains_key(&process)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Process> {
        self.others.keys().copied()
    }

    /// Tells everybody, also those who have asked.
    fn announce(&mut self, hands: &mut Hands<'_>) {
        self.answer = None;
        self.askers.clear();
        self.next = hands.now + self.interval();
        self.post(Channel::Everybody, false, hands);
    }

    fn post(&self, channel: Channel, asks: bool, hands: &mut Hands<'_>) {
        let note = Note::Announcement {
            interval: self.serves.then(|| self.interval()),
            asks,
            ends: false,
        };
        hands.post(channel, note);
    }

    /// How many processes there are, with this one.
    fn count(&self) -> u32 {
        u32::try_from(self.others.len() + 1).unwrap_or(u32::MAX)
    }

    fn interval(&self) -> Duration {
        (SHORTEST * self.count() / RATE).max(SHORTEST)
    }
}

/// A random part of a time.
fn share(whole: Duration) -> Duration {
    whole / 1_000 * u32::try_from(random() % 1_001).unwrap_or_default()
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::bus::{control, parts::testing::Here};

    fn process(number: u32) -> Process {
        let [a, b, c, d] = number.to_le_bytes();
        Process([2, 0, a, b, c, d])
    }

    const EVERY: Option<Duration> = Some(SHORTEST);

    /// A process that has connected, and what it has posted.
    fn connected(here: &mut Here) -> Processes {
        let mut processes = Processes::new(true, here.now);
        let now = here.now;
        processes.connected(now, &mut here.hands());
        processes
    }

    /// The channels and contents of the announcements since the last look.
    fn announced(here: &mut Here) -> Vec<(Channel, Option<Duration>, bool, bool)> {
        let said = |(channel, bytes): (Channel, Vec<u8>)| match control::read(&bytes).unwrap().note
        {
            Note::Announcement {
                interval,
                asks,
                ends,
            } => (channel, interval, asks, ends),
            other => panic!("{other:?}"),
        };
        here.posted().into_iter().map(said).collect()
    }

    #[test]
    fn a_process_asks_when_it_connects_and_then_announces_itself_every_second() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        let all = Channel::Everybody;
        assert_eq!(announced(&mut here), [(all, EVERY, true, false)]);
        let mut count = 0;
        for _ in 0..100 {
            here.now += Duration::from_millis(100);
            processes.advance(&mut here.hands());
            count += announced(&mut here).len();
        }
        assert!((9..=11).contains(&count), "{count}");
        processes.end(&mut here.hands());
        assert_eq!(announced(&mut here), [(all, None, false, true)]);
    }

    #[test]
    fn the_more_processes_there_are_the_more_seldom_each_announces_itself() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        for (others, seconds) in [(0, 1), (49, 1), (99, 2), (999, 20)] {
            for number in 0..others {
                processes.hear(process(number), EVERY, false, here.now);
            }
            assert_eq!(
                processes.interval(),
                Duration::from_secs(seconds),
                "{others}"
            );
        }
    }

    #[test]
    fn a_process_is_forgotten_after_five_of_its_own_intervals() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        let seldom = Some(Duration::from_secs(20));
        processes.hear(process(1), EVERY, false, here.now);
        processes.hear(process(2), seldom, false, here.now);
        processes.hear(process(3), EVERY, false, here.now);
        processes.ended(process(3));
        assert!(!processes.has(process(3)));
        for (seconds, left) in [(4, 2), (6, 1), (90, 1), (101, 0)] {
            let start = here.now;
            here.now += Duration::from_secs(seconds);
            processes.advance(&mut here.hands());
            assert_eq!(processes.all().count(), left, "after {seconds} s");
            here.now = start;
            processes.look = start;
        }
    }

    #[test]
    fn an_outage_makes_nobody_forgotten() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        processes.hear(process(1), EVERY, false, here.now);
        processes.lost();
        here.now += Duration::from_secs(60);
        processes.advance(&mut here.hands());
        let now = here.now;
        processes.connected(now, &mut here.hands());
        processes.advance(&mut here.hands());
        assert!(processes.has(process(1)));
        assert!(!processes.are_known(now) && processes.are_known(now + SETTLING));
        here.now += SHORTEST * PATIENCE;
        processes.advance(&mut here.hands());
        assert!(!processes.has(process(1)));
    }

    #[test]
    fn whoever_asks_is_answered_within_half_a_second_and_many_by_one_announcement() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        processes.next = here.now + Duration::from_secs(100);
        announced(&mut here);
        for (askers, expected) in [(1, 1), (MOST_ANSWERS, MOST_ANSWERS), (1_000, 1)] {
            for number in 0..u32::try_from(askers).unwrap() {
                processes.hear(process(number), None, true, here.now);
            }
            assert!(processes.askers.len() <= MOST_ANSWERS + 1);
            here.now += SPREAD[1];
            processes.advance(&mut here.hands());
            let answers = announced(&mut here);
            assert_eq!(answers.len(), expected, "{askers} have asked");
            for (channel, interval, asks, _) in answers {
                assert_eq!(channel == Channel::Everybody, askers > MOST_ANSWERS);
                assert_eq!((interval, asks), (EVERY, false));
            }
            assert_eq!(processes.answer, None);
            processes.next = here.now + Duration::from_secs(100);
        }
    }

    #[test]
    fn a_publisher_asks_and_is_not_there_for_others() {
        let mut here = Here::new();
        let mut processes = Processes::new(false, here.now);
        let now = here.now;
        processes.connected(now, &mut here.hands());
        assert_eq!(
            announced(&mut here),
            [(Channel::Everybody, None, true, false)]
        );
        processes.hear(process(1), None, true, now);
        here.now += Duration::from_secs(10);
        processes.advance(&mut here.hands());
        processes.end(&mut here.hands());
        assert_eq!(announced(&mut here), []);
        // One like it is known to nobody.
        assert_eq!(processes.all().count(), 0);
    }

    #[test]
    fn the_processes_that_are_known_are_bounded() {
        let mut here = Here::new();
        let mut processes = connected(&mut here);
        let forever = Some(Duration::MAX);
        for number in 0..=u32::try_from(MOST).unwrap() {
            processes.hear(process(number), forever, false, here.now);
        }
        assert_eq!(processes.all().count(), MOST);
        assert!(processes.others.values().all(|it| it.interval == LONGEST));
    }
}
