//! Reads what trusted proxies in front say about a client.
//!
//! A proxy opens a new connection, so its address hides that of the client. It appends the address that it saw to
//! `X-Forwarded-For`. So the walk begins at the right, and continues while each address is that of a trusted proxy. The entries
//! further left may come from anybody.

use std::net::{IpAddr, SocketAddr};

use super::{authority::Authority, caller::Caller, fields::Fields, proxy::TrustProxy};

/// The client, as far as the server believes it.
#[derive(Debug)]
pub(super) struct Client<'a> {
    /// Its address; `None` if nobody knows it.
    pub(super) address: Option<IpAddr>,
    /// Its port; 0 if nobody knows it, as proxies tell none that is believed.
    pub(super) port: u16,
    /// Whether its way to the first of the proxies is encrypted.
    pub(super) secure: bool,
    /// The host that it has asked for, if a proxy names one.
    pub(super) host: Option<Authority<'a>>,
}

/// The client, after the trusted part of these fields.
pub(super) fn client<'a>(trust: &TrustProxy, caller: &Caller, fields: &Fields<'a>) -> Client<'a> {
    let mut client = Client {
        address: caller.address(),
        port: caller.port(),
        secure: caller.secure,
        host: None,
    };
    if !trust.trusts(client.address, 0) {
        return client;
    }
    let scheme = fields.items("x-forwarded-proto").next();
    if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
        client.secure = ["https", "wss"]
            .iter()
            .any(|it| scheme.eq_ignore_ascii_case(it.as_bytes()));
    }
    let host = fields.items("x-forwarded-host").next();
    client.host = host.and_then(Authority::parse);
    let entries = fields.items("x-forwarded-for").rev();
    for (hop, entry) in entries.enumerate() {
        if !trust.trusts(client.address, hop) {
            break;
        }
        let Some(address) = read_address(entry) else {
            break;
        };
        client.address = Some(address);
        client.port = 0;
    }
    client
}

/// An entry of `X-Forwarded-For`: an address, which some proxies give a port, and IPv6 ones brackets.
fn read_address(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?;
    let bare = (entry.strip_prefix('[')).and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match entry.parse() {
            Ok(address) => address,
            Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
