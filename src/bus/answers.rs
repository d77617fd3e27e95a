//! Answers to the questions of other processes about the members of rooms.
//!
//! The shards answer each question, and their answers leave as one, in parts if there are many ids.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    border::{
        command::Asks,
        handle::{ClientId, Process},
        mailbox::Mail,
    },
    bus::{channels::Channel, control::Note, parts::Hands, questions::PATIENCE},
    shrink::shrink_map,
};

/// How many questions of others may wait. Past that, they get no answer.
const MOST_PENDING: usize = 256;
/// How many questions of others the shards get at once.
const MOST_ANSWERING: usize = 8;
/// Past so many answers that wait to leave, or so many ids in them, the shards get no question.
const MOST_READY: usize = 256;
const MOST_IDS: usize = 1024 * 1024;
/// Bytes of one part for another process, and of its fields beside ids.
const MESSAGE: usize = 64 * 1024;
const FIELDS: usize = 128;

/// A question of another process.
struct Answering {
    asker: Process,
    number: u64,
    asks: Asks,
    room: Arc<[u8]>,
    /// How many shards have not answered.
    waiting: usize,
    size: u64,
    ids: Vec<ClientId>,
    /// Nobody waits for the answer after that.
    until: Instant,
    /// How many parts have left, and how many ids with them.
    parts: u32,
    sent: usize,
}

/// The questions of other processes.
#[derive(Default)]
pub(crate) struct Answers {
    last: u32,
    /// Questions of others that the shards have not got.
    pending: VecDeque<Answering>,
    answering: HashMap<u32, Answering>,
    /// Answers that leave, as there is room. Nobody waits for them either after their time.
    ready: VecDeque<Answering>,
    /// Ids that `ready` holds.
    ready_ids: usize,
}

impl Answers {
    /// Does what is due.
    pub(crate) fn advance(&mut self, hands: &mut Hands<'_>) {
        let now = hands.now;
        if !self.answering.is_empty() {
            self.answering.retain(|_, it| now < it.until);
            shrink_map(&mut self.answering);
        }
        self.send(hands);
        self.start(hands);
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let ready = self.ready.front().map(|it| it.until);
        let answering = self.answering.values().map(|it| it.until);
        answering.chain(ready).min()
    }

    /// Takes a question of another process.
    pub(crate) fn take(
        &mut self,
        asker: Process,
        number: u64,
        asks: Asks,
        room: &[u8],
        hands: &Hands<'_>,
    ) {
        if self.pending.len() < MOST_PENDING {
            self.pending.push_back(Answering {
                asker,
                number,
                asks,
                room: room.into(),
                waiting: 0,
                size: 0,
                ids: Vec::new(),
                until: hands.now + PATIENCE,
                parts: 0,
                sent: 0,
            });
        }
        self.start(hands);
    }

    /// Takes the answer of a shard.
    pub(crate) fn counted(&mut self, key: u32, size: usize, ids: Vec<ClientId>, hands: &Hands<'_>) {
        let Some(answering) = self.answering.get_mut(&key) else {
            return;
        };
        answering.size += size as u64;
        if answering.ids.is_empty() {
            answering.ids = ids;
        } else {
            answering.ids.extend(ids);
        }
        answering.waiting -= 1;
        if answering.waiting == 0
            && let Some(answering) = self.answering.remove(&key)
        {
            self.is_ready(answering);
        }
        self.start(hands);
    }

    /// Asks the shards the next questions.
    fn start(&mut self, hands: &Hands<'_>) {
        let may_start = |it: &Self| {
            let has_room = it.ready.len() < MOST_READY && it.ready_ids < MOST_IDS;
            has_room && it.answering.len() < MOST_ANSWERING
        };
        while may_start(self)
            && let Some(mut next) = self.pending.pop_front()
        {
            if next.until <= hands.now {
                continue;
            }
            self.last = self.last.wrapping_add(1);
            let key = self.last;
            // A shard that has stopped has no clients.
            let asked = hands.parts.shards.iter().filter(|shard| {
                let question = Mail::Question(key, next.asks, next.room.clone());
                shard.post(question).is_none()
            });
            next.waiting = asked.count();
            if next.waiting == 0 {
                self.is_ready(next);
            } else {
                self.answering.insert(key, next);
            }
        }
    }

