//! The answers that do not upgrade, and the closed set of reasons for them.

/// Why an upgrade was refused: the keys of the refusal metrics, in the order the owner numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Reason {
    /// The owner's headers schema found issues or threw.
    Headers,
    /// The owner's connect callback threw.
    Connect,
    /// The origin is not allowed.
    Origin,
    /// The server is stopping.
    Stop,
    /// An ordinary HTTP request.
    NotUpgrade,
    /// Another version of the WebSocket protocol than 13.
    Version,
    /// The request breaks the rules of HTTP or of the opening handshake.
    Malformed,
    /// The head is longer than [`MAX_HEAD`](super::MAX_HEAD) or has more fields than
    /// [`MAX_FIELDS`](super::MAX_FIELDS).
    HeadTooLarge,
    /// The path is not the one that is served.
    Path,
    /// As many connections as allowed are open or pending.
    MaxConnections,
    /// The handshake took too long.
    Timeout,
}

impl Reason {
    /// Every reason, at its own number.
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

    /// The reason with this number.
    #[must_use]
    pub fn from_index(index: u32) -> Option<Reason> {
        Reason::ALL.get(index as usize).copied()
    }

    /// The name users see in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Headers => "HEADERS",
            Reason::Connect => "CONNECT",
            Reason::Origin => "ORIGIN",
            Reason::Stop => "STOP",
            Reason::NotUpgrade => "NOT_UPGRADE",
            Reason::Version => "VERSION",
            Reason::Malformed => "MALFORMED",
            Reason::HeadTooLarge => "HEAD_TOO_LARGE",
            Reason::Path => "PATH",
            Reason::MaxConnections => "MAX_CONNECTIONS",
            Reason::Timeout => "TIMEOUT",
        }
    }

    /// What the peer is told when the owner has nothing to say.
    const fn text(self) -> &'static str {
        match self {
            Reason::Headers => "The headers were not accepted.\n",
            Reason::Connect => "The connection was not accepted.\n",
            Reason::Origin => "The origin is not allowed.\n",
            Reason::Stop => "The server is stopping.\n",
            Reason::NotUpgrade => "This is a WebSocket server.\n",
            Reason::Version => "Only version 13 of the WebSocket protocol is spoken here.\n",
            Reason::Malformed => "The request is malformed.\n",
            Reason::HeadTooLarge => "The request head is too large.\n",
            Reason::Path => "There is nothing at this path.\n",
            Reason::MaxConnections => "The server has no room for another connection.\n",
            Reason::Timeout => "The handshake took too long.\n",
        }
    }
}

/// An answer that does not upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Why, for the metrics.
    pub reason: Reason,
    /// JSON if it starts with `{`, else plain text; empty for a sentence that fits the reason.
    pub body: Vec<u8>,
}

impl Refusal {
    /// Refuses with a sentence that fits the reason.
    #[must_use]
    pub fn new(status: u16, reason: Reason) -> Refusal {
        Refusal {
            status,
            reason,
            body: Vec::new(),
        }
    }

    /// The same with the owner's words.
    #[must_use]
    pub fn with_body(self, body: Vec<u8>) -> Refusal {
        Refusal { body, ..self }
    }

    /// The whole HTTP response. The connection ends after it.
    #[must_use]
    pub fn to_response(&self) -> Vec<u8> {
        let body = if self.body.is_empty() {
            self.reason.text().as_bytes()
        } else {
            &self.body
        };
        let content_type = if body.starts_with(b"{") {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        // RFC 9110, sections 7.8 and 15.5.22: 426 names the protocol, and `Connection` names that field.
        let (connection, upgrade) = match self.status {
            426 => ("close, upgrade", "Upgrade: websocket\r\n"),
            _ => ("close", ""),
        };
        let version = match self.reason {
            Reason::Version => "Sec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        let mut response = format!(
            "HTTP/1.1 {status} {phrase}\r\n\
             Connection: {connection}\r\n\
             {upgrade}{version}\
             Content-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n",
            status = self.status,
            phrase = phrase(self.status),
            length = body.len(),
        )
        .into_bytes();
        response.extend_from_slice(body);
        response
    }
}

/// The reason phrase of the IANA registry, or the name of the class for numbers that are not in it.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ if status < 500 => "Client Error",
        _ => "Server Error",
    }
}
