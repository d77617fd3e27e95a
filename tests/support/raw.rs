//! A client that sends any bytes it likes, and looks at every byte that comes back.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use zocket::Handle;

use super::{DEADLINE, Owner};

/// A right upgrade request.
pub const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\
    connection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame with this first byte, masked with zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of such a frame, the mask included, whatever follows.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => header.push(0x80 | short),
        (_, Ok(middle)) => {
            header.push(0xfe);
            header.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            header.push(0xff);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&[0; 4]);
    header
}

/// One frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFrame {
    pub first: u8,
    pub payload: Vec<u8>,
}

pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(owner: &Owner) -> Self {
        let stream = TcpStream::connect(owner.server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A client on a socket that is connected.
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(address: [u8; 4], owner: &Owner) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let stream = socket.connect(owner.server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Connects, is admitted, and has read the 101.
    pub async fn open(owner: &mut Owner) -> (Self, Handle) {
        let (raw, handle, _) = Self::open_with(owner, UPGRADE).await;
        (raw, handle)
    }

    /// The same with a request of one's own; also gives the head of the answer.
    pub async fn open_with(owner: &mut Owner, request: &[u8]) -> (Self, Handle, String) {
        let mut raw = Self::connect(owner).await;
        raw.send(request).await;
        let handle = owner.admit();
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (raw, handle, head)
    }

    /// Sends bytes; a server that has closed meanwhile does not matter.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sending = self.stream.write_all(bytes);
        let _ = timeout(DEADLINE, sending).await.expect("taken in time");
    }

    async fn more(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.read);
        matches!(timeout(DEADLINE, reading).await.expect("an answer in time"), Ok(n) if n > 0)
    }

    /// The head of the server's answer.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.more().await, "no head: {}", self.read.escape_ascii());
        }
    }

    /// Everything that comes until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// The next frame; `None` when the server has closed.
    pub async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some((header, length)) = self.frame_length()
                && self.read.len() >= header + length
            {
                let frame: Vec<u8> = self.read.drain(..header + length).collect();
                return Some(ServerFrame {
                    first: frame[0],
                    payload: frame[header..].to_vec(),
                });
            }
            if !self.more().await {
                return None;
            }
        }
    }

    fn frame_length(&self) -> Option<(usize, usize)> {
        let read = &self.read;
        Some(match read.get(1)? {
            126 => {
                let length = read.get(2..4)?.try_into().unwrap();
                (4, usize::from(u16::from_be_bytes(length)))
            }
            127 => {
                let length = read.get(2..10)?.try_into().unwrap();
                (10, usize::try_from(u64::from_be_bytes(length)).unwrap())
            }
            short => {
                assert!(*short < 126, "a server masks nothing");
                (2, usize::from(*short))
            }
        })
    }

    /// Reads to the end of the connection; the close code, and how many frames came before it. Nothing may follow a
    /// close frame.
    pub async fn closed(&mut self) -> (Option<u16>, usize) {
        let mut before = 0;
        while let Some(frame) = self.next().await {
            if frame.first != 0x88 {
                before += 1;
                continue;
            }
            let code = frame
                .payload
                .first_chunk()
                .map(|code| u16::from_be_bytes(*code));
            assert_eq!(self.next().await, None, "a frame after the close frame");
            return (Some(code.unwrap_or(1005)), before);
        }
        (None, before)
    }
}
