use proptest::prelude::*;

use super::*;
use crate::{
    border::event::write_headers,
    handshake::{head::MAX_HEAD, rules::AllowedOrigins},
    transport::peer::Peer,
};

const CALLER: Caller = Caller {
    peer: Peer::Local,
    secure: false,
    certificate: None,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request that is right, one line per item.
fn lines() -> Vec<String> {
    [
        "GET /chat?token=1 HTTP/1.1",
        "Host: example.com:3000",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    .map(String::from)
    .into()
}

fn head(lines: &[String]) -> Vec<u8> {
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// The right request with lines added.
fn with(added: &[&str]) -> Vec<u8> {
    let mut lines = lines();
    lines.extend(added.iter().map(ToString::to_string));
    head(&lines)
}

/// The right request with the line that starts with `start` replaced, or left out if `line` is empty.
fn changed(start: &str, line: &str) -> Vec<u8> {
    let mut lines = lines();
    let at = lines.iter().position(|line| line.starts_with(start));
    lines[at.unwrap()] = line.to_owned();
    lines.retain(|line| !line.is_empty());
    head(&lines)
}

fn origins(origins: AllowedOrigins) -> Rules {
    Rules {
        origins,
        ..Rules::default()
    }
}

fn check_by(bytes: &[u8], rules: &Rules) -> Result<UpgradeRequest, Refusal> {
    match parse(bytes, rules, &CALLER) {
        Head::Complete { request, .. } => request.map(|it| *it).map_err(|it| *it),
        Head::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

fn accepted(bytes: &[u8], rules: &Rules) -> UpgradeRequest {
    check_by(bytes, rules).unwrap_or_else(|refusal| panic!("{refusal:?}: {}", bytes.escape_ascii()))
}

fn refused_by(bytes: &[u8], rules: &Rules) -> (u16, Reason) {
    match check_by(bytes, rules) {
        Ok(_) => panic!("accepted: {}", bytes.escape_ascii()),
        Err(refusal) => (refusal.status, refusal.reason),
    }
}

fn refused(bytes: &[u8]) -> (u16, Reason) {
    refused_by(bytes, &Rules::default())
}

fn header<'a>(request: &'a UpgradeRequest, name: &str) -> Option<&'a str> {
    let mut found = request.headers.iter().filter(|(key, _)| *key == name);
    let value = found.next().map(|(_, value)| value);
    assert_eq!(found.next(), None, "doubled {name}");
    value
}

/// What a request that is malformed is told to be.
fn malformed(bytes: &[u8]) -> String {
    let refusal = check_by(bytes, &Rules::default()).unwrap_err();
    assert_eq!((refusal.status, refusal.reason), MALFORMED);
    String::from_utf8(refusal.body).unwrap()
}

const MALFORMED: (u16, Reason) = (400, Reason::Malformed);
const TOO_LARGE: (u16, Reason) = (431, Reason::HeadTooLarge);
const NOT_UPGRADE: (u16, Reason) = (426, Reason::NotUpgrade);

#[test]
fn a_right_request_is_accepted_with_path_headers_and_the_answer_to_its_key() {
    let request = accepted(&with(&["X-Name:  J\u{e4}  "]), &Rules::default());
    // The example of RFC 6455, section 1.3.
    assert_eq!(request.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(request.path(), "/chat");
    assert_eq!(request.origin, None);
    let mut json = Vec::new();
    write_headers(&mut json, &request.headers);
    assert_eq!(
        String::from_utf8(json).unwrap(),
        format!(
            r#"{{"host":"example.com:3000","upgrade":"websocket","connection":"Upgrade","sec-websocket-version":"13","sec-websocket-key":"{KEY}","x-name":"JÃ¤","token":"1"}}"#
        )
    );
}

#[test]
fn the_answer_to_head_has_the_fields_of_a_body_and_none() {
    for (method, has_body) in [("HEAD", false), ("GET", true), ("POST", true)] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let refusal = check_by(request.as_bytes(), &Rules::default()).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), NOT_UPGRADE);
        let response = String::from_utf8(refusal.to_response()).unwrap();
        assert!(response.contains("\r\nContent-Length: 28\r\n"));
        assert_eq!(!response.ends_with("\r\n\r\n"), has_body, "{method}");
    }
}

#[test]
fn no_headers_are_an_empty_json_object() {
    let mut json = Vec::new();
    write_headers(&mut json, &Headers::default());
    assert_eq!(json, b"{}");
}

#[test]
fn every_start_of_a_request_is_partial_and_early_frames_are_left_alone() {
    let mut bytes = with(&[]);
    let head = bytes.len();
    for length in 0..head {
        let start = parse(&bytes[..length], &Rules::default(), &CALLER);
        assert!(matches!(start, Head::Partial), "{length}");
    }
    bytes.extend_from_slice(b"\x81\x80\0\0\0\0\r\n\r\n");
    let Head::Complete {
        length, request, ..
    } = parse(&bytes, &Rules::default(), &CALLER)
    else {
        panic!("partial");
    };
    assert_eq!(length, head);
    assert!(request.is_ok());
}

#[test]
fn a_blank_line_before_the_request_is_skipped() {
    let bytes = [b"\r\n", &with(&[])[..]].concat();
    assert_eq!(accepted(&bytes, &Rules::default()).path(), "/chat");
}

#[test]
fn a_head_may_be_exactly_as_long_as_the_limit() {
    let padding = MAX_HEAD - with(&["A: "]).len();
    let longest = with(&[&format!("A: {}", "x".repeat(padding))]);
    assert_eq!(longest.len(), MAX_HEAD);
    accepted(&longest, &Rules::default());
    accepted(&[&longest[..], b"early"].concat(), &Rules::default());

    let longer = with(&[&format!("A: {}", "x".repeat(padding + 1))]);
    assert_eq!(refused(&longer), TOO_LARGE);
    // Seen before its end has arrived.
    assert_eq!(refused(&longer[..MAX_HEAD]), TOO_LARGE);
    assert!(matches!(
        parse(&longer[..MAX_HEAD - 1], &Rules::default(), &CALLER),
        Head::Partial
    ));
}

#[test]
fn a_hundred_fields_are_the_most() {
    let filler = vec!["a: b"; MAX_FIELDS - 5];
    accepted(&with(&filler), &Rules::default());
    let filler = vec!["malformed"; MAX_FIELDS - 4];
    assert_eq!(refused(&with(&filler)), TOO_LARGE);
}

#[test]
fn what_is_no_http_is_malformed() {
    for (bytes, text) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            "is TLS",
        ),
        (b"GET / HTTP/1.1\nHost: a\n\n", "CR LF"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1.1"),
        (b"GET /\r\n\r\n", "first line"),
        (b"GET  / HTTP/1.1\r\n\r\n", "first line"),
        (b"GET / HTTP/1.1 \r\n\r\n", "first line"),
        (b"GET / HTTP/1.2\r\n\r\n", "not HTTP/1.1"),
        (b"GET / http/1.1\r\n\r\n", "not HTTP/1.1"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "first line"),
        (b"G\"T / HTTP/1.1\r\n\r\n", "first line"),
        (b"x\r\n\r\n", "first line"),
        (b"\0", "control character"),
        (b"\r\n\r\n", "CR LF"),
    ] {
        let told = malformed(bytes);
        assert!(told.contains(text), "{}: {told}", bytes.escape_ascii());
    }
}

