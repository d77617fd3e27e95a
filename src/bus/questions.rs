//! Questions about the members of rooms that concern all processes: those that an owner here asks, and those of other processes.
//!
//! A question goes to all processes, and each answers on the channel of the asker, in parts if there are many ids. The owner hears the
//! answers as one, in parts that it asks for, as from a shard.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    border::{
        command::Asks,
        event::Event,
        handle::{ClientId, Process},
        mailbox::Mail,
        owner::OwnerNumber,
    },
    bus::{channels::Channel, control::Note, parts::Hands, processes::Processes},
    shrink::shrink_map,
};

/// How long other processes have to answer, a little less than a second for the whole way.
const PATIENCE: Duration = Duration::from_millis(950);
/// How many questions may be under way.
const MOST_ASKED: usize = 4_096;
/// How many ids are held for owners, with those that they have not taken. Answers past that count as missing.
const MOST_IDS: usize = 4 * 1024 * 1024;
/// Most ids of one part for an owner: 40 KiB of text.
const PART: usize = 1_024;
/// How many questions of others may wait. Past that, they get no answer.
const MOST_PENDING: usize = 256;
/// How many questions of others the shards get at once.
const MOST_ANSWERING: usize = 8;
/// Past so many ids that wait to leave, the shards get no question.
const MOST_READY: usize = 1024 * 1024;
/// Bytes of one part for another process, and of its fields beside ids.
const MESSAGE: usize = 64 * 1024;
const FIELDS: usize = 128;

/// A question of an owner.
struct Asked {
    owner: OwnerNumber,
    question: u32,
    asks: Asks,
    room: Arc<[u8]>,
    stage: Stage,
    /// How many processes have not answered.
    missing: usize,
    size: u64,
    ids: Vec<ClientId>,
}

/// How far a question is.
enum Stage {
    /// The other processes are not known yet.
    Held,
    /// These have not answered in full, and the question ends then.
    Open(HashMap<Process, Progress>, Instant),
    /// The owner has so many of the ids.
    Told(usize),
}

/// How much of its answer a process has sent.
#[derive(Debug, Default)]
struct Progress {
    parts: u32,
    ids: u64,
}

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

/// The questions of one process.
#[derive(Default)]
pub(crate) struct Questions {
    last: u64,
    asked: HashMap<u64, Asked>,
    /// Ids that `asked` holds.
    held: usize,
    last_answering: u32,
    /// Questions of others that the shards have not got.
    pending: VecDeque<Answering>,
    answering: HashMap<u32, Answering>,
    /// Answers that leave, as there is room.
    ready: VecDeque<Answering>,
    /// Ids that `ready` holds.
    ready_ids: usize,
}

impl Questions {
    /// Takes a question of an owner.
    pub(crate) fn ask(
        &mut self,
        (owner, question): (OwnerNumber, u32),
        asks: Asks,
        room: &[u8],
        hands: &Hands<'_>,
    ) {
        if self.asked.len() >= MOST_ASKED {
            let (missing, size, ids) = (1, 0, &[][..]);
            let event = Event::Elsewhere {
                question,
                missing,
                size,
                ids,
            };
            return hands.tell(owner, &event);
        }
        self.last += 1;
        let asked = Asked {
            owner,
            question,
            asks,
            room: room.into(),
            stage: Stage::Held,
            missing: 0,
            size: 0,
            ids: Vec::new(),
        };
        self.asked.insert(self.last, asked);
    }

    /// Tells more of an answer.
    pub(crate) fn more(&mut self, owner: OwnerNumber, question: u32, hands: &Hands<'_>) {
        let is_it = |it: &Asked| {
            it.owner == owner && it.question == question && matches!(it.stage, Stage::Told(_))
        };
        let found = self.asked.iter().find(|(_, it)| is_it(it));
        if let Some(number) = found.map(|(number, _)| *number) {
            self.tell(number, hands);
        }
    }

