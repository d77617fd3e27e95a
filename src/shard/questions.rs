//! Answers an owner's questions about the members of rooms.
//!
//! An answer is of the moment of its question. A long one goes to the owner in parts, each when the owner asks for it. So neither of the
//! two works on a large room for long at once, and the inbox does not fill up with ids.

#[cfg(feature = "bus")]
use crate::border::mailbox::Mail;
use crate::{
    border::{
        codes::limit::MAX_QUESTIONS,
        command::Asks,
        event::{Event, FaultCode},
        handle::{ClientId, Handle},
        owner::OwnerNumber,
    },
    shard::{Shard, parts::LongAnswer},
};

/// Most ids of one part: 40 KiB of text.
const PART: usize = 1_024;

/// Begins to answer a question.
pub(crate) fn answer(shard: &Shard, owner: OwnerNumber, question: u32, asks: Asks, room: &[u8]) {
    let ids = match asks {
        Asks::Size => {
            tell(shard, owner, question, size_of(shard, room), &[]);
            return;
        }
        Asks::Ids => ids_in(shard, room),
        // The owner knows its own.
        Asks::Clients => return,
    };
    if ids.len() > PART && open(shard, owner) >= MAX_QUESTIONS {
        shard.fault(
            FaultCode::Internal,
            "the owner asked too many questions at once",
        );
        // It gets an answer all the same, or it would wait for ever.
        tell(shard, owner, question, 0, &[]);
        return;
    }
    tell_part(shard, owner, question, LongAnswer { ids, told: 0 });
}

/// Answers a question of another process, to the bus.
#[cfg(feature = "bus")]
pub(crate) fn answer_bus(shard: &Shard, question: u32, asks: Asks, room: &[u8]) {
    let Some(bus) = &shard.shared.bus else {
        return;
    };
    let (size, ids) = match asks {
        Asks::Size => (size_of(shard, room), Vec::new()),
        Asks::Ids => {
            let ids = ids_in(shard, room);
            (ids.len(), ids)
        }
        Asks::Clients => (shard.registry.borrow().open().len(), Vec::new()),
    };
    bus.mailbox.post(Mail::Counted {
        question,
        size,
        ids,
    });
}

fn size_of(shard: &Shard, room: &[u8]) -> usize {
    shard.registry.borrow().members(room).len()
}

fn ids_in(shard: &Shard, room: &[u8]) -> Vec<ClientId> {
    let (registry, slots) = (shard.registry.borrow(), shard.slots.borrow());
    let members = registry.members(room).iter();
    let connections = members.filter_map(|&slot| slots.in_slot(slot));
    connections.map(|connection| connection.id()).collect()
}

/// Tells the next part of an answer, if the shard with this number is to do so.
pub(crate) fn go_on(shard: &Shard, owner: OwnerNumber, question: u32, index: u32) {
    if index != shard.index {
        return;
    }
    let mut parts = shard.parts.borrow_mut();
    let answer = parts.of_mut(owner);
    let answer = answer.and_then(|part| part.questions.remove(&question));
    drop(parts);
    if let Some(answer) = answer {
        tell_part(shard, owner, question, answer);
    }
}

/// How many answers an owner has not asked the rest of.
fn open(shard: &Shard, owner: OwnerNumber) -> usize {
    let parts = shard.parts.borrow();
    parts.of(owner).map_or(0, |part| part.questions.len())
}

fn tell_part(shard: &Shard, owner: OwnerNumber, question: u32, mut answer: LongAnswer) {
    let size = answer.ids.len();
    let part = answer.ids[answer.told..].chunks(PART).next();
    let part = part.unwrap_or_default();
    tell(shard, owner, question, size, part);
    answer.told += part.len();
    if answer.told < size
        && let Some(part) = shard.parts.borrow_mut().of_mut(owner)
    {
        part.questions.insert(question, answer);
    }
}

fn tell(shard: &Shard, owner: OwnerNumber, question: u32, size: usize, ids: &[ClientId]) {
    let event = Event::Members {
        question,
        size,
        ids,
    };
    if let Some(part) = shard.parts.borrow_mut().of_mut(owner) {
        shard.write(part, Handle(shard.index), &event);
    }
}