#[test]
fn field_lines_that_parsers_disagree_about_are_malformed() {
    for line in [
        " folded",
        "\tfolded",
        "A : b",
        "A",
        ": b",
        "A\u{e4}: b",
        "A b: c",
    ] {
        let told = malformed(&with(&[line]));
        assert!(
            told.contains("`Name: value` on one line"),
            "{line:?}: {told}"
        );
    }
    for line in [
        "A: b\rc",
        "A: b\nc: d",
        "A: b\0",
        "A: \u{1b}[31m",
        "A: \u{7f}",
    ] {
        let told = malformed(&with(&[line]));
        assert!(told.contains("control character"), "{line:?}: {told}");
    }
}

#[test]
fn a_request_that_announces_a_body_is_malformed() {
    accepted(&with(&["Content-Length: 0"]), &Rules::default());
    for line in [
        "Content-Length: 1",
        "Content-Length: +0",
        "Content-Length: 0, 5",
        "Content-Length:",
        "Content-Length: 0\r\nContent-Length: 6",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "transfer-encoding:",
    ] {
        let told = malformed(&with(&[line]));
        assert!(told.contains("announces a body"), "{line:?}: {told}");
    }
}

#[test]
fn an_ordinary_request_is_no_upgrade_whatever_its_target() {
    for line in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.0",
        "HEAD / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT h:443 HTTP/1.1",
        "POST / HTTP/1.1\r\nContent-Length: 3",
    ] {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
        let rules = Rules {
            path: Some("/ws".into()),
            origins: AllowedOrigins::List(vec![]),
            ..Rules::default()
        };
        assert_eq!(refused_by(&bytes, &rules), NOT_UPGRADE, "{line}");
    }
}

