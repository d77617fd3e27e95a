//! Questions of the owners here about the members of rooms that concern all processes. [`answers`](super::answers) has those of others.
//!
//! A question goes to all processes, and each answers on the channel of the asker, in parts if there are many ids. The owner hears the
//! answers as one, in parts that it asks for, as from a shard.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    border::{
        command::Asks,
        event::Event,
        handle::{ClientId, Process},
        owner::OwnerNumber,
    },
    bus::{channels::Channel, control::Note, parts::Hands, processes::Processes},
    shrink::shrink_map,
};

/// How long other processes have to answer, a little less than a second for the whole way.
pub(crate) const PATIENCE: Duration = Duration::from_millis(950);
/// How many questions may be under way.
const MOST_ASKED: usize = 4_096;
/// How many ids are held for owners, with those that they have not taken. Answers past that count as missing.
const MOST_IDS: usize = 4 * 1024 * 1024;
/// Most ids of one part for an owner: 40 KiB of text.
const PART: usize = 1_024;

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

/// The questions of the owners here.
#[derive(Default)]
pub(crate) struct Questions {
    last: u64,
    asked: HashMap<u64, Asked>,
    /// Ids that `asked` holds.
    held: usize,
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
            return hands.parts.tell(owner, &event);
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
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let until = |it: &Asked| match it.stage {
            Stage::Open(_, until) => Some(until),
            _ => None,
        };
        self.asked.values().filter_map(until).min()
    }

    /// Whether nobody here has asked anything that is not answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Forgets the answers for owners that are gone.
    pub(crate) fn tidy(&mut self, hands: &Hands<'_>) {
        let mut freed = 0;
        self.asked.retain(|_, it| {
            let stays = hands.parts.owner(it.owner).is_some();
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
        hands.parts.tell(asked.owner, &event);
        let told = told + part.len();
        if told < asked.ids.len() {
            asked.stage = Stage::Told(told);
            return;
        }
        self.held -= asked.ids.len();
        self.asked.remove(&number);
        shrink_map(&mut self.asked);
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::bus::parts::testing::Here;

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
}
