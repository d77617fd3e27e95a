//! Checks what comes from other processes, and turns it into commands for the shards.

use tokio::time::Instant;

use crate::{
    border::{handle::Process, writer::CommandWriter},
    bus::{
        channels::Channel,
        format::{self, Publication, Receivers},
        seen::{Novelty, Seen},
        subscriptions::Subscriptions,
    },
    message::protocol::Kind,
};

/// How much of an unknown name the owner gets to see. It may have megabytes.
const MOST_SHOWN: usize = 64;

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is a command now. So many before it never came.
    Taken { missed: u64 },
    /// It is ours, was here before, or is for nobody here.
    Ignored { missed: u64 },
    /// It makes no sense, for this reason. So many before it never came.
    Malformed { why: String, missed: u64 },
}

impl Outcome {
    fn malformed(why: impl Into<String>) -> Self {
        let (why, missed) = (why.into(), 0);
        Self::Malformed { why, missed }
    }
}

/// Reads messages of other processes.
pub(crate) struct Incoming {
    pub(crate) process: Process,
    /// Whether it has clients that something can be for. A publisher has none, and no route is known to it.
    pub(crate) delivers: bool,
    pub(crate) seen: Seen,
}

impl Incoming {
    /// Reads a message that came on a channel, and writes it as a command.
    pub(crate) fn take(
        &mut self,
        (channel, bytes): (Channel, &[u8]),
        subscriptions: &Subscriptions,
        now: Instant,
        number_of: impl Fn(&str) -> Option<(u32, Kind)>,
        out: &mut CommandWriter,
    ) -> Outcome {
        let publication = match format::read(bytes) {
            Ok(Some(publication)) => publication,
            Ok(None) => return Outcome::Ignored { missed: 0 },
            Err(malformed) => return Outcome::malformed(malformed.to_string()),
        };
        if !self.delivers {
            return Outcome::Ignored { missed: 0 };
        }
        // Also what was under way when we stopped reading a channel.
        if publication.process == Some(self.process) || !subscriptions.reads(channel) {
            return Outcome::Ignored { missed: 0 };
        }
        if !belongs(&publication.to, channel, subscriptions) {
            return Outcome::malformed("its receivers do not belong to its channel");
        }
        let missed = match self.novelty(&publication, channel, now) {
            Novelty::New { missed } => missed,
            Novelty::Old => return Outcome::Ignored { missed: 0 },
        };
        if may_come_twice(&publication) && !self.seen.id(publication.id, now) {
            return Outcome::Ignored { missed };
        }
        let Some((route, kind)) = number_of(publication.route) else {
            let name = publication.route.escape_debug().take(MOST_SHOWN);
            let name: String = name.collect();
            let why = format!("this process has no outgoing route {name}");
            return Outcome::Malformed { why, missed };
        };
        let payload = match (kind, publication.payload, publication.bytes) {
            (Kind::Json, payload, None) => payload.map(str::as_bytes),
            (Kind::Bytes, None, Some(bytes)) => Some(bytes),
            _ => {
                let why = "its payload is of another kind than its route".to_owned();
                return Outcome::Malformed { why, missed };
            }
        };
        if !publication.except.is_empty() {
            out.except_ids(&publication.except);
        }
        match &publication.to {
            Receivers::Everybody => out.broadcast(route, payload),
            Receivers::Rooms(rooms) => out.rooms(route, payload, rooms),
            Receivers::Clients(clients) => out.to_ids(route, payload, clients),
        };
        Outcome::Taken { missed }
    }

    fn novelty(
        &mut self,
        publication: &Publication<'_>,
        channel: Channel,
        now: Instant,
    ) -> Novelty {
        match (publication.process, publication.number) {
            (Some(process), Some(number)) => self.seen.number(channel, process, number, now),
            _ => Novelty::New { missed: 0 },
        }
    }
}

/// The number of a publication tells whether it is new on its channel. Its id is needed only where that is not enough.
fn may_come_twice(publication: &Publication<'_>) -> bool {
    let is_numbered = publication.process.is_some() && publication.number.is_some();
    !is_numbered || matches!(&publication.to, Receivers::Rooms(rooms) if rooms.len() > 1)
}