#[test]
fn an_upgrade_needs_get_and_both_tokens() {
    for (start, line) in [
        ("GET", "POST / HTTP/1.1"),
        ("GET", "get / HTTP/1.1"),
        ("Upgrade", ""),
        ("Upgrade", "Upgrade: h2c"),
        ("Upgrade", "Upgrade: websocket/13"),
        ("Connection", ""),
        ("Connection", "Connection: keep-alive"),
    ] {
        assert_eq!(refused(&changed(start, line)), NOT_UPGRADE, "{line}");
    }
}

#[test]
fn tokens_count_in_any_letter_case_in_lists_and_in_repeated_fields() {
    for (start, line) in [
        ("Upgrade", "UPGRADE: h2c, WebSocket"),
        ("Connection", "connection:keep-alive,UPGRADE"),
        ("Connection", "Connection: close\r\nConnection: upgrade"),
    ] {
        accepted(&changed(start, line), &Rules::default());
    }
}

#[test]
fn another_version_is_told_the_right_one() {
    for version in ["8", "12", "130", "13, 8", "x", ""] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let refused = refused(&changed("Sec-WebSocket-Version", &line));
        assert_eq!(refused, (426, Reason::Version), "{version}");
    }
}

#[test]
fn a_missing_or_doubled_version_is_malformed() {
    assert_eq!(
        malformed(&changed("Sec-WebSocket-Version", "")),
        "The request has no `Sec-WebSocket-Version` header.\n"
    );
    for line in ["sec-websocket-version: 13", "Sec-WebSocket-Version: 8"] {
        assert_eq!(
            malformed(&with(&[line])),
            "The request has more than one `Sec-WebSocket-Version` header.\n"
        );
    }
}

#[test]
fn a_key_that_is_not_sixteen_bytes_in_base64_is_malformed() {
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZXg=",
        "dGhlIHNhbXBsZSBub25jZXhA",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "dGhlIHNhbXBsZSBub25j Q==",
    ] {
        let line = format!("Sec-WebSocket-Key: {key}");
        let told = malformed(&changed("Sec-WebSocket-Key", &line));
        assert!(told.contains("not 16 bytes in base64"), "{key}: {told}");
    }
    assert_eq!(
        malformed(&changed("Sec-WebSocket-Key", "")),
        "The request has no `Sec-WebSocket-Key` header.\n"
    );
    let doubled = format!("sec-websocket-key: {KEY}");
    assert_eq!(
        malformed(&with(&[&doubled])),
        "The request has more than one `Sec-WebSocket-Key` header.\n"
    );
}

#[test]
fn a_key_of_random_characters_is_accepted() {
    let line = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA+/==";
    accepted(&changed("Sec-WebSocket-Key", line), &Rules::default());
}

#[test]
fn an_upgrade_over_http_1_0_is_malformed() {
    for changed in ["", "Host", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        let mut lines = lines();
        lines.retain(|line| changed.is_empty() || !line.starts_with(changed));
        lines[0] = "GET / HTTP/1.0".into();
        assert_eq!(
            malformed(&head(&lines)),
            "The request is HTTP/1.0; WebSocket needs HTTP/1.1. \
             A proxy in front may need `proxy_http_version 1.1`.\n"
        );
    }
}

#[test]
fn a_missing_repeated_or_senseless_host_is_malformed() {
    assert_eq!(
        malformed(&changed("Host", "")),
        "The request has no `Host` header.\n"
    );
    for line in ["Host:", "Host: a b", "Host: a, b", "Host: u@a", "Host: a:x"] {
        let told = malformed(&changed("Host", line));
        assert!(told.contains("not a host name"), "{line}: {told}");
    }
    assert_eq!(
        malformed(&with(&["HOST: example.com:3000"])),
        "The request has more than one `Host` header.\n"
    );
}

