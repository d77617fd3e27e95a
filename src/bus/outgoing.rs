//! Turns commands of the owner into publications: one for each channel that has to carry it.

use std::{collections::BTreeMap, mem};

use tokio::time::Instant;

use crate::{
    border::{
        command::Command,
        handle::{ClientId, Process},
        reader::Commands,
    },
    bus::{
        channels::Channel,
        format::{self, Publication, Receivers},
        numbers::{Ids, Numbers},
    },
    message::protocol::Kind,
};

/// A message for more rooms than this travels once, on the channel for everybody.
const MOST_ROOMS: usize = 8;

/// Whether commands hold something for other processes.
pub(crate) fn concerns(commands: &[u8]) -> bool {
    Commands::new(commands).any(|command| {
        matches!(
            command,
            Command::Broadcast { .. }
                | Command::Rooms { .. }
                | Command::ToIds { .. }
                | Command::ExceptIds(_)
                | Command::Route(..)
                | Command::Flush(_)
                | Command::Members { .. }
                | Command::MoreMembers { .. }
        )
    })
}

/// Who publishes, and under which numbers.
pub(crate) struct Outgoing {
    pub(crate) process: Process,
    pub(crate) numbers: Numbers,
    pub(crate) ids: Ids,
    /// Clients that the next command leaves out.
    pub(crate) except: Vec<ClientId>,
}

impl Outgoing {
    /// Gives the publications of a command to `publish`, encoded.
    pub(crate) fn each<'n>(
        &mut self,
        command: &Command<'_>,
        now: Instant,
        name: impl Fn(u32) -> Option<(&'n str, Kind)>,
        mut publish: impl FnMut(Channel, Vec<u8>),
    ) {
        if let Command::ExceptIds(ids) = command {
            self.except = ids.clone().collect();
            return;
        }
        // Those that the command itself names are clients of this process.
        let except = mem::take(&mut self.except);
        let (route, payload, targets) = match command {
            Command::Broadcast { route, payload, .. } => (
                *route,
                *payload,
                vec![(Channel::Everybody, Receivers::Everybody)],
            ),
            Command::Rooms {
                route,
                payload,
                rooms,
                ..
            } => (*route, *payload, for_rooms(rooms.clone().collect())),
            Command::ToIds {
                route,
                payload,
                clients,
            } => (*route, *payload, self.for_clients(clients.clone())),
            _ => return,
        };
        let Some((route, kind)) = name(route) else {
            return;
        };
        let (json, content) = match kind {
            Kind::Json => (payload, None),
            Kind::Bytes => (None, payload),
        };
        // The owner made JSON of it, which is UTF-8.
        let Ok(json) = json.map(str::from_utf8).transpose() else {
            return;
        };
        let id = self.ids.next();
        for (channel, to) in targets {
            let number = self.numbers.next(channel, now);
            let mut bytes = Vec::with_capacity(128 + payload.map_or(0, <[u8]>::len));
            let publication = Publication {
                id,
                process: Some(self.process),
                number: Some(number),
                route,
                to,
                except: except.clone(),
                payload: json,
                bytes: content,
            };
            format::write(&mut bytes, &publication);
            publish(channel, bytes);
        }
    }

    /// Each process with some of these clients gets those.
    fn for_clients<'a>(
        &self,
        clients: impl Iterator<Item = ClientId>,
    ) -> Vec<(Channel, Receivers<'a>)> {
        let target = |(process, clients)| (Channel::Process(process), Receivers::Clients(clients));
        let all = by_process(clients, self.process);
        all.into_iter().map(target).collect()
    }
}

/// The clients of other processes, by their processes.
pub(crate) fn by_process(
    clients: impl Iterator<Item = ClientId>,
    own: Process,
) -> BTreeMap<Process, Vec<ClientId>> {
    let mut by_process: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for client in clients.filter(|it| it.process() != own) {
        by_process.entry(client.process()).or_default().push(client);
    }
    by_process
}

