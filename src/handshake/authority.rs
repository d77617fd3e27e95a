//! `host[:port]`, as in `Host`, in an absolute target and in an `Origin`, and the comparison the origin rule needs.

use std::net::Ipv6Addr;

/// A host with its port, if one is written.
#[derive(Debug)]
pub(super) struct Authority<'a> {
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
        let (host, port) = if let Some(text) = text.strip_prefix('[') {
            let (address, rest) = text.split_once(']')?;
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
        Some(Authority { host, port })
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
mod tests {
    use super::*;

    fn matches(origin: &str, host: &str) -> bool {
        Authority::parse(host.as_bytes())
            .unwrap()
            .is_host_of(origin)
    }

    #[test]
    fn an_origin_of_the_same_host_and_port_matches() {
        assert!(matches("http://example.com", "example.com"));
        assert!(matches("http://example.com:3000", "example.com:3000"));
        assert!(matches("http://10.0.0.1:3000", "10.0.0.1:3000"));
        assert!(matches("https://my_service.local", "my_service.local"));
    }

    #[test]
    fn letter_case_does_not_matter() {
        assert!(matches("HTTPS://Example.COM", "eXample.com:443"));
    }

    #[test]
    fn the_default_port_of_the_origins_scheme_stands_for_a_missing_one() {
        for (origin, host, expected) in [
            ("http://a", "a:80", true),
            ("http://a:80", "a", true),
            ("ws://a", "a:80", true),
            ("https://a", "a:443", true),
            ("https://a:443", "a", true),
            ("wss://a:443", "a", true),
            ("https://a", "a:80", false),
            ("https://a:80", "a", false),
            ("http://a", "a:443", false),
            ("http://a:443", "a", false),
            ("http://a:3000", "a", false),
            ("http://a", "a:3000", false),
            ("http://a", "a:", true),
        ] {
            assert_eq!(matches(origin, host), expected, "{origin} on {host}");
        }
    }

    #[test]
    fn a_scheme_without_default_port_matches_by_what_is_written() {
        assert!(matches("app://a", "a"));
        assert!(!matches("app://a", "a:80"));
    }

    #[test]
    fn another_host_or_port_does_not_match() {
        for origin in [
            "http://b.com",
            "http://sub.a.com",
            "http://a.com.evil.com",
            "http://a.comevil",
            "http://a.com.",
            "http://a.com:3001",
            "http://a.com",
        ] {
            assert!(!matches(origin, "a.com:3000"), "{origin}");
        }
    }

    #[test]
    fn addresses_of_version_6_are_compared_as_addresses() {
        assert!(matches("http://[::1]:3000", "[::1]:3000"));
        assert!(matches("http://[fe80::ABCD]", "[FE80:0:0::abcd]:80"));
        assert!(!matches("http://[::1]", "[::2]"));
        assert!(!matches("http://[::1]:3000", "[::1]"));
        assert!(!matches("http://[::ffff:127.0.0.1]", "127.0.0.1"));
    }

    #[test]
    fn null_and_what_is_no_origin_match_nothing() {
        for origin in [
            "",
            "null",
            "a",
            "//a",
            "http:a",
            "http://",
            "http://a/",
            "http://a/path",
            "http://u@a",
            "http://u:p@a",
            "http://a:80, http://a",
            "http://a, http://a",
            "http://a http://a",
            "http://a?b",
            "http://a\\b",
            "http://\u{e4}",
        ] {
            assert!(!matches(origin, "a"), "{origin}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_read() {
        for text in [
            "",
            ":80",
            "a b",
            "a,a",
            "u@a",
            "a/",
            "a:b",
            "a:+1",
            "a:-1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]80",
            "[]",
            "[a]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "\u{e4}",
        ] {
            assert!(Authority::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Authority::parse(b"\xe4").is_none());
    }
}
