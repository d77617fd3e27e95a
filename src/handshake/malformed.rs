//! The faults of a request that breaks the rules of HTTP or of the opening handshake, and their texts for the client.

use super::refusal::{Reason, Refusal};

/// A fault of a request head. The texts never repeat bytes of the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Malformed {
    /// A TLS handshake on a port that speaks plain HTTP.
    Tls,
    /// Plain HTTP on a port that speaks TLS.
    #[cfg(feature = "tls")]
    NoTls,
    /// A control character other than tab, or half a line break.
    Control,
    /// The first line is not a request line.
    RequestLine,
    /// Another version of HTTP than 1.0 and 1.1.
    HttpVersion,
    /// HTTP/1.0, which has no upgrades.
    Http10,
    /// A line after the first one is not a header.
    HeaderLine,
    /// A header that must be there is missing.
    Missing(&'static str),
    /// A header that may be there once came several times.
    Repeated(&'static str),
    /// The key is not 16 bytes in base64.
    Key,
    /// The host is not a host.
    Host,
    /// A body is announced.
    Body,
    /// The target is not a resource of this server.
    Target,
    /// The subprotocol that holds a client's headers cannot be read.
    Token,
    /// It came several times.
    Tokens,
    /// It came without the subprotocol that it belongs to.
    TokenAlone,
}

impl Malformed {
    fn text(self) -> String {
        let text = match self {
            Malformed::Missing(name) => return format!("The request has no `{name}` header.\n"),
            Malformed::Repeated(name) => {
                return format!("The request has more than one `{name}` header.\n");
            }
            Malformed::Tls => {
                "The request is TLS, but this port speaks plain HTTP: use `ws://`, or give the server the option `tls`.\n"
            }
            #[cfg(feature = "tls")]
            Malformed::NoTls => {
                "The request is plain HTTP, but this port speaks TLS: use `wss://` or `https://`.\n"
            }
            Malformed::Control => {
                "The request has a control character, or a line that does not end with CR LF.\n"
            }
            Malformed::RequestLine => {
                "The first line of the request is not `GET /path HTTP/1.1`.\n"
            }
            Malformed::HttpVersion => "The request is not HTTP/1.1.\n",
            Malformed::Http10 => {
                "The request is HTTP/1.0; WebSocket needs HTTP/1.1. A proxy in front may need `proxy_http_version 1.1`.\n"
            }
            Malformed::HeaderLine => "A header of the request is not `Name: value` on one line.\n",
            Malformed::Key => "The `Sec-WebSocket-Key` header is not 16 bytes in base64.\n",
            Malformed::Host => "The `Host` header is not a host name with an optional port.\n",
            Malformed::Body => "The request announces a body. An upgrade request has none.\n",
            Malformed::Target => {
                "The target of the request must be a path that starts with `/`, without `#`.\n"
            }
            Malformed::Token => {
                "The `zocket.h.` subprotocol is not unpadded base64url of a JSON object of strings.\n"
            }
            Malformed::Tokens => "The request has more than one `zocket.h.` subprotocol.\n",
            Malformed::TokenAlone => {
                "The request has a `zocket.h.` subprotocol, but does not offer `zocket.1`.\n"
            }
        };
        text.to_owned()
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Refusal {
        Refusal::new(400, Reason::Malformed).with_body(malformed.text().into_bytes())
    }
}

/// The answer to plain HTTP on a port that speaks TLS.
#[cfg(feature = "tls")]
pub(crate) fn without_tls() -> Refusal {
    Malformed::NoTls.into()
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Malformed {
        match error {
            httparse::Error::Version => Malformed::HttpVersion,
            httparse::Error::HeaderName | httparse::Error::HeaderValue => Malformed::HeaderLine,
            // Of a request, everything else is about its first line.
            _ => Malformed::RequestLine,
        }
    }
}