    /// Takes a part of the answer of a process.
    pub(crate) fn hear(
        &mut self,
        process: Process,
        number: u64,
        (place, size): (u32, u64),
        ids: &[ClientId],
        hands: &Hands<'_>,
    ) {
        let Some(asked) = self.asked.get_mut(&number) else {
            return;
        };
        let Stage::Open(waiting, _) = &mut asked.stage else {
            return;
        };
        let Some(progress) = waiting.get_mut(&process) else {
            return;
        };
        // A part is missing, or came twice.
        if progress.parts != place || self.held + ids.len() > MOST_IDS {
            return;
        }
        progress.parts += 1;
        progress.ids += ids.len() as u64;
        let has_more = asked.asks == Asks::Ids && progress.ids < size && !ids.is_empty();
        if asked.asks == Asks::Ids {
            asked.ids.extend_from_slice(ids);
            self.held += ids.len();
        } else {
            asked.size = asked.size.saturating_add(size);
        }
        if has_more {
            return;
        }
        waiting.remove(&process);
        if waiting.is_empty() {
            self.tell(number, hands);
        }
    }

    /// A process has ended, so it has no clients.
    pub(crate) fn ended(&mut self, process: Process, hands: &Hands<'_>) {
        let mut done = Vec::new();
        for (number, asked) in &mut self.asked {
            if let Stage::Open(waiting, _) = &mut asked.stage
                && waiting.remove(&process).is_some()
                && waiting.is_empty()
            {
                done.push(*number);
            }
        }
        for number in done {
            self.tell(number, hands);
        }
    }

    /// Does what is due. `is_away` is whether the bus has been found to be away.
    pub(crate) fn advance(&mut self, processes: &Processes, is_away: bool, hands: &mut Hands<'_>) {
        let now = hands.now;
        let mut done = Vec::new();
        for (number, asked) in &mut self.asked {
            match &mut asked.stage {
                Stage::Held | Stage::Open(..) if is_away => {
                    asked.missing = 1;
                    done.push(*number);
                }
                Stage::Held if processes.are_known(now) => {
                    let waiting: HashMap<_, _> = processes
                        .all()
                        .map(|it| (it, Progress::default()))
                        .collect();
                    let note = Note::Question {
                        number: *number,
                        asks: asked.asks,
                        room: &asked.room,
                    };
                    if waiting.is_empty() {
                        done.push(*number);
                    } else if hands.post(Channel::Everybody, note) {
                        asked.stage = Stage::Open(waiting, now + PATIENCE);
                    } else {
                        asked.missing = waiting.len();
                        done.push(*number);
                    }
                }
                Stage::Open(waiting, until) if *until <= now => {
                    asked.missing = waiting.len();
                    done.push(*number);
                }
                _ => {}
            }
        }
        for number in done {
            self.tell(number, hands);
        }
        if !self.answering.is_empty() {
            self.answering.retain(|_, it| now < it.until);
            shrink_map(&mut self.answering);
        }
        self.start(hands);
        self.send(hands);
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let until = |it: &Asked| match it.stage {
            Stage::Open(_, until) => Some(until),
            _ => None,
        };
        let asked = self.asked.values().filter_map(until);
        asked
            .chain(self.answering.values().map(|it| it.until))
            .min()
    }

    /// Whether nobody here has asked anything that is not answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Forgets the answers for owners that are gone.
    pub(crate) fn tidy(&mut self, hands: &Hands<'_>) {
        let mut freed = 0;
        self.asked.retain(|_, it| {
            let stays = hands.owner(it.owner).is_some();
            freed += if stays { 0 } else { it.ids.len() };
            stays
        });
        self.held -= freed;
        shrink_map(&mut self.asked);
    }

    /// Tells the next part of an answer to its owner.
    fn tell(&mut self, number: u64, hands: &Hands<'_>) {
        let Some(asked) = self.asked.get_mut(&number) else {
            return;
        };
        let told = match asked.stage {
            Stage::Told(told) => told,
            _ => 0,
        };
        let part = asked.ids[told..].chunks(PART).next().unwrap_or_default();
        let size = match asked.asks {
            Asks::Ids => asked.ids.len() as u64,
            Asks::Size | Asks::Clients => asked.size,
        };
        let event = Event::Elsewhere {
            question: asked.question,
            missing: asked.missing,
            size,
            ids: part,
        };
        hands.tell(asked.owner, &event);
        let told = told + part.len();
        if told < asked.ids.len() {
            asked.stage = Stage::Told(told);
            return;
        }
        self.held -= asked.ids.len();
        self.asked.remove(&number);
        shrink_map(&mut self.asked);
    }

