//! The messages that processes exchange over a bus, byte for byte. `docs/bus-format.md` describes them for other programs.
//!
//! A message has three bytes of head, [`MAGIC`], [`VERSION`] and a kind. Fields follow: a tag of one byte, a length of four bytes
//! (little-endian), and so many bytes. A reader skips fields and kinds that it does not know, so a newer version may add some. A
//! message with another version is malformed.

use std::str;

use serde::de::IgnoredAny;

use crate::{
    border::handle::{ClientId, Process},
    rooms::MAX_ROOM_NAME,
};

/// The first byte of each message.
pub(crate) const MAGIC: u8 = b'z';
/// The version of this format.
pub(crate) const VERSION: u8 = 1;
/// The third byte of a publication.
pub(crate) const PUBLICATION: u8 = 1;
/// The longest message that is read. Publishers keep to a much smaller limit.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The tags of fields.
pub(crate) mod tag {
    pub(crate) const ID: u8 = 1;
    pub(crate) const PROCESS: u8 = 2;
    pub(crate) const EPOCH: u8 = 3;
    pub(crate) const NUMBER: u8 = 4;
    pub(crate) const ROUTE: u8 = 5;
    pub(crate) const EVERYBODY: u8 = 6;
    pub(crate) const ROOM: u8 = 7;
    pub(crate) const CLIENTS: u8 = 8;
    pub(crate) const EXCEPT: u8 = 9;
    pub(crate) const PAYLOAD: u8 = 10;
    pub(crate) const BYTES: u8 = 11;
    // Those from here on are in messages that clients never see.
    pub(crate) const INTERVAL: u8 = 12;
    pub(crate) const ASKS: u8 = 13;
    pub(crate) const ENDS: u8 = 14;
    pub(crate) const WHAT: u8 = 15;
    pub(crate) const PLACE: u8 = 16;
    pub(crate) const SIZE: u8 = 17;
    pub(crate) const CODE: u8 = 18;
    pub(crate) const REASON: u8 = 19;
    pub(crate) const WHY: u8 = 20;
    pub(crate) const FAILURE: u8 = 21;
}

/// The id of a publication. All messages that carry the publication have the same.
pub(crate) type PublicationId = [u8; 16];

/// Tells publications of one process on one channel apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    /// Random. It changes when the process begins to count anew.
    pub(crate) epoch: u64,
    /// One more for each publication.
    pub(crate) number: u64,
}

/// Who receives a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receivers<'a> {
    /// All clients of all processes.
    Everybody,
    /// The members of rooms.
    Rooms(Vec<&'a [u8]>),
    /// Single clients.
    Clients(Vec<ClientId>),
}

/// A message of the application for clients of other processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication<'a> {
    pub(crate) id: PublicationId,
    /// Who publishes. A program that serves nobody may leave it out.
    pub(crate) process: Option<Process>,
    pub(crate) number: Option<Number>,
    /// The wire name of an outgoing route.
    pub(crate) route: &'a str,
    pub(crate) to: Receivers<'a>,
    /// Clients that do not receive it.
    pub(crate) except: Vec<ClientId>,
    /// JSON text.
    pub(crate) payload: Option<&'a str>,
    /// The payload of a route of bytes.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// Why bytes are not a message of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it does not begin like a message of this library")]
    Foreign,
    #[error("it has version {0} of the format, and this process reads version {VERSION}")]
    Version(u8),
    #[error("it is longer than {MAX_MESSAGE} bytes")]
    Long,
    #[error("it ends within a field")]
    Cut,
    #[error("a field of it has a wrong length or is not text")]
    Field,
    #[error("it has no id, no route or no receivers, or it has receivers of two kinds")]
    Incomplete,
    #[error("its payload is not JSON")]
    Payload,
    #[error("a field of it is missing, or has a value that makes no sense")]
    Control,
}

/// Appends a publication.
pub(crate) fn write(out: &mut Vec<u8>, publication: &Publication<'_>) {
    out.extend_from_slice(&[MAGIC, VERSION, PUBLICATION]);
    field(out, tag::ID, &publication.id);
    if let Some(process) = publication.process {
        field(out, tag::PROCESS, &process.0);
    }
    if let Some(Number { epoch, number }) = publication.number {
        field(out, tag::EPOCH, &epoch.to_le_bytes());
        field(out, tag::NUMBER, &number.to_le_bytes());
    }
    field(out, tag::ROUTE, publication.route.as_bytes());
    match &publication.to {
        Receivers::Everybody => field(out, tag::EVERYBODY, &[]),
        Receivers::Rooms(rooms) => {
            for room in rooms {
                field(out, tag::ROOM, room);
            }
        }
        Receivers::Clients(clients) => ids(out, tag::CLIENTS, clients),
    }
    if !publication.except.is_empty() {
        ids(out, tag::EXCEPT, &publication.except);
    }
    if let Some(payload) = publication.payload {
        field(out, tag::PAYLOAD, payload.as_bytes());
    }
    if let Some(bytes) = publication.bytes {
        field(out, tag::BYTES, bytes);
    }
}