#[test]
fn a_repeated_authorization_is_malformed() {
    let repeated = with(&["Authorization: a", "authorization: a"]);
    assert_eq!(
        malformed(&repeated),
        "The request has more than one `Authorization` header.\n"
    );
}

#[test]
fn an_upgrade_of_no_resource_is_malformed() {
    for target in ["*", "h:443", "ftp://h/", "chat", "/chat#a"] {
        let line = format!("GET {target} HTTP/1.1");
        let told = malformed(&changed("GET", &line));
        assert!(told.contains("starts with `/`"), "{target}: {told}");
    }
}

#[test]
fn path_and_query_of_an_absolute_target_count() {
    let bytes = changed("GET", "GET http://example.com:3000/ws?A=1 HTTP/1.1");
    let request = accepted(&bytes, &Rules::default());
    assert_eq!(request.path(), "/ws");
    assert_eq!(header(&request, "a"), Some("1"));
}

#[test]
fn only_the_path_of_the_rules_is_served() {
    let rules = Rules {
        path: Some("/chat".into()),
        ..Rules::default()
    };
    accepted(&with(&[]), &rules);
    for target in ["/", "/chat/", "/Chat", "/%63hat", "//chat", "/chat/../chat"] {
        let bytes = changed("GET", &format!("GET {target} HTTP/1.1"));
        assert_eq!(refused_by(&bytes, &rules), (404, Reason::Path), "{target}");
    }
}

#[test]
fn a_list_of_origins_is_exact_and_lets_requests_without_origin_in() {
    let rules = origins(AllowedOrigins::List(vec![
        "https://a.com".into(),
        "null".into(),
    ]));
    accepted(&with(&[]), &rules);
    accepted(&with(&["Origin: null"]), &rules);
    let request = accepted(&with(&["Origin: https://a.com", "Cookie: c"]), &rules);
    assert_eq!(header(&request, "cookie"), Some("c"));
    assert_eq!(request.origin.as_deref(), Some("https://a.com"));
    assert_eq!(request.site, Site::Own);
    for lines in [
        &["Origin: https://a.com:443"][..],
        &["Origin: http://a.com"],
        &["Origin: HTTPS://A.COM"],
        &["Origin: https://a.com/"],
        &["Origin:"],
        &["Origin: http://example.com:3000"],
        &["Origin: https://a.com", "Origin: https://a.com"],
    ] {
        let refused = refused_by(&with(lines), &rules);
        assert_eq!(refused, (403, Reason::Origin), "{lines:?}");
    }
}

#[test]
fn the_owner_is_shown_the_origin_and_all_credentials() {
    let rules = origins(AllowedOrigins::Owner);
    let lines = ["Origin: https://evil.com", "Cookie: c", "Authorization: d"];
    let request = accepted(&with(&lines), &rules);
    assert_eq!(request.origin.as_deref(), Some("https://evil.com"));
    assert_eq!(header(&request, "cookie"), Some("c"));
    assert_eq!(header(&request, "authorization"), Some("d"));

    assert_eq!(accepted(&with(&[]), &rules).origin, None);
    let query = changed("GET", "GET /?origin=https://a.com HTTP/1.1");
    assert_eq!(accepted(&query, &rules).origin, None);
}

#[test]
fn another_site_cannot_ride_on_a_visitors_credentials() {
    for origin in [
        "http://evil.com",
        "http://example.com",
        "http://example.com:3001",
        "https://example.com:3000.evil.com",
        "null",
        "nonsense",
        "",
    ] {
        let mut lines = lines();
        lines[0] = "GET /?authorization=mine&cookie=mine HTTP/1.1".into();
        lines.push(format!("Origin: {origin}"));
        lines.push("COOKIE: a=1".into());
        lines.push("Authorization: Basic eA==".into());
        lines.push("cookie: b=2".into());
        lines.push("X-User: ada".into());
        let request = accepted(&head(&lines), &Rules::default());
        assert_eq!(header(&request, "cookie"), None, "{origin}");
        assert_eq!(header(&request, "authorization"), Some("mine"), "{origin}");
        assert_eq!(header(&request, "origin"), Some(origin), "{origin}");
        assert_eq!(header(&request, "host"), Some("example.com:3000"));
        assert_eq!(header(&request, "x-user"), None, "{origin}");
        assert_eq!(request.site, Site::Other);
    }
}

