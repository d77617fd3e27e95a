//! Reports bad messages to the owner. The owner gets the first one of a client, code and second at once, and the number of the
//! others at the end of the second.
//!
//! A client can send bad messages faster than an owner can look at them. So the number of events about them depends on
//! the clients and on time, never on how many messages a client sends. The metrics count each of them.

use std::mem;

use rustc_hash::FxHashMap;

use crate::{
    border::handle::Handle,
    message::error::{BadCode, ErrorPayload},
};

/// Of one client and code: nothing yet, or how many have come since the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([Option<u32>; BadCode::ALL.len()]);

impl Counts {
    /// The text for bad messages that were only counted.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = Vec<u8>> {
        let codes = BadCode::ALL.into_iter().zip(self.0);
        codes.filter_map(|(code, count)| {
            let count @ 1.. = count? else {
                return None;
            };
            let payload = ErrorPayload {
                message: "the client sent more such messages within a second",
                count: Some(count),
                ..ErrorPayload::new(code)
            };
            Some(payload.to_json())
        })
    }
}

/// The counts of this second. They hold only clients that sent a bad message in it.
#[derive(Debug, Default)]
pub(crate) struct BadMessages {
    counts: FxHashMap<Handle, Counts>,
}

impl BadMessages {
    /// Whether none has come within this second.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts one; true for the first of its client and code, which the owner hears of at once.
    pub(crate) fn count(&mut self, handle: Handle, code: BadCode) -> bool {
        match &mut self.counts.entry(handle).or_default().0[code as usize] {
            Some(more) => {
                *more = more.saturating_add(1);
                false
            }
            none => {
                *none = Some(0);
                true
            }
        }
    }

    /// Takes what has been counted of one client.
    pub(crate) fn take_of(&mut self, handle: Handle) -> Option<Counts> {
        self.counts.remove(&handle)
    }

    /// Takes all that has been counted, so that the memory of a crowd goes with it.
    pub(crate) fn take(&mut self) -> FxHashMap<Handle, Counts> {
        mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_client_and_code_is_told() {
        let mut bad = BadMessages::default();
        assert!(bad.count(Handle(1), BadCode::NoRoute));
        assert!(!bad.count(Handle(1), BadCode::NoRoute));
        assert!(bad.count(Handle(1), BadCode::BadMessage));
        assert!(bad.count(Handle(2), BadCode::NoRoute));
        assert_eq!(
            bad.counts[&Handle(1)],
            Counts([Some(0), Some(1), None, None, None, None, None])
        );
    }
}
