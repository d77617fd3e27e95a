//! Questions of the owners here about the members of rooms that concern all processes. [`answers`](super::answers) has those of others.
//!
//! A question goes to all processes, and each answers on the channel of the asker, in parts if there are many ids. The owner hears the
//! answers as one, in parts that it asks for, as from a shard.
//!
//! This process reads the channel on which it asks, so its question comes back to it. The bus keeps that channel in order, so by then
//! this process has heard all announcements that were published before the question. No answer is whole without that.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    border::{
        command::Asks,
        event::Event,
        handle::{ClientId, Process},
        owner::OwnerNumber,
    },
    bus::{
        channels::Channel,
        control::Note,
        parts::Hands,
        processes::{MOST, Processes},
    },
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
    /// How many processes have not answered. At least 1 if there may be some that are not known.
    missing: usize,
    size: u64,
    ids: Vec<ClientId>,
}

/// How far a question is.
enum Stage {
    /// The other processes are not known yet.
    Held,
    /// It was asked.
    Open(Open),
    /// The owner has so many of the ids.
    Told(usize),
}

/// A question that was asked.
struct Open {
    /// Those that have not answered in full.
    waiting: HashMap<Process, Progress>,
    /// Those that have, or have ended. Their further answers do not count.
    done: HashSet<Process>,
    /// Whether it has come back.
    is_back: bool,
    /// When it ends.
    until: Instant,
}

impl Open {
    fn new(processes: &Processes, until: Instant) -> Self {
        let mut open = Self {
            waiting: HashMap::new(),
            done: HashSet::new(),
            is_back: false,
            until,
        };
        open.wait_for(processes);
        open
    }

    /// Waits for all that are known.
    fn wait_for(&mut self, processes: &Processes) {
        for process in processes.all() {
            if !self.done.contains(&process) {
                self.waiting.entry(process).or_default();
            }
        }
    }

    /// How far a process that answers is; `None` if its answer does not count. A process may answer before its announcement is here.
    fn progress(&mut self, process: Process) -> Option<&mut Progress> {
        let has_room = self.waiting.len() + self.done.len() < MOST;
        let is_known = self.waiting.contains_key(&process);
        if self.done.contains(&process) || !(is_known || has_room) {
            return None;
        }
        Some(self.waiting.entry(process).or_default())
    }

    /// Nothing more is to come from a process.
    fn finish(&mut self, process: Process) {
        let was_waiting = self.waiting.remove(&process).is_some();
        if was_waiting || self.waiting.len() + self.done.len() < MOST {
            self.done.insert(process);
        }
    }

    /// Whether all have answered.
    fn is_whole(&self) -> bool {
        self.is_back && self.waiting.is_empty()
    }

    /// How many are missing if it ends now.
    fn missing(&self) -> usize {
        self.waiting.len().max(usize::from(!self.is_back))
    }
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
        let Stage::Open(open) = &mut asked.stage else {
            return;
        };
        let Some(progress) = open.progress(process) else {
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
        open.finish(process);
        if open.is_whole() {
            self.tell(number, hands);
        }
    }

    /// A question of this process has come back. All that were there when it was published are known by now, and have got it too.
    pub(crate) fn came_back(&mut self, number: u64, processes: &Processes, hands: &Hands<'_>) {
        let Some(asked) = self.asked.get_mut(&number) else {
            return;
        };
        if let Stage::Open(open) = &mut asked.stage
            && !open.is_back
        {
            open.is_back = true;
            open.wait_for(processes);
            if open.is_whole() {
                self.tell(number, hands);
            }
        }
    }

    /// A process has ended, so it has no clients.
    pub(crate) fn ended(&mut self, process: Process, hands: &Hands<'_>) {
        let mut done = Vec::new();
        for (number, asked) in &mut self.asked {
            if let Stage::Open(open) = &mut asked.stage {
                open.finish(process);
                if open.is_whole() {
                    done.push(*number);
                }
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
                    let open = Open::new(processes, now + PATIENCE);
                    let note = Note::Question {
                        number: *number,
                        asks: asked.asks,
                        room: &asked.room,
                    };
                    // Also if nobody is known: somebody may just have come.
                    if hands.post(Channel::Everybody, note) {
                        asked.stage = Stage::Open(open);
                    } else {
                        asked.missing = open.missing();
                        done.push(*number);
                    }
                }
                Stage::Open(open) if open.until <= now => {
                    asked.missing = open.missing();
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
        let until = |it: &Asked| match &it.stage {
            Stage::Open(open) => Some(open.until),
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
mod tests;
