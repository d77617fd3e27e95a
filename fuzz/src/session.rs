//! The bytes are a script: clients come, send anything, and go, while the owner admits, sends, joins, pauses and closes.
//! Whatever happens, every client's events come in order and end once, every message is accounted for, limits are kept to,
//! and the server stops, however often it is asked to.

use std::{
    collections::{HashMap, HashSet},
    net::TcpStream,
    time::Duration,
};

use zocket::{Asks, CommandWriter, Handle, StopMode};

use super::{
    limits::Limits,
    memory,
    owner::{self, BAD, CLOSED, FAULT, MEMBERS, OPENED, Owner, REQUEST, STOPPED, Told, UPGRADE},
};

const MAX_CLIENTS: usize = 4;
const MAX_STEPS: usize = 64;
/// Kinds of steps.
const STEPS: u8 = 17;
/// How long the owner waits for something to happen before it looks, when it does.
const PATIENCE: Duration = Duration::from_millis(2);
/// Longest drain.
const MAX_DRAIN: u8 = 32;
const SAMPLES: [&[u8]; 6] = [
    br#"{"type":"echo","payload":{"a":[1,null]}}"#,
    br#"{"type":"nothing"}"#,
    br#"{"type":"nowhere","payload":1}"#,
    br#"{"type":"echo","type":"echo"}"#,
    b"not json",
    b"\xff\xfe",
];

/// Reads the script; zeros when it is at its end.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What the owner knows of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Pending,
    Admitted,
    /// The refusal frees the number, unless the client was gone before: then its end is told.
    Refused,
}

struct Play {
    owner: Owner,
    limits: Limits,
    clients: Vec<TcpStream>,
    known: HashMap<u32, Known>,
    /// Told but not looked at: the owner decides late.
    undecided: Vec<Handle>,
    /// Commands that make no sense were handed over.
    nonsense: bool,
    is_stopping: bool,
    stopped: HashSet<u32>,
}

/// Bytes that a server, its clients and its owner hold: what is sent and what waits is short.
const MOST: usize = 512 * 1024;

pub fn run(bytes: &[u8]) {
    memory::together(MOST, || play(bytes));
}

fn play(bytes: &[u8]) {
    let mut script = Script(bytes);
    let size = script.byte();
    let (limits, config) = Limits::choose(size, script.byte());
    let mut play = Play {
        owner: Owner::start(config),
        limits,
        clients: Vec::new(),
        known: HashMap::new(),
        undecided: Vec::new(),
        nonsense: false,
        is_stopping: false,
        stopped: HashSet::new(),
    };
    for _ in 0..MAX_STEPS {
        if script.0.is_empty() {
            break;
        }
        play.step(&mut script);
    }
    play.end(if size & 128 == 0 {
        StopMode::Terminate
    } else {
        StopMode::Close
    });
}

/// Sends to rooms and to everybody, and asks who is there.
fn to_many(it: &mut CommandWriter, route: u32, handle: Handle, any: u8) {
    it.rooms(route, None, &[b"a", b"b"])
        .rooms(0, Some(b"2"), &[b"a"])
        .rooms(route, Some(b"2"), &[b"a"])
        .broadcast(route, Some(b"3"))
        .rooms_except(route, Some(b"2"), &[b"a"], &[handle])
        .broadcast_except(1, Some(b"3"), &[handle, Handle(0), handle])
        .broadcast(1, Some(b"3"))
        .members(any.into(), Asks::Ids, b"a")
        .members(any.into(), Asks::Size, b"b")
        .more_members(any.into(), 0);
}

impl Play {
    fn step(&mut self, script: &mut Script<'_>) {
        let step = script.byte();
        let any = script.byte();
        let handle = Handle(u32::from(any) % 8);
        // One of each policy, and one that is none.
        let route = u32::from(any) / 8 % 5;
        match step % STEPS {
            0 if self.clients.len() < MAX_CLIENTS => {
                // A server that stops no longer listens.
                if let Some(stream) = self.owner.try_connect() {
                    owner::send(&stream, &REQUEST[..REQUEST.len() - usize::from(any == 255)]);
                    self.clients.push(stream);
                } else {
                    assert!(self.is_stopping, "nobody listens");
                }
            }
            0 | 1 => self.frame(
                any,
                0x81,
                SAMPLES[usize::from(script.byte()) % SAMPLES.len()],
            ),
            2 => {
                let first = script.byte();
                let length = usize::from(script.byte());
                self.frame(any, first, script.bytes(length));
            }
            3 => {
                let length = usize::from(script.byte() % 32);
                self.raw(any, script.bytes(length));
            }
            4 => self.frame(
                any,
                0x81 + (script.byte() & 1),
                &vec![b'['; usize::from(any) * 8],
            ),
            5 => self.frame(any, 0x89, &[any; 100][..usize::from(any % 101)]),
            6 if !self.clients.is_empty() => {
                let stream = self
                    .clients
                    .swap_remove(usize::from(any) % self.clients.len());
                if any & 1 == 0 {
                    owner::send_no_more(&stream);
                }
            }
            6 | 7 => {
                if any & 1 == 1 {
                    self.owner.wait(PATIENCE);
                }
                self.look();
            }
            8 => {
                if let Some(handle) = self.undecided.pop() {
                    self.decide(handle, any);
                }
            }
            9 => self.owner.submit(|it| {
                let payload = vec![b'1'; usize::from(script.byte()) * 16 + 1];
                it.to(route, Some(&payload), &[handle, Handle(0), handle])
                    .to(1, None, &[handle]);
            }),
            10 => self.owner.submit(|it| to_many(it, route, handle, any)),
            11 => self.owner.submit(|it| {
                let room: &[u8] = if script.byte() & 1 == 0 { b"a" } else { b"b" };
                if any & 128 == 0 {
                    it.join(handle, room);
                } else {
                    it.leave(handle, room);
                }
            }),
            12 => self.owner.submit(|it| {
                if any & 128 == 0 {
                    it.pause(handle);
                } else {
                    it.resume(handle);
                }
            }),
            13 => self.owner.submit(|it| {
                it.close(handle, 1000 + u16::from(any), b"bye");
            }),
            14 => {
                self.nonsense = true;
                let length = usize::from(any);
                self.owner.server.submit(script.bytes(length));
            }
            15 => std::thread::sleep(Duration::from_micros(u64::from(any))),
            _ => {
                self.is_stopping = true;
                self.owner.server.stop(match any % 8 {
                    0 => StopMode::Terminate,
                    1 => StopMode::Close,
                    _ => StopMode::Drain(Duration::from_millis(u64::from(any % MAX_DRAIN))),
                });
            }
        }
    }