    fn is_ready(&mut self, answer: Answering) {
        self.ready_ids += answer.ids.len();
        self.ready.push_back(answer);
    }

    /// Sends answers, as long as the application's messages need not wait for them.
    fn send(&mut self, hands: &mut Hands<'_>) {
        let most = hands.parts.config.max_message.min(MESSAGE);
        let most = (most.saturating_sub(FIELDS) / 16).max(1);
        while let Some(answer) = self.ready.front_mut() {
            let is_late = answer.until <= hands.now;
            if !is_late && !hands.queue.has_room() {
                break;
            }
            let part = answer.ids[answer.sent..].chunks(most).next();
            let clients = part.unwrap_or_default().to_vec();
            answer.sent += clients.len();
            let note = Note::Answer {
                number: answer.number,
                place: answer.parts,
                size: answer.size,
                clients,
            };
            answer.parts += 1;
            let is_sent = !is_late && hands.post(Channel::Process(answer.asker), note);
            if !is_sent || answer.sent >= answer.ids.len() {
                self.ready_ids -= answer.ids.len();
                self.ready.pop_front();
            }
        }
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::bus::{control, parts::testing::Here};

    const ASKER: Process = Process([2; 6]);

    fn ids(count: usize) -> Vec<ClientId> {
        (0..count).map(|_| ClientId::random()).collect()
    }

    #[test]
    fn a_question_of_another_process_is_answered_in_parts_that_fit() {
        let mut here = Here::new();
        here.parts.config.max_message = 1_024;
        let mut answers = Answers::default();
        answers.take(ASKER, 5, Asks::Ids, b"a", &here.hands());
        let [Mail::Question(key, Asks::Ids, room)] = &here.mail(0)[..] else {
            panic!("no question");
        };
        assert_eq!(&room[..], b"a");
        answers.counted(*key, 100, ids(100), &here.hands());
        answers.counted(*key, 20, ids(20), &here.hands());
        answers.advance(&mut here.hands());
        let parts = here.posted();
        let mut clients = 0;
        for (expected, (channel, bytes)) in (0..).zip(&parts) {
            assert_eq!(*channel, Channel::Process(ASKER));
            assert!(bytes.len() <= 1_024);
            let note = control::read(bytes).unwrap().note;
            let Note::Answer {
                number,
                place,
                size,
                clients: some,
            } = note
            else {
                panic!("{note:?}");
            };
            assert_eq!((number, place, size), (5, expected, 120));
            clients += some.len();
        }
        assert_eq!((clients, parts.len()), (120, 3));
        assert!(answers.ready.is_empty() && answers.ready_ids == 0);
    }

    #[test]
    fn a_flood_of_questions_of_others_is_bounded_and_passes() {
        let mut here = Here::new();
        let mut answers = Answers::default();
        for number in 0..10_000 {
            answers.take(ASKER, number, Asks::Ids, b"a", &here.hands());
        }
        assert_eq!(answers.answering.len(), MOST_ANSWERING);
        assert_eq!(answers.pending.len(), MOST_PENDING);
        here.now += PATIENCE;
        answers.advance(&mut here.hands());
        assert!(answers.answering.is_empty() && answers.pending.is_empty());
        assert!(here.posted().is_empty());
    }

    #[test]
    fn answers_that_cannot_leave_are_bounded_and_pass() {
        let mut here = Here::new();
        let mut answers = Answers::default();
        while here.queue.has_room() {
            let (all, now) = (Channel::Everybody, here.now);
            here.queue.push_uncounted(all, vec![0; 500_000], now);
        }
        for number in 0..10_000 {
            answers.take(ASKER, number, Asks::Size, b"a", &here.hands());
            for mail in here.mail(0).into_iter().chain(here.mail(1)) {
                let Mail::Question(key, ..) = mail else {
                    panic!("no question");
                };
                answers.counted(key, 1, vec![], &here.hands());
            }
            answers.advance(&mut here.hands());
        }
        assert!(answers.ready.len() <= MOST_READY + MOST_ANSWERING);
        assert_eq!(answers.pending.len(), MOST_PENDING);
        assert!(answers.due().is_some());
        here.now += PATIENCE;
        answers.advance(&mut here.hands());
        assert!(answers.ready.is_empty() && answers.pending.is_empty());
    }
}
