//! Bad messages, as the owner hears of them: the first of a client, code and second at once, the others as a count.
//!
//! A client can send bad messages faster than an owner can look at them. So the number of events about them depends on
//! the clients and on time, never on how many messages a client sends. The metrics count each of them.

use std::{io::Write, mem, rc::Rc, time::Duration};

use rustc_hash::FxHashMap;
use tokio::time::sleep;

use crate::{
    border::{event::Event, handle::Handle},
    shard::Shard,
};

/// How long bad messages are counted before the owner hears how many there were.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the engine refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadCode {
    /// It is no envelope.
    BadMessage,
    /// There is no route of that name.
    NoRoute,
    /// It came too soon after the others.
    RateLimited,
}

impl BadCode {
    const ALL: [Self; 3] = [Self::BadMessage, Self::NoRoute, Self::RateLimited];

    /// The code in the `$error`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "BAD_MESSAGE",
            Self::NoRoute => "NO_ROUTE",
            Self::RateLimited => "RATE_LIMITED",
        }
    }
}

/// Of one client and code: nothing yet, or how many have come since the first.
type Counts = [Option<u32>; BadCode::ALL.len()];

/// What has been counted within this second. It holds only clients that sent a bad message in it.
#[derive(Debug, Default)]
pub(crate) struct BadMessages {
    counts: FxHashMap<Handle, Counts>,
}

impl BadMessages {
    /// Counts one; true for the first of its client and code, which the owner hears of at once.
    fn count(&mut self, handle: Handle, code: BadCode) -> bool {
        match &mut self.counts.entry(handle).or_default()[code as usize] {
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
}

impl Shard {
    /// Tells the owner of a bad message, or counts it. `payload` is that of its `$error`.
    pub(crate) fn tell_bad(self: &Rc<Self>, handle: Handle, code: BadCode, payload: &[u8]) {
        let mut bad = self.bad.borrow_mut();
        let is_quiet = bad.counts.is_empty();
        if bad.count(handle, code) {
            self.tell(handle, &Event::Bad { payload });
        }
        if is_quiet {
            tokio::task::spawn_local(tell_rest(self.clone()));
        }
    }

    /// Tells the owner of what was counted of one client, before it hears of that client's end.
    pub(crate) fn tell_rest_of(&self, handle: Handle) {
        let counts = self.bad.borrow_mut().counts.remove(&handle);
        if let Some(counts) = counts {
            self.tell_counts(handle, counts);
        }
    }

    fn tell_counts(&self, handle: Handle, counts: Counts) {
        for (code, count) in BadCode::ALL.into_iter().zip(counts) {
            let Some(count @ 1..) = count else {
                continue;
            };
            let mut payload = Vec::new();
            let name = code.name();
            write!(
                payload,
                r#"{{"code":"{name}","message":"more of the same within a second","count":{count}}}"#
            )
            .expect("a vector takes every write");
            self.tell(handle, &Event::Bad { payload: &payload });
        }
    }
}

/// Ends the second that began with the first bad message.
async fn tell_rest(shard: Rc<Shard>) {
    sleep(INTERVAL).await;
    // Taken whole, so that the memory of a crowd goes with it.
    let counts = mem::take(&mut shard.bad.borrow_mut().counts);
    for (handle, counts) in counts {
        shard.tell_counts(handle, counts);
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
        assert_eq!(bad.counts[&Handle(1)], [Some(0), Some(1), None]);
    }
}
