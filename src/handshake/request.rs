//! The HTTP upgrade: checks the request head, and extracts what the owner sees.
//!
//! No I/O: the connection reads bytes, asks [`parse`] what they are, and sends what
//! [`SwitchingProtocols::to_response`](super::response::SwitchingProtocols::to_response) or [`Refusal::to_response`]
//! returns.

use std::{mem::MaybeUninit, net::IpAddr, sync::Arc};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    authority::Authority,
    caller::Caller,
    fields::Fields,
    forwarded,
    head::{self, End, MAX_FIELDS},
    headers::Headers,
    malformed::Malformed,
    refusal::{Reason, Refusal},
    rules::{Rules, Site},
    subprotocol::{self, PROTOCOL, Subprotocol},
    target::Target,
};

/// What the bytes read so far amount to.
#[derive(Debug)]
pub enum Head {
    /// More must be read.
    Partial,
    /// The head is complete, or nothing that may follow can make it right.
    Complete {
        /// Bytes the head takes; what follows them came early and belongs to the WebSocket connection. All bytes if
        /// the end of the head was not looked for any more.
        length: usize,
        /// What it is about, whatever becomes of it.
        about: About,
        /// The request, or what to answer instead of upgrading. Boxed, as it is handed on many times.
        request: Result<Box<UpgradeRequest>, Box<Refusal>>,
    },
}

/// What a request is about, whether it upgrades or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// Where it comes from, by what is believed of it; `None` if nobody knows.
    pub address: Option<IpAddr>,
    /// Whether it asks for the health of the server, instead of an upgrade.
    pub is_probe: bool,
}

impl About {
    /// What is known before the request has been read.
    pub(crate) fn of(caller: &Caller) -> Self {
        Self {
            address: caller.address(),
            is_probe: false,
        }
    }
}

/// An upgrade request that passed every check the engine makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub accept: String,
    /// The target as the client wrote it.
    pub url: String,
    /// The path as the client wrote it, without the query; `None` if it is the whole target.
    pub path: Option<String>,
    /// The subprotocol that is spoken from the 101 on.
    pub protocol: Subprotocol,
    /// Header fields, and what the client named besides, merged.
    pub headers: Headers,
    /// Whose page it comes from.
    pub site: Site,
    /// Whether it has fields that are not for the owner, as another site's page would profit from them.
    pub is_withheld: bool,
    /// The `Origin`.
    pub origin: Option<String>,
    /// Where the client sent it: a host with its port, if one is written.
    pub host: String,
    /// The address of the client; `None` if nobody knows it.
    pub address: Option<IpAddr>,
    /// The port of the client; 0 if nobody knows it.
    pub port: u16,
    /// Whether the client's way here is encrypted.
    pub secure: bool,
    /// The certificate that the client has proved to own, as PEM.
    pub certificate: Option<Arc<str>>,
}

impl UpgradeRequest {
    /// The path as the client wrote it, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.url)
    }
}

/// Looks at everything that has arrived so far on a fresh connection.
///
/// Costs one pass over at most [`MAX_HEAD`](super::head::MAX_HEAD) bytes, so it may be called after every read.
#[must_use]
pub fn parse(bytes: &[u8], rules: &Rules, caller: &Caller) -> Head {
    let mut about = About::of(caller);
    let refuse = |refusal| (bytes.len(), Err(Box::new(refusal)));
    let (length, request) = match head::find_end(bytes) {
        End::At(length) => {
            let request = check(&bytes[..length], rules, caller, &mut about);
            (length, request.map_err(Box::new))
        }
        End::NotYet => return Head::Partial,
        End::TooLarge => refuse(Refusal::new(431, Reason::HeadTooLarge)),
        // The first byte of a TLS record that begins a handshake.
        End::Malformed if bytes.starts_with(&[0x16]) => refuse(Malformed::Tls.into()),
        End::Malformed => refuse(Malformed::Control.into()),
    };
    Head::Complete {
        length,
        about,
        request,
    }
}

/// `about` is what is known before the head is read, and becomes what the head says.
fn check(
    head: &[u8],
    rules: &Rules,
    caller: &Caller,
    about: &mut About,
) -> Result<Box<UpgradeRequest>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut slots);
    let is_complete = parsed.map_err(Malformed::from)?.is_complete();
    let (true, Some(method), Some(url), Some(version)) =
        (is_complete, request.method, request.path, request.version)
    else {
        return Err(Malformed::RequestLine.into());
    };
    let fields = Fields::new(request.headers);
    let client = forwarded::client(&rules.trust_proxy, caller, &fields);
    about.address = client.address;
    if let Err(refusal) = check_upgrade(method, &fields) {
        about.is_probe = refusal.reason == Reason::NotUpgrade && rules.is_probe(method, url);
        return Err(refusal);
    }
    let (key, host) = check_handshake(version, &fields)?;
    let host = client.host.unwrap_or(host);
    let target = Target::parse(url).ok_or(Malformed::Target)?;
    let settled = subprotocol::settle(fields.items(PROTOCOL), &rules.protocols)?;
    rules.check_path(target.path)?;
    let origin = fields.joined("origin");
    let site = rules.site(origin.as_ref(), &host)?;
    Ok(Box::new(UpgradeRequest {
        accept: derive_accept_key(key),
        url: url.to_owned(),
        path: (target.path != url).then(|| target.path.to_owned()),
        protocol: settled.protocol,
        headers: fields.merge(site, settled.claims, target.query, &rules.trusted_headers),
        site,
        is_withheld: site == Site::Other
            && (fields.tell_of_the_visitor() || caller.certificate.is_some()),
        origin,
        host: host.as_str().to_owned(),
        address: client.address,
        port: client.port,
        secure: client.secure,
        // Browsers present it for any page.
        certificate: (caller.certificate.clone()).filter(|_| site == Site::Own),
    }))
}

/// Whether this asks for the protocol that is spoken here, in its only version.
fn check_upgrade(method: &str, fields: &Fields) -> Result<(), Refusal> {
    if method != "GET"
        || !fields.has_token("upgrade", "websocket")
        || !fields.has_token("connection", "upgrade")
    {
        return Err(Refusal {
            headers_only: method == "HEAD",
            ..Refusal::new(426, Reason::NotUpgrade)
        });
    }
    if (fields.only("Sec-WebSocket-Version")).is_ok_and(|version| version != b"13") {
        return Err(Refusal::new(426, Reason::Version));
    }
    Ok(())
}

/// What RFC 6455, section 4.2.1, and the RFCs of HTTP demand besides; gives the key and the host.
fn check_handshake<'a>(
    version: u8,
    fields: &Fields<'a>,
) -> Result<(&'a [u8], Authority<'a>), Malformed> {
    // First, as the proxy that speaks it is what has to be mended.
    if version == 0 {
        return Err(Malformed::Http10);
    }
    fields.only("Sec-WebSocket-Version")?;
    let key = fields.only("Sec-WebSocket-Key")?;
    let host = fields.only("Host")?;
    if !is_key(key) {
        return Err(Malformed::Key);
    }
    let host = Authority::parse(host).ok_or(Malformed::Host)?;
    if fields.count("authorization") > 1 {
        return Err(Malformed::Repeated("Authorization"));
    }
    if fields.announce_a_body() {
        return Err(Malformed::Body);
    }
    Ok((key, host))
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

#[cfg(test)]
mod tests;
