//! The HTTP upgrade: checks the request head, extracts the headers the owner sees, and writes the answers.
//!
//! No I/O: the connection reads bytes, asks [`parse`] what they are, and sends what [`switching_protocols`] or
//! [`Refusal::to_response`] returns.

mod authority;
mod fields;
mod head;
mod refusal;
mod target;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub use self::refusal::{Reason, Refusal};

use self::authority::Authority;
use self::fields::Fields;
use self::head::End;
use self::target::Target;
use crate::envelope::push_json_string;

/// The longest request head in bytes, blank line included.
pub const MAX_HEAD: usize = 16 * 1024;
/// The most header fields a request may have.
pub const MAX_FIELDS: usize = 100;

/// Who may connect from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Everybody, but a request from another site comes without the visitor's credentials.
    #[default]
    Any,
    /// Exactly these origins, and requests that have none.
    List(Vec<String>),
    /// The owner looks at [`UpgradeRequest::origin`].
    Owner,
}

/// What the owner's configuration demands of an upgrade request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The only path to serve, the query aside; `None` serves every path.
    pub path: Option<String>,
    /// Who may connect from a browser.
    pub origins: AllowedOrigins,
}

/// What the bytes read so far amount to.
#[derive(Debug)]
pub enum Head {
    /// More must be read.
    Partial,
    /// The head is complete, or nothing that may follow can make it right.
    Complete {
        /// Bytes the head takes; what follows them came early and belongs to the WebSocket connection.
        length: usize,
        /// The request, or what to answer instead of upgrading.
        request: Result<UpgradeRequest, Refusal>,
    },
}

/// An upgrade request that passed every check the engine makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub accept: String,
    /// The path as the client wrote it, without the query.
    pub path: String,
    /// Header fields and query parameters merged; names in lower case, each only once.
    pub headers: Vec<(String, String)>,
    /// The `Origin` for the owner to judge: only with [`AllowedOrigins::Owner`].
    pub origin: Option<String>,
}

impl UpgradeRequest {
    /// Appends the headers as one JSON object.
    pub fn write_headers_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.headers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_json_string(out, name);
            out.push(b':');
            push_json_string(out, value);
        }
        out.push(b'}');
    }
}

/// Looks at everything that has arrived so far on a fresh connection.
///
/// Costs one pass over at most [`MAX_HEAD`] bytes, so it may be called after every read.
#[must_use]
pub fn parse(bytes: &[u8], rules: &Rules) -> Head {
    let seen = &bytes[..bytes.len().min(MAX_HEAD)];
    let (length, request) = match head::find_end(seen) {
        End::At(length) => (length, check(&seen[..length], rules)),
        End::Never => (seen.len(), Err(Refusal::new(400, Reason::Malformed))),
        End::NotYet if seen.len() == MAX_HEAD => {
            (MAX_HEAD, Err(Refusal::new(431, Reason::HeadTooLarge)))
        }
        End::NotYet => return Head::Partial,
    };
    Head::Complete { length, request }
}

/// The answer that accepts an upgrade.
#[must_use]
pub fn switching_protocols(accept: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

fn check(head: &[u8], rules: &Rules) -> Result<UpgradeRequest, Refusal> {
    let malformed = || Refusal::new(400, Reason::Malformed);

    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, Reason::HeadTooLarge));
        }
        Ok(httparse::Status::Partial) | Err(_) => return Err(malformed()),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(malformed());
    };
    let fields = Fields::new(request.headers);

    if method != "GET"
        || !fields.has_token("upgrade", "websocket")
        || !fields.has_token("connection", "upgrade")
    {
        return Err(Refusal::new(426, Reason::NotUpgrade));
    }
    if fields.only("sec-websocket-version").ok_or_else(malformed)? != b"13" {
        return Err(Refusal::new(426, Reason::Version));
    }
    let key = fields.only("sec-websocket-key").ok_or_else(malformed)?;
    let host = fields
        .only("host")
        .and_then(Authority::parse)
        .ok_or_else(malformed)?;
    if !is_key(key) || version < 1 || fields.count("authorization") > 1 || fields.announce_a_body()
    {
        return Err(malformed());
    }
    let target = Target::parse(target).ok_or_else(malformed)?;

    if rules.path.as_ref().is_some_and(|path| path != target.path) {
        return Err(Refusal::new(404, Reason::Path));
    }
    let origin = fields.joined("origin");
    if let (AllowedOrigins::List(allowed), Some(origin)) = (&rules.origins, &origin)
        && !allowed.contains(origin)
    {
        return Err(Refusal::new(403, Reason::Origin));
    }
    // Browsers send these two along with any page's request, so another site must not profit from them.
    let withheld: &[&str] = match (&rules.origins, &origin) {
        (AllowedOrigins::Any, Some(origin)) if !host.is_host_of(origin) => {
            &["cookie", "authorization"]
        }
        _ => &[],
    };
    Ok(UpgradeRequest {
        accept: derive_accept_key(key),
        path: target.path.to_owned(),
        headers: fields.merge(withheld, target.query),
        origin: origin.filter(|_| rules.origins == AllowedOrigins::Owner),
    })
}

/// Whether this is 16 bytes in base64. The bits that stand for no byte may be anything, as many clients draw all
/// characters at random.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