    // Questions of other processes.

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
        while self.answering.len() < MOST_ANSWERING && self.ready_ids < MOST_READY {
            let Some(mut next) = self.pending.pop_front() else {
                break;
            };
            if next.until <= hands.now {
                continue;
            }
            self.last_answering = self.last_answering.wrapping_add(1);
            let key = self.last_answering;
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
        while hands.queue.has_room() {
            let Some(answer) = self.ready.front_mut() else {
                break;
            };
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
            let is_sent =
                answer.until > hands.now && hands.post(Channel::Process(answer.asker), note);
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

    const OTHERS: [Process; 2] = [Process([2; 6]), Process([3; 6])];
    const SECOND: Duration = Duration::from_secs(1);

    /// A process that knows the others.
    fn settled(here: &mut Here) -> Processes {
        let mut processes = Processes::new(true, here.now);
        let now = here.now;
        processes.connected(now, &mut here.hands());
        for other in OTHERS {
            processes.hear(other, Some(SECOND * 60), false, now);
        }
        here.now += SECOND;
        here.posted();
        processes
    }

    fn ids(count: usize) -> Vec<ClientId> {
        (0..count).map(|_| ClientId::random()).collect()
    }

    fn ask(here: &mut Here, questions: &mut Questions, number: u32, asks: Asks) {
        let owner = here.owner.number;
        questions.ask((owner, number), asks, b"a", &here.hands());
    }

    #[test]
    fn a_question_waits_until_all_are_known_and_ends_with_the_last_answer() {
        let mut here = Here::new();
        let mut questions = Questions::default();
        let unknown = Processes::new(true, here.now);
        ask(&mut here, &mut questions, 7, Asks::Ids);
        questions.advance(&unknown, false, &mut here.hands());
        assert!(here.posted().is_empty());
        let processes = settled(&mut here);
        questions.advance(&processes, false, &mut here.hands());
        assert_eq!(here.posted().len(), 1);
        let [one, two] = OTHERS;
        let all = ids(3);
        questions.hear(one, 1, (0, 2), &all[..1], &here.hands());
        // A part that came twice, one that comes too early, and a stranger's change nothing.
        questions.hear(one, 1, (0, 2), &all[..1], &here.hands());
        questions.hear(one, 1, (2, 2), &all[..1], &here.hands());
        questions.hear(Process([9; 6]), 1, (0, 1), &all[..1], &here.hands());
        questions.hear(two, 1, (0, 1), &all[1..2], &here.hands());
        assert_eq!(here.heard(), "");
        questions.hear(one, 1, (1, 2), &all[2..], &here.hands());
        let [a, b, c] = [all[0], all[1], all[2]];
        assert_eq!(here.heard(), format!(r#"[[7,0,3,"{a}","{b}","{c}"]]"#));
        assert!(questions.asked.is_empty() && questions.held == 0);
    }

    #[test]
    fn whoever_has_not_answered_in_time_is_missing_and_whoever_has_ended_is_not() {
        let mut here = Here::new();
        let mut questions = Questions::default();
        let processes = settled(&mut here);
        ask(&mut here, &mut questions, 1, Asks::Size);
        questions.advance(&processes, false, &mut here.hands());
        questions.hear(OTHERS[0], 1, (0, 5), &[], &here.hands());
        here.now += PATIENCE;
        questions.advance(&processes, false, &mut here.hands());
        assert_eq!(here.heard(), "[[1,1,5]]");
        ask(&mut here, &mut questions, 2, Asks::Clients);
        questions.advance(&processes, false, &mut here.hands());
        questions.hear(OTHERS[0], 2, (0, 5), &[], &here.hands());
        questions.ended(OTHERS[1], &here.hands());
        assert_eq!(here.heard(), "[[2,0,5]]");
        ask(&mut here, &mut questions, 3, Asks::Size);
        questions.advance(&processes, true, &mut here.hands());
        assert_eq!(here.heard(), "[[3,1,0]]");
    }

    #[test]
    fn an_owner_gets_many_ids_in_parts_as_it_asks_for_them() {
        let mut here = Here::new();
        let mut questions = Questions::default();
        let processes = settled(&mut here);
        ask(&mut here, &mut questions, 1, Asks::Ids);
        questions.advance(&processes, false, &mut here.hands());
        let many = ids(PART + 1);
        let size = many.len() as u64;
        questions.hear(OTHERS[0], 1, (0, size), &many, &here.hands());
        questions.hear(OTHERS[1], 1, (0, 0), &[], &here.hands());
        assert_eq!(here.heard().matches('-').count(), 4 * PART);
        let owner = here.owner.number;
        questions.more(owner, 2, &here.hands());
        assert_eq!(here.heard(), "");
        questions.more(owner, 1, &here.hands());
        assert_eq!(here.heard().matches('-').count(), 4);
        assert_eq!(questions.held, 0);
    }

    #[test]
    fn ids_that_are_held_are_bounded_and_those_of_owners_that_are_gone_are_freed() {
        let mut here = Here::new();
        let mut questions = Questions::default();
        let processes = settled(&mut here);
        ask(&mut here, &mut questions, 1, Asks::Ids);
        questions.advance(&processes, false, &mut here.hands());
        questions.held = MOST_IDS - 1;
        questions.hear(OTHERS[0], 1, (0, 2), &ids(2), &here.hands());
        assert_eq!(questions.held, MOST_IDS - 1);
        questions.held = 0;
        questions.hear(OTHERS[0], 1, (0, 2), &ids(1), &here.hands());
        let gone = here.owner.clone();
        let other = here.parts.owners.enter(|| (), false, 1, 1);
        here.parts.owners.leave(&gone, 1);
        here.parts.owners.left(&gone);
        questions.tidy(&here.hands());
        assert!(questions.asked.is_empty() && questions.held == 0 && other.is_some());
        for number in 0..=u32::try_from(MOST_ASKED).unwrap() {
            ask(&mut here, &mut questions, number, Asks::Size);
        }
        assert_eq!(questions.asked.len(), MOST_ASKED);
    }

    #[test]
    fn a_question_of_another_process_is_answered_in_parts_that_fit() {
        let mut here = Here::new();
        here.parts.config.max_message = 1_024;
        let mut questions = Questions::default();
        let processes = settled(&mut here);
        questions.take(OTHERS[0], 5, Asks::Ids, b"a", &here.hands());
        let [Mail::Question(key, Asks::Ids, room)] = &here.mail(0)[..] else {
            panic!("no question");
        };
        assert_eq!(&room[..], b"a");
        questions.counted(*key, 100, ids(100), &here.hands());
        questions.counted(*key, 20, ids(20), &here.hands());
        questions.advance(&processes, false, &mut here.hands());
        let parts = here.posted();
        let mut clients = 0;
        for (expected, (channel, bytes)) in (0..).zip(&parts) {
            assert_eq!(*channel, Channel::Process(OTHERS[0]));
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
        assert!(questions.ready.is_empty() && questions.ready_ids == 0);
    }

    #[test]
    fn a_flood_of_questions_of_others_is_bounded_and_passes() {
        let mut here = Here::new();
        let mut questions = Questions::default();
        let processes = settled(&mut here);
        for number in 0..10_000 {
            questions.take(OTHERS[0], number, Asks::Ids, b"a", &here.hands());
        }
        assert_eq!(questions.answering.len(), MOST_ANSWERING);
        assert_eq!(questions.pending.len(), MOST_PENDING);
        here.now += PATIENCE;
        questions.advance(&processes, false, &mut here.hands());
        assert!(questions.answering.is_empty() && questions.pending.is_empty());
        assert!(here.posted().is_empty());
    }
}
