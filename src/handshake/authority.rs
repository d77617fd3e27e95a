//! `host[:port]`, as in `Host`, in an absolute target and in an `Origin`, and the comparison the origin rule needs.

use std::net::Ipv6Addr;

/// A host with its port, if one is written.
#[derive(Debug)]
pub(super) struct Authority<'a> {
    /// As it is written.
    text: &'a str,
    host: Host<'a>,
    port: Option<u16>,
}

#[derive(Debug)]
enum Host<'a> {
    /// A name or an IPv4 address.
    Name(&'a str),
    V6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    /// Reads one; user names, paths and empty hosts make it `None`.
    pub(super) fn parse(text: &'a [u8]) -> Option<Authority<'a>> {
        let text = str::from_utf8(text).ok()?;
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']')?;
            let port = match rest {
                "" => "",
                rest => rest.strip_prefix(':')?,
            };
            (Host::V6(address.parse().ok()?), port)
        } else {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return None;
            }
            (Host::Name(name), port)
        };
        let port = match port {
            // An empty port is the default port, too (RFC 3986, section 3.2.3).
            "" => None,
            // `u16::from_str` alone would take a leading `+`.
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        Some(Authority { text, host, port })
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether a page of this origin came from this host and port. `null` and everything else that is no
    /// `scheme://host[:port]` came from elsewhere.
    pub(super) fn is_host_of(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let Some(page) = Authority::parse(authority.as_bytes()) else {
            return false;
        };
        // Behind a proxy that ends TLS the scheme is not ours to know, but the page's is told.
        let default = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        self.host.is(&page.host) && self.port.or(default) == page.port.or(default)
    }
}

impl Host<'_> {
    fn is(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            (Host::V6(one), Host::V6(other)) => one == other,
            _ => false,
        }
    }
}

/// `reg-name` of RFC 3986, section 3.2.2, without the comma, which would hide two joined fields.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}

#[cfg(test)]
mod tests;
