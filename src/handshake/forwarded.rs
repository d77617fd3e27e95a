//! What proxies in front say about a client, as far as they are believed.
//!
//! A proxy opens a connection of its own, so its address hides that of the client. It says in `X-Forwarded-For` where the
//! request came from, behind what the proxies before it have said. So the walk begins at the right, and goes on for as long
//! as each address is that of a proxy which is believed. What stands further left may come from anybody.

use std::net::{IpAddr, SocketAddr};

use super::{authority::Authority, caller::Caller, fields::Fields, proxy::TrustProxy};

/// Who asks, as far as it is believed.
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

/// Who asks, after what is believed of these fields.
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
