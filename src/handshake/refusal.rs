//! The answers that do not upgrade, and the closed set of reasons for them.

use std::{borrow::Cow, time::Duration};

/// Makes [`Reason`] of one list: what each is called in the metrics, and what the peer is told when the owner has nothing to say.
macro_rules! reasons {
    ($($(#[$about:meta])* $reason:ident: $name:literal, $text:literal;)*) => {
        /// Why an upgrade was refused: the keys of the refusal metrics, in the order the owner numbers them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub enum Reason {
            $($(#[$about])* $reason,)*
        }

        impl Reason {
            /// Every reason, at its own number.
            pub const ALL: [Reason; [$($name),*].len()] = [$(Reason::$reason),*];

            /// The name users see in the metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name,)*
                }
            }

            /// The text for the client, unless the owner gives another one.
            const fn text(self) -> &'static str {
                match self {
                    $(Reason::$reason => $text,)*
                }
            }

            /// The reason with this number.
            #[must_use]
            pub fn from_index(index: u32) -> Option<Reason> {
                Reason::ALL.get(index as usize).copied()
            }

            /// Whether the owner's code decided so, or was too slow to decide: a client that offers `zocket.1` is told in a frame.
            #[must_use]
            pub const fn is_of_owner(self) -> bool {
                matches!(self, Reason::Headers | Reason::Connect | Reason::Timeout)
            }
        }
    };
}

reasons! {
    /// The owner's headers schema found issues or threw.
    Headers: "HEADERS", "The server does not accept the headers.\n";
    /// The owner's connect callback threw.
    Connect: "CONNECT", "The server does not accept the connection.\n";
    /// The origin is not allowed.
    Origin: "ORIGIN", "The server does not allow the origin.\n";
    /// The server is stopping.
    Stop: "STOP", "The server is stopping.\n";
    /// An ordinary HTTP request.
    NotUpgrade: "NOT_UPGRADE", "This is a WebSocket server.\n";
    /// Another version of the WebSocket protocol than 13.
    Version: "VERSION", "Only version 13 of the WebSocket protocol is spoken here.\n";
    /// The request breaks the rules of HTTP or of the opening handshake.
    Malformed: "MALFORMED", "The request is malformed.\n";
    /// The head is longer than [`MAX_HEAD`](super::head::MAX_HEAD) or has more fields than
    /// [`MAX_FIELDS`](super::head::MAX_FIELDS).
    HeadTooLarge: "HEAD_TOO_LARGE", "The request head is too large.\n";
    /// The path is not the one that is served.
    Path: "PATH", "The server has no WebSocket at this path.\n";
    /// As many connections as allowed are open or pending.
    MaxConnections: "MAX_CONNECTIONS", "The server has no room for another connection.\n";
    /// The handshake took too long.
    Timeout: "TIMEOUT", "The handshake took too long.\n";
    /// As many connections as allowed come from the address.
    Address: "ADDRESS", "This address has too many connections.\n";
    /// More upgrades than allowed came within a second.
    UpgradeRate: "UPGRADE_RATE", "The server is busy with other clients.\n";
    /// More upgrades than allowed came from the address within a second.
    AddressRate: "ADDRESS_RATE", "This address makes too many upgrades.\n";
}

/// An answer that does not upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Why, for the metrics.
    pub reason: Reason,
    /// Plain text; empty for a sentence that fits the reason.
    pub body: Vec<u8>,
    /// The issues of the owner's headers schema, a JSON array, which stand in the body then; or empty.
    pub issues: Vec<u8>,
    /// Whether the body is only announced: the answer to HEAD (RFC 9110, section 9.3.2).
    pub headers_only: bool,
    /// After how long to try again, if that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Refuses with a sentence that fits the reason.
    #[must_use]
    pub fn new(status: u16, reason: Reason) -> Refusal {
        let is_rate = matches!(reason, Reason::UpgradeRate | Reason::AddressRate);
        Refusal {
            status,
            reason,
            body: Vec::new(),
            issues: Vec::new(),
            headers_only: false,
            // A bucket holds one second's worth.
            retry_after: is_rate.then_some(Duration::from_secs(1)),
        }
    }

    /// The same with the time after which to try again.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Refusal {
        Refusal {
            retry_after: Some(wait),
            ..self
        }
    }

    /// The same with other words.
    #[must_use]
    pub fn with_body(self, body: Vec<u8>) -> Refusal {
        Refusal { body, ..self }
    }

    /// The whole HTTP response. The connection ends after it.
    #[must_use]
    pub fn to_response(&self) -> Vec<u8> {
        let (content_type, body) = self.content();
        // RFC 9110, sections 7.8 and 15.5.22: 426 names the protocol, and `Connection` names that field.
        let (connection, upgrade) = match self.status {
            426 => ("close, upgrade", "Upgrade: websocket\r\n"),
            _ => ("close", ""),
        };
        let version = match self.reason {
            Reason::Version => "Sec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        let retry = match self.retry_after {
            Some(wait) => format!("Retry-After: {}\r\n", whole_seconds(wait)),
            None => String::new(),
        };
        let mut response = format!(
            "HTTP/1.1 {status} {phrase}\r\n\
             Connection: {connection}\r\n\
             {upgrade}{version}{retry}\
             Content-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n",
            status = self.status,
            phrase = phrase(self.status),
            length = body.len(),
        )
        .into_bytes();
        if !self.headers_only {
            response.extend_from_slice(&body);
        }
        response
    }

    /// The type of the body, and the body.
    fn content(&self) -> (&'static str, Cow<'_, [u8]>) {
        if !self.issues.is_empty() {
            let parts = [
                br#"{"error":"Invalid headers","details":"#,
                &self.issues[..],
                b"}",
            ];
            return ("application/json", parts.concat().into());
        }
        let body = if self.body.is_empty() {
            self.reason.text().as_bytes()
        } else {
            &self.body
        };
        ("text/plain; charset=utf-8", body.into())
    }
}

/// A time in seconds, as `Retry-After` has it, rounded up.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
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
    fn every_reason_is_found_by_its_number_and_has_a_name_of_its_own() {
        for (index, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(Reason::from_index(index), Some(reason));
            assert_eq!(reason as u32, index);
            let same = Reason::ALL.iter().filter(|it| it.name() == reason.name());
            assert_eq!(same.count(), 1);
        }
        let past = u32::try_from(Reason::ALL.len()).unwrap();
        assert_eq!(Reason::from_index(past), None);
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
    fn issues_stand_in_a_body_of_json() {
        let refusal = Refusal {
            issues: b"[1]".to_vec(),
            ..Refusal::new(400, Reason::Headers)
        };
        let response = response(&refusal);
        assert!(response.contains("\r\nContent-Type: application/json\r\n"));
        assert!(response.ends_with(
            "\r\nContent-Length: 41\r\n\r\n{\"error\":\"Invalid headers\",\"details\":[1]}"
        ));
    }

    #[test]
    fn words_are_plain_text_counted_in_bytes() {
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
    fn a_limited_rate_says_when_to_come_back_and_others_if_they_know() {
        for reason in Reason::ALL {
            let told = response(&Refusal::new(503, reason)).contains("\r\nRetry-After: 1\r\n");
            let is_rate = matches!(reason, Reason::UpgradeRate | Reason::AddressRate);
            assert_eq!(told, is_rate);
        }
        for (wait, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (999_000, 999)] {
            let refusal = Refusal::new(429, Reason::Connect);
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