/// Whether receivers may come on a channel. The name of the room travels inside, as a channel has only a hash of it.
fn belongs(to: &Receivers<'_>, channel: Channel, subscriptions: &Subscriptions) -> bool {
    match (channel, to) {
        (Channel::Everybody, _) | (Channel::Process(_), Receivers::Clients(_)) => true,
        (Channel::Room(_), Receivers::Rooms(rooms)) => subscriptions
            .room(channel)
            .is_some_and(|name| rooms.contains(&&**name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::format::Number;

    const OTHER: Process = Process([2; 6]);

    struct Here {
        incoming: Incoming,
        subscriptions: Subscriptions,
        out: CommandWriter,
    }

    impl Here {
        fn new() -> Self {
            let mut subscriptions = Subscriptions::default();
            subscriptions.open(Channel::Everybody, None);
            for name in [&b"a"[..], b"b"] {
                subscriptions.open(Channel::of_room(name), Some(&name.into()));
            }
            Self {
                incoming: Incoming {
                    process: Process([1; 6]),
                    delivers: true,
                    seen: Seen::default(),
                },
                subscriptions,
                out: CommandWriter::new(),
            }
        }

        fn take(&mut self, channel: Channel, publication: &Publication<'_>) -> Outcome {
            let mut bytes = Vec::new();
            format::write(&mut bytes, publication);
            let number_of = |name: &str| (name == "on").then_some((4, Kind::Json));
            let now = Instant::now();
            let came = (channel, &*bytes);
            (self.incoming).take(came, &self.subscriptions, now, number_of, &mut self.out)
        }
    }

    fn publication<'a>(number: u64, rooms: &[&'a [u8]]) -> Publication<'a> {
        Publication {
            id: [1; 16],
            process: Some(OTHER),
            number: Some(Number { epoch: 1, number }),
            route: "on",
            to: Receivers::Rooms(rooms.to_vec()),
            except: Vec::new(),
            payload: Some("{}"),
            bytes: None,
        }
    }

    #[test]
    fn a_payload_of_another_kind_than_its_route_is_malformed() {
        let rooms: [&[u8]; 1] = [b"a"];
        for (payload, bytes) in [(None, Some(&b"x"[..])), (Some("1"), Some(b"x"))] {
            let mut test = Here::new();
            let publication = Publication {
                payload,
                bytes,
                ..publication(1, &rooms)
            };
            let outcome = test.take(Channel::of_room(b"a"), &publication);
            assert!(matches!(outcome, Outcome::Malformed { .. }), "{outcome:?}");
        }
    }

    #[test]
    fn a_message_for_two_rooms_is_delivered_at_its_first_arrival_to_both() {
        let mut here = Here::new();
        let both = publication(1, &[b"a", b"b"]);
        let taken = Outcome::Taken { missed: 0 };
        assert_eq!(here.take(Channel::of_room(b"a"), &both), taken);
        let mut expected = CommandWriter::new();
        expected.rooms(4, Some(b"{}"), &[b"a", b"b"]);
        assert_eq!(here.out.bytes(), expected.bytes());
        let again = here.take(Channel::of_room(b"b"), &both);
        assert_eq!(again, Outcome::Ignored { missed: 0 });
        assert_eq!(here.out.bytes(), expected.bytes());
        // Its number counts on the other channel too.
        let next = here.take(Channel::of_room(b"b"), &publication(3, &[b"b"]));
        assert_eq!(next, Outcome::Taken { missed: 1 });
    }

    #[test]
    fn a_replay_and_an_own_publication_are_ignored() {
        let mut here = Here::new();
        let room = Channel::of_room(b"a");
        let one = publication(1, &[b"a"]);
        assert_eq!(here.take(room, &one), Outcome::Taken { missed: 0 });
        assert_eq!(here.take(room, &one), Outcome::Ignored { missed: 0 });
        let unnumbered = Publication {
            number: None,
            ..one.clone()
        };
        assert_eq!(here.take(room, &unnumbered), Outcome::Taken { missed: 0 });
        assert_eq!(here.take(room, &unnumbered), Outcome::Ignored { missed: 0 });
        let own = Publication {
            process: Some(Process([1; 6])),
            ..publication(9, &[b"a"])
        };
        assert_eq!(here.take(room, &own), Outcome::Ignored { missed: 0 });
    }

    #[test]
    fn what_does_not_belong_to_its_channel_or_has_no_route_is_malformed() {
        let mut here = Here::new();
        let is_malformed = |outcome| matches!(outcome, Outcome::Malformed { .. });
        let elsewhere = publication(1, &[b"b"]);
        assert!(is_malformed(here.take(Channel::of_room(b"a"), &elsewhere)));
        let everybody = Publication {
            to: Receivers::Everybody,
            ..publication(1, &[])
        };
        assert!(is_malformed(here.take(Channel::of_room(b"a"), &everybody)));
        let unknown = Publication {
            route: "off",
            ..publication(1, &[b"a"])
        };
        assert!(is_malformed(here.take(Channel::of_room(b"a"), &unknown)));
        assert!(here.out.bytes().is_empty());
        // Many rooms may travel to everybody.
        let taken = here.take(Channel::Everybody, &publication(1, &[b"a", b"z"]));
        assert_eq!(taken, Outcome::Taken { missed: 0 });
    }

    #[test]
    fn a_hole_before_a_message_that_cannot_be_delivered_counts() {
        let mut here = Here::new();
        let room = Channel::of_room(b"a");
        here.take(room, &publication(1, &[b"a"]));
        let long = "x".repeat(100_000);
        let newer = Publication {
            route: &long,
            ..publication(4, &[b"a"])
        };
        let Outcome::Malformed { why, missed } = here.take(room, &newer) else {
            panic!("there is no such route");
        };
        assert_eq!(missed, 2);
        assert!(why.len() < 200);
        let next = here.take(room, &publication(5, &[b"a"]));
        assert_eq!(next, Outcome::Taken { missed: 0 });
    }

    #[test]
    fn a_publisher_ignores_what_is_for_clients() {
        let mut here = Here::new();
        here.incoming.delivers = false;
        let outcome = here.take(Channel::of_room(b"a"), &publication(1, &[b"a"]));
        assert_eq!(outcome, Outcome::Ignored { missed: 0 });
        assert!(here.out.bytes().is_empty());
    }

    #[test]
    fn a_channel_that_is_not_read_any_more_is_ignored() {
        let mut here = Here::new();
        let late = publication(1, &[b"gone"]);
        let outcome = here.take(Channel::of_room(b"gone"), &late);
        assert_eq!(outcome, Outcome::Ignored { missed: 0 });
    }
}
