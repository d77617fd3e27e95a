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
