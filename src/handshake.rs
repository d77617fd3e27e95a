//! stub
#![allow(missing_docs, clippy::all, clippy::pedantic, unused)]
pub const MAX_HEAD: usize = 16 * 1024;
#[derive(Debug, Clone, Default)]
pub enum AllowedOrigins {
    #[default]
    Any,
    List(Vec<String>),
    Owner,
}
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub path: Option<String>,
    pub origins: AllowedOrigins,
}
pub enum Head {
    Partial,
    Complete {
        length: usize,
        request: Result<UpgradeRequest, Refusal>,
    },
}
pub fn parse(bytes: &[u8], rules: &Rules) -> Head {
    let Some(p) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Head::Partial;
    };
    let t = String::from_utf8_lossy(&bytes[..p]).to_lowercase();
    let orig = String::from_utf8_lossy(&bytes[..p]).to_string();
    let key = orig
        .lines()
        .find(|l| l.to_lowercase().starts_with("sec-websocket-key:"))
        .map(|l| l[18..].trim().to_string());
    let mut headers = vec![];
    if let Some(q) = t.lines().next().unwrap().split('?').nth(1) {
        for kv in q.split(' ').next().unwrap().split('&') {
            let (k, v) = kv.split_once('=').unwrap();
            headers.push((k.to_string(), v.to_string()));
        }
    }
    Head::Complete {
        length: p + 4,
        request: match key {
            Some(k) => Ok(UpgradeRequest {
                accept: tokio_tungstenite::tungstenite::handshake::derive_accept_key(k.as_bytes()),
                path: "/".into(),
                headers,
                origin: None,
            }),
            None => Err(Refusal::new(400, Reason::Malformed)),
        },
    }
}
#[derive(Debug)]
pub struct UpgradeRequest {
    pub accept: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub origin: Option<String>,
}
impl UpgradeRequest {
    pub fn write_headers_json(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(
            out,
            &self
                .headers
                .iter()
                .cloned()
                .collect::<std::collections::BTreeMap<_, _>>(),
        )
        .unwrap()
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Headers,
    Connect,
    Origin,
    Stop,
    NotUpgrade,
    Version,
    Malformed,
    HeadTooLarge,
    Path,
    MaxConnections,
    Timeout,
}
impl Reason {
    pub const ALL: [Reason; 11] = [
        Reason::Headers,
        Reason::Connect,
        Reason::Origin,
        Reason::Stop,
        Reason::NotUpgrade,
        Reason::Version,
        Reason::Malformed,
        Reason::HeadTooLarge,
        Reason::Path,
        Reason::MaxConnections,
        Reason::Timeout,
    ];
    pub fn name(self) -> &'static str {
        "X"
    }
    pub fn from_index(i: u32) -> Option<Self> {
        Self::ALL.get(i as usize).copied()
    }
}
pub struct Refusal {
    pub status: u16,
    pub reason: Reason,
    pub body: Vec<u8>,
}
impl Refusal {
    pub fn new(status: u16, reason: Reason) -> Self {
        Self {
            status,
            reason,
            body: vec![],
        }
    }
    pub fn with_body(mut self, b: Vec<u8>) -> Self {
        self.body = b;
        self
    }
    pub fn to_response(&self) -> Vec<u8> {
        let mut r = format!(
            "HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.status,
            self.body.len()
        )
        .into_bytes();
        r.extend_from_slice(&self.body);
        r
    }
}
pub fn switching_protocols(accept: &str) -> Vec<u8> {
    format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n").into_bytes()
}
