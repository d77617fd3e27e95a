//! The answers that do not upgrade, and the closed set of reasons for them.

use std::time::Duration;

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
    /// The head is longer than [`MAX_HEAD`](super::head::MAX_HEAD) or has more fields than
    /// [`MAX_FIELDS`](super::head::MAX_FIELDS).
    HeadTooLarge,
    /// The path is not the one that is served.
    Path,
    /// As many connections as allowed are open or pending.
    MaxConnections,
    /// The handshake took too long.
    Timeout,
    /// As many connections as allowed come from the address.
    Address,
    /// More upgrades than allowed came within a second.
    UpgradeRate,
    /// More upgrades than allowed came from the address within a second.
    AddressRate,
}

impl Reason {
    /// Every reason, at its own number.
    pub const ALL: [Reason; 14] = [
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
        Reason::Address,
        Reason::UpgradeRate,
        Reason::AddressRate,
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
            Reason::Address => "ADDRESS",
            Reason::UpgradeRate => "UPGRADE_RATE",
            Reason::AddressRate => "ADDRESS_RATE",
        }
    }

    /// What the peer is told when the owner has nothing to say.
    const fn text(self) -> &'static str {
        match self {
            Reason::Headers => "The server does not accept the headers.\n",
            Reason::Connect => "The server does not accept the connection.\n",
            Reason::Origin => "The server does not allow the origin.\n",
            Reason::Stop => "The server is stopping.\n",
            Reason::NotUpgrade => "This is a WebSocket server.\n",
            Reason::Version => "Only version 13 of the WebSocket protocol is spoken here.\n",
            Reason::Malformed => "The request is malformed.\n",
            Reason::HeadTooLarge => "The request head is too large.\n",
            Reason::Path => "The server has no WebSocket at this path.\n",
            Reason::MaxConnections => "The server has no room for another connection.\n",
            Reason::Timeout => "The handshake took too long.\n",
            Reason::Address => "This address has too many connections.\n",
            Reason::UpgradeRate => "The server is busy with other clients.\n",
            Reason::AddressRate => "This address makes too many upgrades.\n",
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
    /// Whether the body is only announced: the answer to HEAD (RFC 9110, section 9.3.2).
    pub headers_only: bool,
    /// After how many seconds to try again, where a rate is the reason.
    pub retry_after: u64,
}

impl Refusal {
    /// Refuses with a sentence that fits the reason.
    #[must_use]
    pub fn new(status: u16, reason: Reason) -> Refusal {
        Refusal {
            status,
            reason,
            body: Vec::new(),
            headers_only: false,
            // A bucket holds one second's worth.
            retry_after: 1,
        }
    }

    /// The same with the time after which to try again, in whole seconds.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Refusal {
        let begun = u64::from(wait.subsec_nanos() > 0);
        let retry_after = (wait.as_secs() + begun).max(1);
        Refusal {
            retry_after,
            ..self
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
        let more = match self.reason {
            Reason::Version => "Sec-WebSocket-Version: 13\r\n".to_owned(),
            Reason::UpgradeRate | Reason::AddressRate => {
                format!("Retry-After: {}\r\n", self.retry_after)
            }
            _ => String::new(),
        };
        let mut response = format!(
            "HTTP/1.1 {status} {phrase}\r\n\
             Connection: {connection}\r\n\
             {upgrade}{more}\
             Content-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n",
            status = self.status,
            phrase = phrase(self.status),
            length = body.len(),
        )
        .into_bytes();
        if !self.headers_only {
            response.extend_from_slice(body);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn response(refusal: &Refusal) -> String {
        String::from_utf8(refusal.to_response()).unwrap()
    }

    #[test]
    fn the_reasons_keep_the_numbers_and_names_the_owner_knows() {
        let names = Reason::ALL.map(Reason::name);
        assert_eq!(
            names,
            [
                "HEADERS",
                "CONNECT",
                "ORIGIN",
                "STOP",
                "NOT_UPGRADE",
                "VERSION",
                "MALFORMED",
                "HEAD_TOO_LARGE",
                "PATH",
                "MAX_CONNECTIONS",
                "TIMEOUT",
                "ADDRESS",
                "UPGRADE_RATE",
                "ADDRESS_RATE"
            ]
        );
        for (index, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(Reason::from_index(index), Some(reason));
            assert_eq!(reason as u32, index);
        }
        assert_eq!(Reason::from_index(14), None);
        assert_eq!(Reason::from_index(u32::MAX), None);
    }

    #[test]
    fn a_refusal_is_a_whole_response_that_ends_the_connection() {
        assert_eq!(
            response(&Refusal::new(404, Reason::Path)),
            "HTTP/1.1 404 Not Found\r\n\
             Connection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 42\r\n\r\n\
             The server has no WebSocket at this path.\n"
        );
    }

    #[test]
    fn a_body_that_starts_like_an_object_is_json() {
        let refusal = Refusal::new(400, Reason::Headers).with_body(b"{\"error\":1}".to_vec());
        let response = response(&refusal);
        assert!(response.contains("\r\nContent-Type: application/json\r\n"));
        assert!(response.ends_with("\r\nContent-Length: 11\r\n\r\n{\"error\":1}"));
    }

    #[test]
    fn any_other_body_is_plain_text_counted_in_bytes() {
        let refusal = Refusal::new(403, Reason::Connect).with_body("[né]".into());
        let response = response(&refusal);
        assert!(response.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
        assert!(response.ends_with("\r\nContent-Length: 5\r\n\r\n[né]"));
    }

    #[test]
    fn every_426_names_the_protocol_and_only_a_wrong_version_names_the_version() {
        let plain = response(&Refusal::new(426, Reason::NotUpgrade));
        assert!(plain.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(plain.contains("\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\n"));
        assert!(!plain.contains("Sec-WebSocket-Version"));
        let version = response(&Refusal::new(426, Reason::Version));
        assert!(version.contains("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    }

    #[test]
    fn a_limited_rate_says_when_to_come_back_and_nothing_else_does() {
        for reason in Reason::ALL {
            let told = response(&Refusal::new(503, reason)).contains("\r\nRetry-After: 1\r\n");
            let is_rate = matches!(reason, Reason::UpgradeRate | Reason::AddressRate);
            assert_eq!(told, is_rate);
        }
        for (wait, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (999_000, 999)] {
            let refusal = Refusal::new(429, Reason::AddressRate);
            let refusal = refusal.with_retry_after(Duration::from_millis(wait));
            let field = format!("\r\nRetry-After: {seconds}\r\n");
            assert!(response(&refusal).contains(&field), "{wait}");
        }
    }

    #[test]
    fn a_status_without_a_phrase_gets_that_of_its_class() {
        for (status, line) in [
            (418, "HTTP/1.1 418 Client Error\r\n"),
            (499, "HTTP/1.1 499 Client Error\r\n"),
            (599, "HTTP/1.1 599 Server Error\r\n"),
            (503, "HTTP/1.1 503 Service Unavailable\r\n"),
        ] {
            assert!(response(&Refusal::new(status, Reason::Connect)).starts_with(line));
        }
    }

    #[test]
    fn every_reason_has_something_to_say() {
        for reason in Reason::ALL {
            let response = response(&Refusal::new(400, reason));
            let (_, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(body.len() > 10 && body.is_ascii() && body.ends_with('\n'));
        }
    }
}
