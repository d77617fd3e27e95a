//! What the owner hears of the bus, as JSON.

use std::{collections::BTreeMap, mem, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    border::{event::Event, handle::Handle, owner::Owner},
    bus::link::{Cause, Failure},
};

/// How often the owner hears of troubles.
const TOLD: Duration = Duration::from_secs(1);

/// What went wrong with single messages. The owner hears of each kind once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// A publication is too long for the bus.
    TooLong,
    /// Too much waits for a bus that is there.
    NoRoom,
    /// The bus did not take a publication.
    Refused,
    /// A message makes no sense.
    Malformed,
    /// Messages came faster than this process takes them.
    Discarded,
}

impl Trouble {
    fn text(self, count: u64, last: &str) -> String {
        match self {
            Self::TooLong => format!(
                "{count} publications stayed in this process, as they are longer than maxMessage; the last one {last}"
            ),
            Self::NoRoom => format!(
                "{count} publications stayed in this process, as too many others waited for the bus; the last one {last}"
            ),
            Self::Refused => format!("the bus refused {count} publications; the last one: {last}"),
            Self::Malformed => {
                format!("{count} messages on the bus made no sense; the last one: {last}")
            }
            Self::Discarded => {
                format!("at least {count} messages of other processes were lost, {last}")
            }
        }
    }
}

/// The troubles of this second.
#[derive(Debug)]
pub(crate) struct Troubles {
    /// How many of each kind, and the last of them.
    noted: BTreeMap<Trouble, (u64, String)>,
    /// When they were told last.
    told: Instant,
}

impl Troubles {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            noted: BTreeMap::new(),
            told: now,
        }
    }

    pub(crate) fn note(&mut self, trouble: Trouble, last: String) {
        self.note_many(trouble, 1, last);
    }

    pub(crate) fn note_many(&mut self, trouble: Trouble, more: u64, last: String) {
        let (count, text) = self.noted.entry(trouble).or_default();
        *count += more;
        *text = last;
    }

    /// When there is something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.noted.is_empty()).then(|| self.told + TOLD)
    }

    /// What to tell now. Begins anew each second.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<String> {
        if now.duration_since(self.told) < TOLD {
            return Vec::new();
        }
        self.told = now;
        let troubles = mem::take(&mut self.noted).into_iter();
        let tell = |(trouble, (count, last)): (Trouble, (u64, String))| {
            json!({ "trouble": trouble.text(count, &last) }).to_string()
        };
        troubles.map(tell).collect()
    }
}

/// Whether there is a connection, as far as the owner has heard.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Why there is none; `None` if there is one, or nobody knows yet.
    heard: Option<Cause>,
}

impl Outage {
    /// There is no connection. Returns why, if the owner has to hear of it.
    pub(crate) fn lost(&mut self, place: &str, failure: &Failure) -> Option<String> {
        let is_news = match (self.heard, failure.cause) {
            (None, _) => true,
            (Some(_), Cause::Away) => false,
            (Some(heard), cause) => heard != cause,
        };
        if !is_news {
            return None;
        }
        self.heard = Some(failure.cause);
        Some(format!("the bus at {place} is away: {}", failure.text))
    }

    /// There is a connection. Returns what the owner has to hear; it is no news for users if there was no outage.
    pub(crate) fn over(&mut self, place: &str) -> String {
        let was_away = self.heard.take().is_some();
        let message = format!("the bus at {place} is back");
        json!({ "connected": true, "wasAway": was_away, "message": message }).to_string()
    }

    /// Whether the owner has heard that there is no connection.
    pub(crate) fn is_told(&self) -> bool {
        self.heard.is_some()
    }
}

/// A request with this number is done.
pub(crate) fn done(number: u32) -> String {
    json!({ "done": number }).to_string()
}

/// The bus has all that was published, except for so many.
pub(crate) fn flushed(number: u32, failed: u64) -> String {
    if failed == 0 {
        return done(number);
    }
    let error = format!("the bus has not confirmed {failed} publications");
    json!({ "done": number, "error": error }).to_string()
}

/// There is no connection.
pub(crate) fn away(why: &str) -> String {
    json!({ "connected": false, "message": why }).to_string()
}

/// There is a connection; said to those who do not report it.
pub(crate) fn connected() -> String {
    json!({ "connected": true, "wasAway": false }).to_string()
}

/// Nothing follows.
pub(crate) fn ended() -> String {
    json!({ "ended": true }).to_string()
}

/// Tells an owner that nothing follows.
pub(crate) fn tell_ended(owner: &Owner) {
    let value = &ended();
    tell(owner, &Event::Bus { value });
}

/// Tells an owner something that concerns no connection.
pub(crate) fn tell(owner: &Owner, event: &Event<'_>) {
    if let Some(inbox) = owner.inboxes.first() {
        inbox.publish_one(Handle::NONE, event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(cause: Cause) -> Failure {
        Failure {
            cause,
            text: "why".into(),
        }
    }

    #[test]
    fn an_outage_is_told_once_and_again_when_it_becomes_the_credentials() {
        let mut outage = Outage::default();
        let mut lost = |cause| outage.lost("h:1", &failure(cause)).is_some();
        assert!(lost(Cause::Away));
        assert!(!lost(Cause::Away));
        assert!(lost(Cause::Credentials));
        assert!(!lost(Cause::Credentials));
        assert!(!lost(Cause::Away));
        assert!(outage.over("h:1").contains(r#""wasAway":true"#));
        assert!(outage.over("h:1").contains(r#""wasAway":false"#));
        assert!(outage.lost("h:1", &failure(Cause::Away)).is_some());
    }

    #[test]
    fn troubles_of_one_kind_are_one_text_each_second() {
        let now = Instant::now();
        let mut troubles = Troubles::new(now);
        assert_eq!(troubles.due(), None);
        for last in ["a", "b"] {
            troubles.note(Trouble::Malformed, last.into());
        }
        troubles.note(Trouble::TooLong, "has 7 bytes".into());
        assert_eq!(troubles.due(), Some(now + TOLD));
        assert!(troubles.take(now + TOLD / 2).is_empty());
        let told = troubles.take(now + TOLD);
        assert_eq!(told.len(), 2);
        assert!(told[1].contains("2 messages") && told[1].contains(": b"));
        assert!(troubles.due().is_none() && troubles.take(now + 2 * TOLD).is_empty());
    }
}
