use super::*;
use crate::handshake::head::MAX_HEAD;

fn merge(fields: &[(&'static str, &'static [u8])], query: &str) -> Vec<(String, String)> {
    merge_from(Site::Own, fields, query)
}

fn merge_from(
    site: Site,
    fields: &[(&'static str, &'static [u8])],
    query: &str,
) -> Vec<(String, String)> {
    let fields: Vec<_> = (fields.iter())
        .map(|&(name, value)| Header { name, value })
        .collect();
    let merged = Fields::new(&fields).merge(site, Vec::new(), query, &[]);
    (merged.iter())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    (expected.iter())
        .map(|&(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn names_are_in_lower_case_and_repeats_are_joined() {
    assert_eq!(
        merge(
            &[("X-A", b"1"), ("Host", b"h"), ("x-a", b""), ("X-a", b"2")],
            ""
        ),
        pairs(&[("x-a", "1, , 2"), ("host", "h")])
    );
}

#[test]
fn cookies_are_joined_as_cookies_are() {
    assert_eq!(
        merge(&[("Cookie", b"a=1"), ("cookie", b"b=2")], ""),
        pairs(&[("cookie", "a=1; b=2")])
    );
}

#[test]
fn values_are_decoded_byte_by_byte() {
    assert_eq!(
        merge(&[("a", b"\xe4\xff\t!")], ""),
        pairs(&[("a", "äÿ\t!")])
    );
}

#[test]
fn query_parameters_come_after_the_fields_decoded() {
    assert_eq!(
        merge(
            &[("a", b"1")],
            "b=x+y%20z&C%2b=%C3%A4%F0%9F%98%80&d&=e&&f=g=h&i=%zz%"
        ),
        pairs(&[
            ("a", "1"),
            ("b", "x y z"),
            ("c+", "ä😀"),
            ("C+", "ä😀"),
            ("d", ""),
            ("", "e"),
            ("f", "g=h"),
            ("i", "%zz%"),
        ])
    );
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    assert_eq!(
        merge(&[], "a=%ff&b=%00%0d%0a"),
        pairs(&[("a", "\u{fffd}"), ("b", "\0\r\n")])
    );
}

#[test]
fn a_parameter_keeps_its_spelling_and_is_there_in_lower_case_too() {
    assert_eq!(
        merge(&[("a", b"1")], "sessionId=2&%C3%84b=3&c=4"),
        pairs(&[
            ("a", "1"),
            ("sessionid", "2"),
            ("sessionId", "2"),
            ("äb", "3"),
            ("Äb", "3"),
            ("c", "4"),
        ])
    );
}

#[test]
fn the_last_of_several_parameters_wins() {
    assert_eq!(
        merge(&[], "a=1&b=2&a=3&%61=4"),
        pairs(&[("a", "4"), ("b", "2")])
    );
    // In lower case, the last one of any spelling.
    for (query, [lower, upper]) in [
        ("Token=1&b=2&TOKEN=3&tok%65n=4", ["4", "3"]),
        ("TOKEN=1&token=2", ["2", "1"]),
        ("token=1&TOKEN=2", ["2", "2"]),
        ("TOKEN=1&token=2&TOKEN=3", ["3", "3"]),
    ] {
        let merged = merge(&[], query);
        let value = |name: &str| {
            let mut found = merged.iter().filter(|(key, _)| key == name);
            let value = found.next().map(|(_, value)| value.clone());
            assert_eq!(found.next(), None, "{query}: doubled {name}");
            value
        };
        assert_eq!(value("token").as_deref(), Some(lower), "{query}");
        assert_eq!(value("TOKEN").as_deref(), Some(upper), "{query}");
    }
}

#[test]
fn a_field_wins_over_every_parameter_of_its_name_under_every_spelling() {
    assert_eq!(
        merge(
            &[("Authorization", b"real")],
            "authorization=1&AUTHORIZATION=2&Authorization=3&AUTHORIZATION=4"
        ),
        pairs(&[
            ("authorization", "real"),
            ("AUTHORIZATION", "real"),
            ("Authorization", "real")
        ])
    );
    assert_eq!(merge(&[("a", b"")], "a=1"), pairs(&[("a", "")]));
    assert_eq!(
        merge(&[("X-A", b"1"), ("x-a", b"2")], "X-A=3"),
        pairs(&[("x-a", "1, 2"), ("X-A", "1, 2")])
    );
    // The Kelvin sign, whose lower case is a plain `k`.
    assert_eq!(
        merge(&[("key", b"real")], "%E2%84%AAey=forged"),
        pairs(&[("key", "real"), ("\u{212a}ey", "real")])
    );
}

#[test]
fn a_field_is_not_repeated_without_end_under_the_spellings_of_a_query() {
    let value = [b'x'; 6000];
    let fields = [Header {
        name: "authorization",
        value: &value,
    }];
    let spelled = |number: u32| -> String {
        let upper = |(at, letter): (usize, char)| match number >> at & 1 {
            1 => letter.to_ascii_uppercase(),
            _ => letter,
        };
        "authorization".chars().enumerate().map(upper).collect()
    };
    let query: Vec<_> = (0..600).map(|number| spelled(number) + "=forged").collect();
    let merged = Fields::new(&fields).merge(Site::Own, Vec::new(), &query.join("&"), &[]);
    assert!(merged.len() > 1);
    assert!(merged.bytes() < 2 * MAX_HEAD, "{}", merged.bytes());
    assert!(merged.iter().all(|(_, it)| it.as_bytes() == value));
}

#[test]
fn only_the_fields_are_told_as_fields() {
    let fields = [("Host", &b"h"[..]), ("X-a", b"1"), ("x-A", b"2")];
    let fields = fields.map(|(name, value)| Header { name, value });
    let merged = Fields::new(&fields).merge(Site::Own, Vec::new(), "HOST=1&b=2&C=3", &[]);
    assert!(merged.fields().eq(["host", "x-a"]));
    assert_eq!(merged.len(), 6);
}

#[test]
fn a_cookie_never_comes_from_the_query() {
    // The last one is the Kelvin sign, whose lower case is a plain `k`.
    let query = "cookie=1&Cookie=2&%63ookie=3&coo%E2%84%AAie=4";
    assert_eq!(merge(&[], query), []);
}

#[test]
fn names_that_mean_something_to_javascript_are_just_names() {
    assert_eq!(
        merge(&[("constructor", b"1")], "__proto__=2&toString=3"),
        pairs(&[
            ("constructor", "1"),
            ("__proto__", "2"),
            ("tostring", "3"),
            ("toString", "3")
        ])
    );
}

#[test]
fn another_site_keeps_what_holds_nothing_of_the_visitor() {
    let kept = [
        "Host",
        "origin",
        "USER-AGENT",
        "Accept",
        "accept-Language",
        "Sec-WebSocket-Key",
        "sec-fetch-site",
    ];
    let withheld = [
        "Cookie",
        "Authorization",
        "X-Forwarded-User",
        "Accepted",
        "Sec",
        "Secret",
        "Hosts",
        "X-Origin",
        "User-Agents",
        "Connection",
    ];
    let names = kept.into_iter().chain(withheld);
    let fields: Vec<_> = names.map(|name| (name, &b"1"[..])).collect();
    let left = merge_from(Site::Other, &fields, "");
    let names = kept.map(str::to_lowercase);
    assert!(left.iter().map(|(name, _)| name).eq(&names), "{left:?}");
    assert_eq!(merge(&fields, "").len(), fields.len());
}

#[test]
fn another_site_may_bring_an_authorization_but_nothing_else_that_was_withheld() {
    assert_eq!(
        merge_from(
            Site::Other,
            &[
                ("Cookie", b"c"),
                ("AUTHORIZATION", b"real"),
                ("X-User", b"ada"),
                ("Host", b"h")
            ],
            "Authorization=mine&cookie=x&x-user=admin&X-User=admin&HOST=forged&token=mine"
        ),
        pairs(&[
            ("host", "h"),
            ("authorization", "mine"),
            ("Authorization", "mine"),
            ("HOST", "h"),
            ("token", "mine")
        ])
    );
}

#[test]
fn tokens_are_found_in_lists_and_repeats_in_any_letter_case() {
    let header = |value| Header {
        name: "Connection",
        value,
    };
    for (values, expected) in [
        (&[&b"upgrade"[..]][..], true),
        (&[b"keep-alive, \tUPGRADE ,x"], true),
        (&[b"close", b"Upgrade"], true),
        (&[b",,upgrade"], true),
        (&[b""], false),
        (&[b"upgrades"], false),
        (&[b"up, grade"], false),
        (&[b"keep-alive upgrade"], false),
        (&[b"\"upgrade\""], false),
        (&[], false),
    ] {
        let fields: Vec<_> = values.iter().map(|&value| header(value)).collect();
        let found = Fields::new(&fields).has_token("connection", "upgrade");
        assert_eq!(found, expected, "{values:?}");
    }
}

#[test]
fn a_field_wins_over_the_subprotocol_and_that_over_the_query_under_any_spelling() {
    let fields = [
        Header {
            name: "Host",
            value: b"h",
        },
        Header {
            name: "Cookie",
            value: b"real",
        },
        Header {
            name: "Sec-WebSocket-Protocol",
            value: b"secret",
        },
    ];
    let claims = [
        ("HOST", "1"),
        ("Token", "claim"),
        ("cookie", "2"),
        ("Sec-WebSocket-Protocol", "3"),
    ];
    let claims = claims.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query =
        "TOKEN=query&token=query&Token=query&only=query&Host=4&COOKIE=5&sec-websocket-protocol=6";
    let merged = Fields::new(&fields).merge(Site::Own, claims.into(), query, &[]);
    let merged: Vec<_> = (merged.iter())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    assert_eq!(
        merged,
        pairs(&[
            ("host", "h"),
            ("cookie", "real"),
            ("HOST", "h"),
            ("token", "claim"),
            ("Token", "claim"),
            ("TOKEN", "claim"),
            ("only", "query"),
            ("Host", "h"),
        ])
    );
}

#[test]
fn another_site_may_claim_what_it_may_put_into_a_query() {
    let fields =
        [("X-User", "1"), ("Authorization", "2"), ("Origin", "3")].map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        });
    let claims = [("x-user", "a"), ("Authorization", "b"), ("origin", "c")];
    let claims = claims.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let merged = Fields::new(&fields).merge(Site::Other, claims.into(), "", &[]);
    let merged: Vec<_> = (merged.iter())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    assert_eq!(
        merged,
        pairs(&[
            ("origin", "3"),
            ("authorization", "b"),
            ("Authorization", "b")
        ])
    );
}

#[test]
fn a_trusted_name_comes_from_a_field_alone() {
    let fields = [("x-user-id", "ada"), ("a", "1")].map(|(name, value)| Header {
        name,
        value: value.as_bytes(),
    });
    let trusted = ["x-user-id".to_owned(), "authorization".to_owned()];
    let claims = || vec![("X-User-Id".to_owned(), "admin".to_owned())];
    let query = "x-user-id=admin&X-USER-ID=admin&x-user-%49d=admin&Authorization=b&b=2";
    let merge = |fields: &[Header<'_>], site| {
        let merged = Fields::new(fields).merge(site, claims(), query, &trusted);
        let pairs = merged.iter();
        pairs
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let set = |list: &[(&str, &str)]| pairs(list).into_iter().collect();
    // Any spelling holds what the field does.
    let own = set(&[("x-user-id", "ada"), ("a", "1"), ("b", "2")]);
    assert_eq!(merge(&fields, Site::Own), own);
    assert_eq!(
        merge(&fields[1..], Site::Own),
        set(&[("a", "1"), ("b", "2")])
    );
    for fields in [&fields[..], &[]] {
        assert_eq!(merge(fields, Site::Other), set(&[("b", "2")]));
    }
    // The Kelvin sign becomes a `k`.
    let trusted = ["token".to_owned()];
    let merged = Fields::new(&[]).merge(Site::Own, vec![], "to%E2%84%AAen=1&TOKEN=2", &trusted);
    assert_eq!(merged.len(), 0);
}

#[test]
fn a_browsers_request_tells_of_the_visitor_only_if_somebody_added_something() {
    let tell = |names: &[&'static str]| {
        let fields: Vec<_> = (names.iter())
            .map(|name| Header { name, value: b"1" })
            .collect();
        Fields::new(&fields).tell_of_the_visitor()
    };
    let browser = [
        "Host",
        "Connection",
        "Pragma",
        "Cache-Control",
        "User-Agent",
        "Upgrade",
        "Origin",
        "Sec-WebSocket-Version",
        "Accept-Encoding",
        "Accept-Language",
        "Sec-WebSocket-Key",
        "DNT",
        "Priority",
    ];
    assert!(!tell(&browser));
    for name in [
        "Cookie",
        "authorization",
        "X-Forwarded-For",
        "X-User-Id",
        "Via",
    ] {
        assert!(tell(&[&browser[..], &[name]].concat()), "{name}");
    }
}