fn for_rooms(mut rooms: Vec<&[u8]>) -> Vec<(Channel, Receivers<'_>)> {
    rooms.sort_unstable();
    rooms.dedup();
    if rooms.len() > MOST_ROOMS {
        return vec![(Channel::Everybody, Receivers::Rooms(rooms))];
    }
    let channels: Vec<_> = rooms.iter().map(|room| Channel::of_room(room)).collect();
    let target = |channel| (channel, Receivers::Rooms(rooms.clone()));
    channels.into_iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::border::{handle::Handle, writer::CommandWriter};

    const OWN: Process = Process([1; 6]);

    /// The channels and contents of what commands lead to.
    fn publications(write: impl FnOnce(&mut CommandWriter)) -> Vec<(Channel, Vec<u8>)> {
        let mut writer = CommandWriter::new();
        write(&mut writer);
        let mut outgoing = Outgoing {
            process: OWN,
            numbers: Numbers::default(),
            ids: Ids::default(),
            except: Vec::new(),
        };
        let names: Vec<_> = (0..=100).map(|route| format!("route{route}")).collect();
        let mut all = Vec::new();
        for command in Commands::new(writer.bytes()) {
            // Routes from 100 on are of bytes.
            let kind = |route| if route < 100 { Kind::Json } else { Kind::Bytes };
            let name = |route| Some((&*names[route as usize], kind(route)));
            outgoing.each(&command, Instant::now(), name, |channel, bytes| {
                all.push((channel, bytes));
            });
        }
        all
    }

    #[test]
    fn bytes_are_published_as_they_are() {
        let all = publications(|it| {
            it.broadcast(100, Some(b"\0\xff"));
        });
        let read = format::read(&all[0].1).unwrap().unwrap();
        assert_eq!(
            (read.route, read.payload, read.bytes),
            ("route100", None, Some(&b"\0\xff"[..]))
        );
    }

    #[test]
    fn a_message_for_several_rooms_is_on_the_channel_of_each_and_lists_all() {
        let all = publications(|it| {
            it.rooms(3, Some(b"1"), &[b"b", b"a", b"b"]);
        });
        let channels: Vec<_> = all.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(channels, [Channel::of_room(b"a"), Channel::of_room(b"b")]);
        let read: Vec<_> = all
            .iter()
            .map(|(_, it)| format::read(it).unwrap().unwrap())
            .collect();
        assert_eq!(read[0].id, read[1].id);
        for one in read {
            assert_eq!(one.to, Receivers::Rooms(vec![b"a", b"b"]));
            assert_eq!((one.route, one.payload), ("route3", Some("1")));
            assert_eq!(one.process, Some(OWN));
            assert_eq!(one.number.unwrap().number, 1);
        }
    }

    #[test]
    fn a_message_for_many_rooms_travels_once_for_everybody() {
        let names: Vec<_> = (0..=MOST_ROOMS).map(|it| it.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_bytes).collect();
        let all = publications(|it| {
            it.rooms(0, None, &names);
        });
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, Channel::Everybody);
    }

    #[test]
    fn each_process_gets_its_clients_and_ours_travel_nowhere() {
        let [own, there, here, again] =
            [OWN, Process([2; 6]), Process([3; 6]), Process([2; 6])].map(ClientId::random_of);
        let all = publications(|it| {
            it.to_ids(0, None, &[own, there, here, again]);
        });
        let to = |place: usize| format::read(&all[place].1).unwrap().unwrap().to;
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].0, Channel::Process(Process([2; 6])));
        assert_eq!(to(0), Receivers::Clients(vec![there, again]));
        assert_eq!(to(1), Receivers::Clients(vec![here]));
    }

    #[test]
    fn clients_that_are_left_out_travel_with_the_next_send_alone() {
        let there = ClientId::random();
        let all = publications(|it| {
            it.except_ids(&[there])
                .broadcast(0, None)
                .broadcast(0, None);
        });
        let except = |place: usize| format::read(&all[place].1).unwrap().unwrap().except;
        assert_eq!((except(0), except(1)), (vec![there], vec![]));
    }

    #[test]
    fn what_is_for_this_process_alone_does_not_wake_the_bus() {
        let mut writer = CommandWriter::new();
        writer.join(Handle(1), b"a").to(0, None, &[Handle(1)]);
        assert!(!concerns(writer.bytes()));
        writer.broadcast(0, None);
        assert!(concerns(writer.bytes()));
    }
}