/// Who published, and the id, which grows with each publication of that process. Only for messages with both where [`write`] puts them.
pub(crate) fn place_of(bytes: &[u8]) -> Option<(Process, PublicationId)> {
    let rest = bytes.strip_prefix(&[MAGIC, VERSION, PUBLICATION])?;
    let rest = rest.strip_prefix(&[tag::ID, 16, 0, 0, 0])?;
    let (id, rest) = rest.split_first_chunk()?;
    let (process, _) = rest
        .strip_prefix(&[tag::PROCESS, 6, 0, 0, 0])?
        .split_first_chunk()?;
    Some((Process(*process), *id))
}

pub(crate) fn field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("a field is a part of a command of under 4 GiB");
    out.push(tag);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
}

pub(crate) fn ids(out: &mut Vec<u8>, tag: u8, ids: &[ClientId]) {
    let bytes: Vec<_> = ids.iter().flat_map(|id| id.to_bytes()).collect();
    field(out, tag, &bytes);
}

/// Reads a message; `None` if it is of a kind that this version does not know.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Publication<'_>>, Malformed> {
    let [MAGIC, version, kind, fields @ ..] = bytes else {
        return Err(Malformed::Foreign);
    };
    if *version != VERSION {
        return Err(Malformed::Version(*version));
    }
    if bytes.len() > MAX_MESSAGE {
        return Err(Malformed::Long);
    }
    match *kind {
        PUBLICATION => read_publication(fields).map(Some),
        _ => Ok(None),
    }
}

fn read_publication(mut rest: &[u8]) -> Result<Publication<'_>, Malformed> {
    let (mut id, mut process, mut route, mut payload, mut bytes) = (None, None, None, None, None);
    let (mut epoch, mut number) = (None, None);
    let (mut everybody, mut rooms, mut clients, mut except) = (false, vec![], vec![], vec![]);
    while let Some((tag, value)) = take(&mut rest)? {
        match tag {
            tag::ID => id = Some(exactly(value)?),
            tag::PROCESS => process = Some(Process(exactly(value)?)),
            tag::EPOCH => epoch = Some(u64::from_le_bytes(exactly(value)?)),
            tag::NUMBER => number = Some(u64::from_le_bytes(exactly(value)?)),
            tag::ROUTE => route = Some(text(value)?),
            tag::EVERYBODY => everybody = true,
            tag::ROOM if value.is_empty() || value.len() > MAX_ROOM_NAME => {
                return Err(Malformed::Field);
            }
            tag::ROOM => rooms.push(value),
            tag::CLIENTS => clients.extend(read_ids(value)?),
            tag::EXCEPT => except.extend(read_ids(value)?),
            tag::PAYLOAD => payload = Some(text(value).map_err(|_| Malformed::Payload)?),
            tag::BYTES => bytes = Some(value),
            _ => {}
        }
    }
    let to = match (everybody, rooms.is_empty(), clients.is_empty()) {
        (true, true, true) => Receivers::Everybody,
        (false, false, true) => Receivers::Rooms(rooms),
        (false, true, false) => Receivers::Clients(clients),
        _ => return Err(Malformed::Incomplete),
    };
    if let Some(payload) = payload {
        // It goes into frames as it is, so it has to be one whole value. Nested values are skipped without recursion.
        serde_json::from_str::<IgnoredAny>(payload).map_err(|_| Malformed::Payload)?;
    }
    Ok(Publication {
        id: id.ok_or(Malformed::Incomplete)?,
        process,
        number: epoch
            .zip(number)
            .map(|(epoch, number)| Number { epoch, number }),
        route: route.ok_or(Malformed::Incomplete)?,
        to,
        except,
        payload,
        bytes,
    })
}

/// The next field.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Malformed> {
    let Some((tag, after)) = rest.split_first() else {
        return Ok(None);
    };
    let (length, after) = after.split_first_chunk::<4>().ok_or(Malformed::Cut)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (value, after) = after.split_at_checked(length).ok_or(Malformed::Cut)?;
    *rest = after;
    Ok(Some((*tag, value)))
}

pub(crate) fn exactly<const LENGTH: usize>(value: &[u8]) -> Result<[u8; LENGTH], Malformed> {
    value.try_into().map_err(|_| Malformed::Field)
}

pub(crate) fn text(value: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(value).map_err(|_| Malformed::Field)
}