    fn raw(&self, any: u8, bytes: &[u8]) {
        if let Some(stream) = self
            .clients
            .get(usize::from(any) % self.clients.len().max(1))
        {
            owner::send(stream, bytes);
        }
    }

    fn frame(&self, any: u8, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        if let Ok(short @ 0..126) = u8::try_from(payload.len()) {
            frame.push(0x80 | short);
        } else {
            let length = u16::try_from(payload.len()).expect("short");
            frame.push(0xfe);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.raw(any, &frame);
    }

    /// The owner looks at what has happened by now.
    fn look(&mut self) {
        while let Some(told) = self.owner.next_now() {
            self.hear(&told);
        }
    }

    fn hear(&mut self, told: &Told) {
        let Told {
            handle,
            code,
            value,
        } = told;
        let shard = handle.shard(self.owner.server.shards());
        let is_late = !matches!(*code, FAULT | STOPPED) && self.stopped.contains(&shard);
        assert!(!is_late, "{told:?} after its thread's end");
        match *code {
            UPGRADE => {
                if !self.nonsense {
                    self.limits.upgrade(*handle);
                }
                let before = self.known.insert(handle.0, Known::Pending);
                let is_free = matches!(before, None | Some(Known::Refused));
                assert!(is_free || self.nonsense, "a number in use: {told:?}");
                self.undecided.push(*handle);
            }
            CLOSED => {
                self.limits.end(*handle);
                let known = self.known.remove(&handle.0);
                let is_right = match known {
                    None => false,
                    Some(Known::Admitted) => true,
                    Some(_) => !value.starts_with('['),
                };
                assert!(is_right || self.nonsense, "{told:?} of {known:?}");
                self.undecided.retain(|it| it != handle);
                self.owner.submit(|it| {
                    it.release(*handle);
                });
            }
            BAD | 0.. => {
                // What is past the rate is told as bad.
                if *code != BAD && !self.nonsense {
                    self.limits.message(*handle);
                }
                let known = self.known.get(&handle.0);
                let is_right = known == Some(&Known::Admitted);
                assert!(is_right || self.nonsense, "{told:?} of {known:?}");
            }
            FAULT => {
                let expected = value.contains("SLOW_CLIENT")
                    // The clients here do not answer a close frame.
                    || (self.is_stopping && value.contains("STOP"))
                    || (self.nonsense && value.contains("could not decode a buffer"));
                assert!(expected, "{told:?}");
            }
            OPENED => assert!(self.nonsense, "nobody has asked"),
            STOPPED => assert!(self.stopped.insert(handle.0), "stopped twice"),
            MEMBERS => {
                // Each id is text with quotes and a comma.
                let most = "[255,4]".len() + 39 * self.clients.len();
                assert!(value.len() <= most, "{told:?}");
            }
            _ => panic!("{told:?}"),
        }
    }

    fn decide(&mut self, handle: Handle, any: u8) {
        if any.is_multiple_of(4) {
            self.known.insert(handle.0, Known::Refused);
            self.limits.end(handle);
            self.owner.submit(|it| {
                it.refuse(handle, 403, u32::from(any), None, b"[]");
            });
        } else {
            self.known.insert(handle.0, Known::Admitted);
            self.owner.submit(|it| {
                it.admit(handle);
            });
        }
    }

    fn end(mut self, mode: StopMode) {
        self.owner.server.stop(mode);
        if mode == StopMode::Close {
            self.owner.server.stop(StopMode::Terminate);
        }
        while self.stopped.len() < self.owner.server.shards() as usize {
            let told = self.owner.next();
            self.hear(&told);
        }
        self.owner.server.join();
        for stream in &self.clients {
            let read = owner::read_until(stream, b"");
            let hint = owner::check_output(&read).and_then(|(_, reason)| {
                let ms = reason.strip_prefix("reconnect-after=")?;
                Some(ms.parse::<u8>().expect("a short time"))
            });
            assert!(hint.is_none_or(|ms| ms < MAX_DRAIN), "{hint:?}");
        }
        let all_ended = self.known.values().all(|known| *known == Known::Refused);
        assert!(all_ended || self.nonsense, "not ended: {:?}", self.known);
        let metrics = self.owner.server.metrics();
        assert_eq!(metrics.queued, 0, "{metrics:?}");
        assert_eq!(
            metrics.sent,
            metrics.written + metrics.dropped,
            "{metrics:?}"
        );
        assert_eq!(metrics.rooms, 0, "{metrics:?}");
    }
}
