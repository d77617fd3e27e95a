//! The open calls of one client: messages with an `id` whose handlers answer them.
//!
//! The owner goes by a number of its own for each call, as the client may use the `id` of an aborted call again while that
//! call's handler still runs.

use rustc_hash::FxHashMap;

use crate::message::protocol::CallRefused;

/// How many calls there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Calls.
    pub(crate) count: u32,
    /// Bytes of all their payloads.
    pub(crate) bytes: usize,
}

/// One that is open.
#[derive(Debug)]
struct Call {
    /// The client's number for it; `None` once it is aborted.
    id: Option<u64>,
    /// Bytes of its payload.
    bytes: usize,
}

/// Tables with room for more than this are not kept for the next call.
const KEPT: usize = 16;

/// The open calls of one client. It keeps a little memory for the next one.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(Option<Box<Open>>);

#[derive(Debug, Default)]
struct Open {
    calls: FxHashMap<u32, Call>,
    // The client chooses its numbers. With a hash that it can predict, it slows down only its own calls, of which few are open.
    numbers: FxHashMap<u64, u32>,
    bytes: usize,
    last: u32,
}

impl OpenCalls {
    /// Whether a call with this `id` is open.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.number(id).is_some()
    }

    /// The owner's number for the open call with this `id`.
    pub(crate) fn number(&self, id: u64) -> Option<u32> {
        self.0.as_ref()?.numbers.get(&id).copied()
    }

    /// The `id` of a call; `None` if there is no such call, or it was aborted.
    pub(crate) fn id(&self, number: u32) -> Option<u64> {
        self.0.as_ref()?.calls.get(&number)?.id
    }

    /// Opens a call with a payload of so many bytes; returns the owner's number for it.
    pub(crate) fn open(
        &mut self,
        id: u64,
        bytes: usize,
        limits: Limits,
    ) -> Result<u32, CallRefused> {
        let open = self.0.get_or_insert_default();
        if open.numbers.contains_key(&id) {
            return Err(CallRefused::InUse);
        }
        // One may always be larger.
        let is_heavy = !open.calls.is_empty() && open.bytes + bytes > limits.bytes;
        if open.calls.len() >= limits.count as usize || is_heavy {
            return Err(CallRefused::TooMany);
        }
        let mut number = open.last.wrapping_add(1);
        while open.calls.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        open.last = number;
        open.bytes += bytes;
        let id = Some(id);
        open.calls.insert(number, Call { id, bytes });
        open.numbers.extend(id.map(|id| (id, number)));
        Ok(number)
    }

    /// Frees the `id` of a call, which keeps its place; returns the owner's number for it.
    pub(crate) fn abort(&mut self, id: u64) -> Option<u32> {
        let open = self.0.as_mut()?;
        let number = open.numbers.remove(&id)?;
        open.calls.get_mut(&number)?.id = None;
        Some(number)
    }

    /// Ends a call; returns its `id` unless it was aborted.
    pub(crate) fn settle(&mut self, number: u32) -> Option<u64> {
        let open = self.0.as_mut()?;
        let call = open.calls.remove(&number)?;
        open.bytes -= call.bytes;
        if let Some(id) = call.id {
            open.numbers.remove(&id);
        }
        if open.calls.is_empty() && open.calls.capacity() > KEPT {
            // Numbers begin anew. The owner knows none of the old ones any more: it has settled all of them.
            self.0 = None;
        }
        call.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        count: 3,
        bytes: 100,
    };

    #[test]
    fn an_id_is_free_once_its_call_is_answered_or_aborted() {
        let mut calls = OpenCalls::default();
        let first = calls.open(7, 1, LIMITS).unwrap();
        assert_eq!(calls.open(7, 1, LIMITS), Err(CallRefused::InUse));
        assert_eq!(calls.abort(7), Some(first));
        let second = calls.open(7, 1, LIMITS).unwrap();
        assert_ne!(first, second);
        assert_eq!(calls.id(first), None);
        assert_eq!(calls.id(second), Some(7));
        assert_eq!(calls.settle(first), None);
        assert!(calls.has(7));
        assert_eq!(calls.settle(second), Some(7));
        assert!(!calls.has(7));
        assert_eq!(calls.settle(second), None);
    }

    #[test]
    fn an_aborted_call_keeps_its_place_until_it_is_settled() {
        let mut calls = OpenCalls::default();
        let numbers: Vec<u32> = (0..3)
            .map(|id| calls.open(id, 1, LIMITS).unwrap())
            .collect();
        assert_eq!(calls.open(3, 1, LIMITS), Err(CallRefused::TooMany));
        calls.abort(0);
        assert_eq!(calls.open(3, 1, LIMITS), Err(CallRefused::TooMany));
        calls.settle(numbers[0]);
        assert!(calls.open(3, 1, LIMITS).is_ok());
    }

    #[test]
    fn the_memory_of_many_calls_goes_with_the_last_of_them() {
        let mut calls = OpenCalls::default();
        let limits = Limits {
            count: 1_000,
            ..LIMITS
        };
        let numbers: Vec<u32> = (0..1_000)
            .map(|id| calls.open(id, 0, limits).unwrap())
            .collect();
        for number in numbers {
            assert!(calls.settle(number).is_some());
        }
        assert!(calls.0.is_none());
    }

    #[test]
    fn the_payloads_of_open_calls_are_bounded_together() {
        let mut calls = OpenCalls::default();
        let large = calls.open(0, 1_000, LIMITS).unwrap();
        assert_eq!(calls.open(1, 1, LIMITS), Err(CallRefused::TooMany));
        calls.settle(large);
        calls.open(1, 60, LIMITS).unwrap();
        calls.open(2, 40, LIMITS).unwrap();
        assert_eq!(calls.open(3, 1, LIMITS), Err(CallRefused::TooMany));
    }
}