pub(crate) fn read_ids(value: &[u8]) -> Result<impl Iterator<Item = ClientId>, Malformed> {
    let (ids, rest) = value.as_chunks::<16>();
    if rest.is_empty() {
        Ok(ids.iter().map(|id| ClientId::from_bytes(*id)))
    } else {
        Err(Malformed::Field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn publication() -> Publication<'static> {
        Publication {
            id: [7; 16],
            process: Some(Process([1, 2, 3, 4, 5, 6])),
            number: Some(Number {
                epoch: 9,
                number: 1,
            }),
            route: "chat.onMessage",
            to: Receivers::Rooms(vec![b"lobby", b"\xff\xd8\x00"]),
            except: vec![ClientId::from_bytes([8; 16])],
            payload: Some(r#"{"text":"hi"}"#),
            bytes: None,
        }
    }

    fn written(publication: &Publication<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, publication);
        out
    }

    #[test]
    fn a_publication_has_the_bytes_that_the_documentation_shows() {
        let publication = Publication {
            process: None,
            number: None,
            except: vec![],
            to: Receivers::Rooms(vec![b"lobby"]),
            route: "on",
            payload: Some("1"),
            ..publication()
        };
        let mut expected = b"z\x01\x01\x01\x10\x00\x00\x00".to_vec();
        expected.extend_from_slice(&[7; 16]);
        expected.extend_from_slice(
            b"\x05\x02\x00\x00\x00on\x07\x05\x00\x00\x00lobby\x0a\x01\x00\x00\x001",
        );
        assert_eq!(written(&publication), expected);
    }

    #[test]
    fn fields_and_kinds_of_a_newer_version_are_skipped() {
        let mut bytes = written(&publication());
        bytes.extend_from_slice(b"\xc8\x03\x00\x00\x00new");
        assert_eq!(read(&bytes), Ok(Some(publication())));
        assert_eq!(read(b"z\x01\xc8anything"), Ok(None));
    }

    #[test]
    fn another_version_is_malformed() {
        let mut bytes = written(&publication());
        bytes[1] = 2;
        assert_eq!(read(&bytes), Err(Malformed::Version(2)));
    }

    #[test]
    fn what_cannot_be_delivered_is_malformed() {
        let broken = |change: fn(&mut Publication<'static>)| {
            let mut publication = publication();
            change(&mut publication);
            read(&written(&publication)).map(|_| ())
        };
        assert_eq!(broken(|it| it.payload = Some("{")), Err(Malformed::Payload));
        assert_eq!(
            broken(|it| it.payload = Some("1 2")),
            Err(Malformed::Payload)
        );
        assert_eq!(broken(|it| it.payload = Some("")), Err(Malformed::Payload));
        assert_eq!(
            broken(|it| it.to = Receivers::Rooms(vec![])),
            Err(Malformed::Incomplete)
        );
        assert_eq!(
            broken(|it| it.to = Receivers::Rooms(vec![b""])),
            Err(Malformed::Field)
        );
        for bytes in [
            &b""[..],
            b"z",
            b"zz\x01",
            b"{\"type\":1}",
            b"z\x01\x01\x01\xff",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        let mut two = written(&publication());
        two.extend_from_slice(b"\x06\x00\x00\x00\x00");
        assert_eq!(read(&two), Err(Malformed::Incomplete));
        let mut not_text = written(&publication());
        not_text.extend_from_slice(b"\x0a\x03\x00\x00\x00\"\xff\"");
        assert_eq!(read(&not_text), Err(Malformed::Payload));
    }

    fn receivers() -> impl Strategy<Value = (u8, Vec<Vec<u8>>, Vec<[u8; 16]>)> {
        (
            0..3_u8,
            prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..4),
            prop::collection::vec(any::<[u8; 16]>(), 1..4),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            id: [u8; 16],
            process: Option<[u8; 6]>,
            number: Option<(u64, u64)>,
            route in ".{0,20}",
            (kind, rooms, clients) in receivers(),
            except in prop::collection::vec(any::<[u8; 16]>(), 0..3),
            payload in prop::option::of(prop_oneof![Just("null"), Just("[1,{\"a\":\"\\u0000\"}]"), Just("\"é\"")]),
            content in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let ids = |ids: &[[u8; 16]]| ids.iter().copied().map(ClientId::from_bytes).collect();
            let publication = Publication {
                id,
                process: process.map(Process),
                number: number.map(|(epoch, number)| Number { epoch, number }),
                route: &route,
                to: match kind {
                    0 => Receivers::Everybody,
                    1 => Receivers::Rooms(rooms.iter().map(Vec::as_slice).collect()),
                    _ => Receivers::Clients(ids(&clients)),
                },
                except: ids(&except),
                payload,
                bytes: content.as_deref(),
            };
            let bytes = written(&publication);
            prop_assert_eq!(read(&bytes), Ok(Some(publication)));
        }

        #[test]
        fn no_bytes_make_it_panic_or_give_more_than_they_hold(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            with: u8,
        ) {
            let _ = read(&bytes);
            let mut whole = written(&publication());
            let at = at.index(whole.len());
            let _ = read(&whole[..at]);
            whole[at] = with;
            let _ = read(&whole);
        }
    }
}
