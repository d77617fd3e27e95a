//! Removes messages of a route that keeps only its latest one, when a newer one comes. Also makes the queue small again.

use std::mem;

use rustc_hash::FxHashMap;

use super::{COPIED, Outbox, chunk::Chunk, places::Places};

/// This many gaps may stay in any queue. In a long queue, a quarter of the entries may be gaps, so that closing them costs only a
/// few entries for each removed message.
const MOST_GAPS: usize = 32;

/// Removes the waiting message of a route that keeps only its latest, unless its first byte has left. Returns how many messages it
/// dropped. Call it before each [`push_latest`](Outbox::push_latest) while the socket is full.
pub(crate) fn drop_latest(outbox: &mut Outbox, route: u32) -> usize {
    let mut dropped = 0;
    if outbox.places.is_none() {
        dropped = coalesce(outbox);
    }
    let places = outbox.places.get_or_insert_default();
    let place = places.newest.remove(&route);
    let Some(index) = place.and_then(|chunk| chunk.checked_sub(places.chunks_left)) else {
        return dropped;
    };
    if index == 0 && outbox.front > 0 {
        return dropped;
    }
    let is_last = index + 1 == outbox.chunks.len();
    places.gaps += usize::from(!is_last);
    let closes_gaps = places.gaps > MOST_GAPS.max(outbox.chunks.len() / 4);
    let taken = mem::replace(&mut outbox.chunks[index], Chunk::Gap);
    outbox.count_out(&taken);
    outbox.bytes -= taken.bytes().len();
    outbox.messages -= 1;
    if is_last {
        outbox.chunks.pop_back();
    } else if closes_gaps {
        dropped += coalesce(outbox);
    }
    outbox.tell();
    dropped + 1
}

/// Removes all messages but the newest one of each route that keeps only its latest. Returns how many it dropped. A message whose
/// first byte has left stays.
pub(crate) fn coalesce(outbox: &mut Outbox) -> usize {
    if outbox.places.is_none() && outbox.chunks.iter().all(|chunk| chunk.latest().is_none()) {
        return 0;
    }
    rebuild(outbox)
}

/// Lets go of memory that is not needed for what waits, if there is much of it. To be asked while the socket is full; what
/// is superseded by then is dropped, and returned as a number.
pub(crate) fn compact(outbox: &mut Outbox) -> usize {
    let waste = wasted(outbox);
    outbox.lasting = outbox.lasting.min(waste);
    // Without new bytes, another look would find nothing to save.
    if waste < outbox.lasting + outbox.bytes / 8 {
        return 0;
    }
    trim(outbox);
    let dropped = rebuild(outbox);
    outbox.lasting = wasted(outbox);
    dropped
}

fn wasted(outbox: &Outbox) -> usize {
    outbox.held() - outbox.bytes
}

/// Lets go of the part of the first chunk that is written.
fn trim(outbox: &mut Outbox) {
    if outbox.front == 0 || outbox.chunks.front().is_none_or(Chunk::is_shared) {
        return;
    }
    let Some(first) = outbox.chunks.pop_front() else {
        return;
    };
    outbox.count_out(&first);
    // Once its first byte has left, no newer message replaces it, so it may become an ordinary one.
    let mut bytes = match first {
        Chunk::Own(bytes) => bytes,
        Chunk::Shared(frames) | Chunk::Latest { frame: frames, .. } => frames.take(),
        Chunk::Gap => Vec::new(),
    };
    bytes.drain(..mem::take(&mut outbox.front));
    bytes.shrink_to_fit();
    let rest = Chunk::Own(bytes);
    outbox.count_in(&rest);
    outbox.chunks.push_front(rest);
}

/// Writes the queue anew without gaps, without what is superseded, and with small chunks put together.
fn rebuild(outbox: &mut Outbox) -> usize {
    let mut newest = FxHashMap::default();
    for (index, chunk) in outbox.chunks.iter().enumerate() {
        if let Some(route) = chunk.latest() {
            newest.insert(route, index);
        }
    }
    let has_latest = !newest.is_empty() || outbox.places.is_some();
    let mut places = Places::default();
    let mut dropped = 0;
    for (index, chunk) in mem::take(&mut outbox.chunks).into_iter().enumerate() {
        outbox.count_out(&chunk);
        let has_begun = index == 0 && outbox.front > 0;
        match chunk {
            Chunk::Gap => {}
            Chunk::Latest { frame, route } => {
                if has_begun || newest[&route] == index {
                    places.insert(route, outbox.chunks.len());
                    outbox.enqueue(Chunk::Latest { frame, route });
                } else {
                    outbox.bytes -= frame.bytes().len();
                    dropped += 1;
                }
            }
            Chunk::Shared(frames) if !has_begun && frames.bytes().len() < COPIED => {
                outbox.copy(frames.bytes());
            }
            Chunk::Own(bytes) if bytes.len() < COPIED => outbox.copy(&bytes),
            other => outbox.enqueue(other),
        }
    }
    outbox.shrink_last();
    outbox.chunks.shrink_to(outbox.chunks.len() * 9 / 8);
    outbox.messages -= dropped;
    if has_latest {
        outbox.places = Some(Box::new(places));
    }
    outbox.tell();
    dropped
}
