use proptest::prelude::*;

use super::*;

fn token(json: &str) -> String {
    format!("zocket.h.{}", BASE64URL_NOPAD.encode(json.as_bytes()))
}

fn read(offer: &[&str], spoken: &[&str]) -> Result<Settled, Malformed> {
    let spoken: Vec<_> = spoken.iter().map(ToString::to_string).collect();
    settle(offer.iter().map(|item| item.as_bytes()), &spoken)
}

fn claims(json: &str) -> Option<Claims> {
    let settled = read(&[ZOCKET, &token(json)], &[]).ok()?;
    assert_eq!(settled.protocol, Subprotocol::Zocket);
    Some(settled.claims)
}

fn wrong(offer: &[&str]) -> Malformed {
    match read(offer, &["mqtt"]) {
        Ok(_) => panic!("taken: {offer:?}"),
        Err(malformed) => malformed,
    }
}

#[test]
fn the_first_of_the_servers_that_is_offered_is_selected() {
    let select = |offer: &[&str], spoken: &[&str]| {
        let settled = read(offer, spoken).unwrap();
        settled.protocol.name().map(str::to_owned)
    };
    assert_eq!(select(&["b", "a"], &["a", "b"]).as_deref(), Some("a"));
    assert_eq!(select(&["b"], &["a", "b"]).as_deref(), Some("b"));
    assert_eq!(select(&["A", "c", "", "no token"], &["a", "b"]), None);
    assert_eq!(select(&["a"], &[]), None);
    assert_eq!(select(&[], &["a"]), None);
    // A later version of ours is somebody else's.
    assert_eq!(select(&["zocket.2"], &["a"]), None);
}

#[test]
fn ours_wins_over_all_others() {
    for offer in [["a", ZOCKET], [ZOCKET, "a"]] {
        let settled = read(&offer, &["a"]).unwrap();
        assert_eq!(settled.protocol, Subprotocol::Zocket);
    }
}

#[test]
fn a_token_holds_the_headers_in_order() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(claims("{}"), Some(vec![]));
    assert_eq!(
        claims(r#" {"b":"1","A":"\u00e9\ud83d\ude00\u0000","b":"ü"} "#),
        Some(vec![pair("b", "1"), pair("A", "é😀\0"), pair("b", "ü")])
    );
}

#[test]
fn a_lone_surrogate_becomes_what_it_becomes_in_a_query() {
    let pair = ("\u{fffd}k".to_owned(), "a\u{fffd}\u{fffd}b".to_owned());
    assert_eq!(claims(r#"{"\udc00k":"a\ud800\ud801b"}"#), Some(vec![pair]));
}

#[test]
fn what_is_no_object_of_strings_is_malformed() {
    for json in [
        "",
        " ",
        "null",
        "[]",
        "\"a\"",
        "{\"a\":1}",
        "{\"a\":null}",
        "{\"a\":{}}",
        "{\"a\":[\"b\"]}",
        "{\"a\":\"b\"",
        "{\"a\":\"b\"}}",
        "{\"a\":\"b\",}",
        "{a:\"b\"}",
        "{\"a\":\"\n\"}",
    ] {
        assert_eq!(wrong(&[ZOCKET, &token(json)]), Malformed::Token, "{json}");
    }
}

#[test]
fn what_is_no_unpadded_base64url_of_text_is_malformed() {
    // `{}` is `e30`; its last two bits stand for nothing and must be zero, so that there is one token for each text.
    for text in [
        "", "e", "e30=", "e31", "e3 0", "e3+", "e3/_", "e30.", "e30é", "_w",
    ] {
        let token = format!("zocket.h.{text}");
        assert_eq!(wrong(&[ZOCKET, &token]), Malformed::Token, "{text}");
    }
}

#[test]
fn one_token_and_never_alone() {
    let token = &token("{}");
    assert_eq!(wrong(&[ZOCKET, token, token]), Malformed::Tokens);
    assert_eq!(wrong(&[token, token]), Malformed::Tokens);
    assert_eq!(wrong(&[token]), Malformed::TokenAlone);
    assert_eq!(wrong(&["mqtt", token]), Malformed::TokenAlone);
    // What only looks like one is nobody's name.
    assert!(read(&["Zocket.h.e30", "zocket.h"], &[]).is_ok());
}

#[test]
fn names_of_ours_and_what_is_no_token_may_not_be_spoken() {
    for name in [
        "", "a b", "a,b", "é", "a/b", "\"a\"", "zocket.1", "zocket.x", "a\0",
    ] {
        assert!(!is_subprotocol(name), "{name}");
    }
    for name in [
        "mqtt",
        "graphql-transport-ws",
        "v1.json",
        "zocket",
        "Zocket.1",
    ] {
        assert!(is_subprotocol(name), "{name}");
    }
}

/// Decodes as RFC 4648 describes it, bit by bit.
fn naive_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for byte in text {
        let digit = alphabet.iter().position(|it| it == byte)?;
        bits.extend((0..6).rev().map(|bit| digit >> bit & 1));
    }
    let whole = bits.len() / 8 * 8;
    if bits.len() - whole >= 6 || bits[whole..].contains(&1) {
        return None;
    }
    let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    let bytes = bits[..whole].chunks(8).map(byte);
    bytes.map(|byte| u8::try_from(byte).ok()).collect()
}

/// The last value of each name, by a parser that knows nothing of tokens. All values must be strings, those before the last too.
fn naive(text: &[u8]) -> Option<std::collections::BTreeMap<String, String>> {
    serde_json::from_slice(&naive_base64url(text)?).ok()
}

#[test]
fn a_value_that_is_no_string_is_malformed_though_another_follows_under_its_name() {
    let token = token(r#"{"":null,"":"x"}"#);
    assert_eq!(wrong(&[ZOCKET, &token]), Malformed::Token);
    assert_eq!(
        naive(token.trim_start_matches("zocket.h.").as_bytes()),
        None
    );
}

proptest! {
    #[test]
    fn any_token_is_what_a_naive_reader_makes_of_it(
        json in prop_oneof![
            any::<Vec<u8>>(),
            "\\PC{0,20}".prop_map(String::into_bytes),
            r#"\{("[a-c]{0,2}":("[x-zé]{0,3}"|1|null),?){0,4}\}?"#.prop_map(String::into_bytes),
            prop::collection::btree_map(any::<String>(), any::<String>(), 0..6)
                .prop_map(|pairs| serde_json::to_vec(&pairs).unwrap()),
        ],
        edit in prop::option::of((any::<prop::sample::Index>(), any::<char>())),
    ) {
        let mut text: Vec<_> = BASE64URL_NOPAD.encode(&json).chars().collect();
        if let Some((at, char)) = edit {
            text.insert(at.index(text.len() + 1), char);
        }
        let text: String = text.into_iter().collect();
        let read = read(&[ZOCKET, &format!("zocket.h.{text}")], &[]);
        let read = read.ok().map(|settled| settled.claims.into_iter().collect());
        prop_assert_eq!(read, naive(text.as_bytes()));
    }
}
