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
    /// The owner's number for it.
    number: u32,
    /// The client's number for it; `None` once it is aborted.
    id: Option<u64>,
    /// Bytes of its payload.
    bytes: usize,
}

/// Up to so many calls are looked for one by one. That is quicker than any table.
const FEW: usize = 32;

/// The open calls of one client. It keeps a little memory for the next one.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(Option<Box<Open>>);

#[derive(Debug, Default)]
struct Open {
    calls: Vec<Call>,
    /// Where they are, once there were more than a few. It goes with the last of them.
    places: Option<Places>,
    bytes: usize,
    last: u32,
}

/// Places of calls in their list.
#[derive(Debug, Default)]
struct Places {
    numbers: FxHashMap<u32, usize>,
    // The client chooses its ids. With a hash that it can predict, it slows down only its own calls, of which few are open.
    ids: FxHashMap<u64, usize>,
}

impl Places {
    fn put(&mut self, call: &Call, place: usize) {
        self.numbers.insert(call.number, place);
        self.ids.extend(call.id.map(|id| (id, place)));
    }
}

impl Open {
    fn place(&self, number: u32) -> Option<usize> {
        match &self.places {
            None => self.calls.iter().position(|it| it.number == number),
            Some(places) => places.numbers.get(&number).copied(),
        }
    }

    fn place_of_id(&self, id: u64) -> Option<usize> {
        match &self.places {
            None => self.calls.iter().position(|it| it.id == Some(id)),
            Some(places) => places.ids.get(&id).copied(),
        }
    }

    fn push(&mut self, call: Call) {
        self.bytes += call.bytes;
        self.calls.push(call);
        if let Some(places) = &mut self.places {
            let place = self.calls.len() - 1;
            places.put(&self.calls[place], place);
        } else if self.calls.len() > FEW {
            let places = self.places.insert(Places::default());
            for (place, call) in self.calls.iter().enumerate() {
                places.put(call, place);
            }
        }
    }

    fn remove(&mut self, number: u32) -> Option<Call> {
        let place = self.place(number)?;
        let call = self.calls.swap_remove(place);
        self.bytes -= call.bytes;
        if let Some(places) = &mut self.places {
            places.numbers.remove(&call.number);
            if let Some(id) = call.id {
                places.ids.remove(&id);
            }
            if let Some(moved) = self.calls.get(place) {
                places.put(moved, place);
            }
        }
        Some(call)
    }
}

impl OpenCalls {
    /// Whether a call with this `id` is open.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.number(id).is_some()
    }

    /// The owner's number for the open call with this `id`.
    pub(crate) fn number(&self, id: u64) -> Option<u32> {
        let open = self.0.as_ref()?;
        Some(open.calls.get(open.place_of_id(id)?)?.number)
    }

    /// The `id` of a call; `None` if there is no such call, or it was aborted.
    pub(crate) fn id(&self, number: u32) -> Option<u64> {
        let open = self.0.as_ref()?;
        open.calls.get(open.place(number)?)?.id
    }

    /// Opens a call with a payload of so many bytes; returns the owner's number for it.
    pub(crate) fn open(
        &mut self,
        id: u64,
        bytes: usize,
        limits: Limits,
    ) -> Result<u32, CallRefused> {
        let open = self.0.get_or_insert_default();
        if open.place_of_id(id).is_some() {
            return Err(CallRefused::InUse);
        }
        // One may always be larger.
        let is_heavy = !open.calls.is_empty() && open.bytes + bytes > limits.bytes;
        if open.calls.len() >= limits.count as usize || is_heavy {
            return Err(CallRefused::TooMany);
        }
        let mut number = open.last.wrapping_add(1);
        while open.place(number).is_some() {
            number = number.wrapping_add(1);
        }
        open.last = number;
        let id = Some(id);
        open.push(Call { number, id, bytes });
        Ok(number)
    }

    /// Frees the `id` of a call, which keeps its place; returns the owner's number for it.
    pub(crate) fn abort(&mut self, id: u64) -> Option<u32> {
        let open = self.0.as_mut()?;
        let place = open.place_of_id(id)?;
        if let Some(places) = &mut open.places {
            places.ids.remove(&id);
        }
        let call = open.calls.get_mut(place)?;
        call.id = None;
        Some(call.number)
    }

    /// Ends a call; returns its `id` unless it was aborted.
    pub(crate) fn settle(&mut self, number: u32) -> Option<u64> {
        let open = self.0.as_mut()?;
        let call = open.remove(number)?;
        if open.places.is_some() && open.calls.is_empty() {
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
    fn every_call_is_found_among_few_and_among_many() {
        let limits = Limits {
            count: 1_000,
            ..LIMITS
        };
        for count in [1, FEW, FEW + 1, 3 * FEW] {
            let mut calls = OpenCalls::default();
            let ids = 0..count as u64;
            let opened: Vec<(u64, u32)> = ids
                .map(|id| (id, calls.open(id, 0, limits).unwrap()))
                .collect();
            let (aborted, kept): (Vec<_>, Vec<_>) = opened.iter().partition(|(id, _)| id % 3 == 1);
            for &(id, number) in &aborted {
                assert_eq!(calls.abort(id), Some(number));
                assert_eq!(calls.id(number), None);
                assert_eq!(calls.abort(id), None);
            }
            // From both ends, so that others move into the places of those that go.
            let mut left = kept.clone();
            while let Some((id, number)) = left.pop() {
                assert_eq!(calls.settle(number), Some(id));
                left.reverse();
                for &(id, number) in &left {
                    assert_eq!(
                        (calls.number(id), calls.id(number)),
                        (Some(number), Some(id))
                    );
                }
            }
            for (_, number) in aborted {
                assert_eq!(calls.settle(number), None);
            }
            let open = calls.0.as_ref().map_or(0, |open| open.calls.len());
            assert_eq!(open, 0);
        }
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