#[test]
fn a_second_origin_makes_a_request_one_of_another_site() {
    let request = accepted(
        &with(&[
            "Origin: http://example.com:3000",
            "Origin: http://example.com:3000",
            "Cookie: c",
        ]),
        &Rules::default(),
    );
    assert_eq!(header(&request, "cookie"), None);
}

#[test]
fn the_own_site_and_programs_keep_their_credentials() {
    let credentials = ["Cookie: a=1", "Authorization: b", "Cookie: c=2"];
    for origin in [None, Some("Origin: http://EXAMPLE.com:3000")] {
        let lines: Vec<_> = credentials.into_iter().chain(origin).collect();
        let request = accepted(&with(&lines), &Rules::default());
        assert_eq!(header(&request, "cookie"), Some("a=1; c=2"));
        assert_eq!(header(&request, "authorization"), Some("b"));
        assert_eq!(request.site, Site::Own);
    }
}

#[test]
fn the_checks_come_in_a_fixed_order() {
    let rules = Rules {
        path: Some("/ws".into()),
        origins: AllowedOrigins::List(vec![]),
        ..Rules::default()
    };
    // Everything is wrong; then one thing after the other is put right.
    let mut lines: Vec<String> = ["GET /no HTTP/1.1", "Origin: http://evil.com"]
        .map(String::from)
        .into();
    assert_eq!(refused_by(&head(&lines), &rules), NOT_UPGRADE);
    lines.push("Upgrade: websocket\r\nConnection: upgrade".into());
    lines.push("Sec-WebSocket-Version: 8".into());
    let version = (426, Reason::Version);
    assert_eq!(refused_by(&head(&lines), &rules), version);
    lines[3] = "Sec-WebSocket-Version: 13".into();
    assert_eq!(refused_by(&head(&lines), &rules), MALFORMED);
    lines.push(format!("Sec-WebSocket-Key: {KEY}\r\nHost: a"));
    assert_eq!(refused_by(&head(&lines), &rules), (404, Reason::Path));
    lines[0] = "GET /ws HTTP/1.1".into();
    assert_eq!(refused_by(&head(&lines), &rules), (403, Reason::Origin));
    lines.remove(1);
    accepted(&head(&lines), &rules);
}

/// Pieces that are likely to meet each other in strange ways.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let lines = lines().into_iter().chain([
        "Origin: http://a".into(),
        "Cookie: a".into(),
        "Authorization: a".into(),
        " ".into(),
        ":".into(),
        "\r\n\r\n".into(),
    ]);
    prop_oneof![
        8 => prop::sample::select(lines.collect::<Vec<_>>()).prop_map(|line| (line + "\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => "\\PC{0,8}\r\n".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn what_comes_later_changes_nothing_and_nothing_makes_it_panic(
        pieces in prop::collection::vec(piece(), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = pieces.concat();
        let start = &bytes[..cut.index(bytes.len() + 1)];
        if let Head::Complete {
            length, request, ..
        } = parse(start, &Rules::default(), &CALLER) {
            prop_assert!(length <= start.len());
            match parse(&bytes, &Rules::default(), &CALLER) {
                Head::Complete { request: later, .. } => prop_assert_eq!(request, later),
                Head::Partial => prop_assert!(false, "complete first, partial later"),
            }
        }
    }

    #[test]
    fn headers_are_json_with_unique_names_each_in_lower_case_too(query in "[a-cA-C%4&=+_éİΣK\"\\\\]{0,40}") {
        let request = accepted(
            &changed("GET", &format!("GET /?{query} HTTP/1.1")),
            &Rules::default(),
        );
        let mut json = Vec::new();
        write_headers(&mut json, &request.headers);
        let object: serde_json::Map<_, _> = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(object.len(), request.headers.len());
        prop_assert!(object.keys().all(|name| object.contains_key(&name.to_lowercase())));
    }
}
