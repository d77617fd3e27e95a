use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::message::json::push_json_string;

fn split(text: &str) -> (String, Option<&str>) {
    let envelope = parse(text).unwrap();
    (envelope.kind.unwrap().into_owned(), envelope.payload)
}

fn complaint(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_message_splits_into_type_and_raw_payload() {
    let (kind, payload) = split(r#"{"type":"chat.message","payload":{"b":1, "a":[ 2 ]}}"#);
    assert_eq!(kind, "chat.message");
    assert_eq!(payload, Some(r#"{"b":1, "a":[ 2 ]}"#));
}

#[test]
fn the_common_case_borrows_the_type() {
    let envelope = parse(r#"{"type":"chat","payload":1}"#).unwrap();
    assert!(matches!(envelope.kind, Some(Cow::Borrowed("chat"))));
}

#[test]
fn the_common_case_is_read_in_the_quick_way() {
    for payload in [
        "1",
        "null",
        "\"}\"",
        "[]",
        "{\"type\":\"b\",\"payload\":{}}",
    ] {
        for id in ["", r#""id":0,"#, r#""id":9007199254740991,"#] {
            let text = format!(r#"{{{id}"type":"a.é","payload":{payload}}}"#);
            let envelope = usual(&text).unwrap();
            assert_eq!(envelope.raw_kind, r#""a.é""#);
            assert_eq!(envelope, parse_any(&text).unwrap());
        }
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let (kind, payload) = split(r#"{"payload":[],"type":"a"}"#);
    assert_eq!((kind.as_str(), payload), ("a", Some("[]")));
}

#[test]
fn a_null_payload_is_not_a_missing_one() {
    assert_eq!(split(r#"{"type":"a","payload":null}"#).1, Some("null"));
    assert_eq!(split(r#"{"type":"a"}"#).1, None);
}

#[test]
fn a_payload_may_be_any_json_value() {
    for payload in ["0", "-0.5E+3", "true", "\"\"", "{}", "[[]]", "1e999999"] {
        let text = format!(r#"{{"type":"a","payload":{payload}}}"#);
        assert_eq!(split(&text).1, Some(payload));
    }
}

#[test]
fn numbers_too_large_for_rust_pass_through_as_they_are() {
    let digits = "9".repeat(1000);
    let text = format!(r#"{{"type":"a","payload":[{digits},1e-999999],"x":1e999999}}"#);
    assert_eq!(split(&text).1, Some(&*format!("[{digits},1e-999999]")));
}

#[test]
fn white_space_around_everything_is_allowed_and_left_out_of_the_payload() {
    let (kind, payload) = split("\r\n\t { \"type\" : \"a\" ,\n\"payload\" : [1 , 2]\t}\n ");
    assert_eq!((kind.as_str(), payload), ("a", Some("[1 , 2]")));
}

#[test]
fn only_the_white_space_of_json_is_white_space() {
    for space in ["\u{a0}", "\u{feff}", "\u{b}", "\u{2028}", "\0"] {
        let text = format!(r#"{space}{{"type":"a"}}"#);
        assert!(complaint(&text).starts_with("the message is not JSON"));
    }
}

#[test]
fn other_keys_are_ignored_even_doubled_or_named_after_the_prototype() {
    let text = r#"{"x":1,"x":{"type":2},"__proto__":{},"Type":3,"":4,"type":"a"}"#;
    assert_eq!(split(text).0, "a");
}

#[test]
fn keys_written_with_escapes_are_the_same_keys() {
    let text = r#"{"\u0074ype":"a","p\u0061yload":1}"#;
    assert_eq!(split(text), ("a".into(), Some("1")));
}

#[test]
fn a_type_written_with_escapes_is_decoded() {
    let text = r#"{"type":"\u0063hat\t\"\\\/\u0000\ud83d\ude00é"}"#;
    assert_eq!(split(text).0, "chat\t\"\\/\0😀é");
}

#[test]
fn a_type_with_a_lone_surrogate_is_still_a_string_and_no_text() {
    for lone in [
        r"\ud800",
        r"a\ud800",
        r"\udfff\ud800b",
        r"\ud800\n",
        r"\ud800\ud800",
    ] {
        let text = format!(r#"{{"type":"{lone}"}}"#);
        let envelope = parse(&text).unwrap();
        assert_eq!(envelope.kind, None);
        assert_eq!(envelope.raw_kind, format!("\"{lone}\""));
    }
}

#[test]
fn lone_surrogates_elsewhere_pass_through_as_they_are() {
    let text = r#"{"\ud800":"\udc00","type":"a","payload":{"\udfff":"\ud800"}}"#;
    assert_eq!(split(text).1, Some(r#"{"\udfff":"\ud800"}"#));
}

#[test]
fn a_doubled_key_is_bad_in_any_spelling() {
    for (text, key) in [
        (r#"{"type":"a","type":"a"}"#, "type"),
        (r#"{"type":1,"\u0074ype":"a"}"#, "type"),
        (r#"{"type":"a","payload":1,"payload":1}"#, "payload"),
        (
            r#"{"payload":null,"type":"a","payl\u006fad":null}"#,
            "payload",
        ),
    ] {
        assert_eq!(
            complaint(text),
            format!("the message has more than one `{key}`")
        );
    }
}

#[test]
fn a_missing_type_or_one_that_is_no_string_is_bad() {
    for text in [
        "{}",
        r#"{"payload":"type"}"#,
        r#"{"type":null}"#,
        r#"{"type":1}"#,
        r#"{"type":["a"]}"#,
        r#"{"type":{"type":"a"}}"#,
    ] {
        assert_eq!(
            complaint(text),
            "the `type` of the message is missing or not a string"
        );
    }
}

#[test]
fn json_that_is_no_object_is_bad() {
    for text in ["null", "1", r#""type""#, r#"["type","a"]"#, " [{}] "] {
        assert_eq!(complaint(text), "the message is not a JSON object");
    }
}

#[test]
fn what_is_no_json_is_bad_wherever_the_mistake_is() {
    for text in [
        "",
        " ",
        "hello",
        "{",
        r#"{"type":"a""#,
        r#"{"type":"a"}}"#,
        r#"{"type":"a"} x"#,
        r#"{"type":"a",}"#,
        r#"{"type":"a" "payload":1}"#,
        r#"{"type":"a","payload":}"#,
        r#"{"type":"a","payload":[1,]}"#,
        r#"{"type":"a","payload":01}"#,
        r#"{"type":"a","payload":NaN}"#,
        r#"{"type":"a","payload":'b'}"#,
        r#"{"type":"a","x":tru}"#,
        r#"{"type":"a","x":"\x"}"#,
        r#"{"type":"a","\x":1}"#,
        r#"{"type":"\u12g4"}"#,
        r#"{type:"a"}"#,
        r#"{1:2,"type":"a"}"#,
        "{\"type\":\"a\nb\"}",
        "{\"ty\tpe\":1,\"type\":\"a\"}",
        "{\"type\":\"a\",\"payload\":\"\u{1}\"}",
        "{\"type\":\"a\"}\0",
    ] {
        assert!(
            complaint(text).starts_with("the message is not JSON: "),
            "{text}"
        );
    }
}

#[test]
fn the_complaint_says_where_the_mistake_is_without_quoting_it() {
    assert_eq!(
        complaint("{\"type\":\"a\",\n secret}"),
        "the message is not JSON: key must be a string at line 2 column 2"
    );
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let depth = 1 << 20;
    let open = "[".repeat(depth);
    assert!(complaint(&open).starts_with("the message is not JSON"));
    assert!(complaint(&r#"{"":"#.repeat(depth)).starts_with("the message is not JSON"));

    let balanced = open + &"]".repeat(depth);
    assert_eq!(complaint(&balanced), "the message is not a JSON object");
    let text = format!(r#"{{"x":{balanced},"type":"a","payload":{balanced}}}"#);
    assert_eq!(split(&text).1, Some(balanced.as_str()));
    let text = format!(r#"{{"type":{balanced}}}"#);
    assert_eq!(
        complaint(&text),
        "the `type` of the message is missing or not a string"
    );
}

fn frame(prefix: &[u8], payload: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let length = encode_frame(&mut out, prefix, payload);
    assert_eq!(length, out.len() - 6);
    out.split_off(6)
}

#[test]
fn a_frame_holds_the_envelope_with_and_without_payload() {
    let prefix = br#"{"type":"a""#;
    assert_eq!(frame(prefix, None), b"\x81\x0c{\"type\":\"a\"}");
    assert_eq!(
        frame(prefix, Some(b"[1]")),
        b"\x81\x1a{\"type\":\"a\",\"payload\":[1]}"
    );
}

#[test]
fn a_frame_uses_the_shortest_form_of_its_length() {
    for (length, header) in [
        (125, &[0x81, 125][..]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xff, 0xff]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let prefix = vec![b'x'; length - 1];
        let frame = frame(&prefix, None);
        assert_eq!(&frame[..header.len()], header);
        assert_eq!(frame.len(), header.len() + length);
    }
}

/// One entry of an object: its key, how the key is written, and the value's text.
fn entry() -> impl Strategy<Value = (String, String, String)> {
    let key = prop_oneof![
        3 => Just("type".to_owned()),
        3 => Just("payload".to_owned()),
        2 => any::<String>(),
    ];
    (key, any::<u32>(), value()).prop_map(|(key, escaped, value)| {
        let written: String = (key.encode_utf16().zip((0..32).cycle()))
            .map(|(unit, bit)| match char::from_u32(unit.into()) {
                Some(plain @ (' ' | 'a'..='z')) if escaped >> bit & 1 == 0 => plain.into(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        (key, format!("\"{written}\""), value)
    })
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        any::<f64>().prop_map(|number| Value::from(number).to_string()),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {} ]", items.join("\n,"))),
            inner.prop_map(|value| format!(r#"{{"type" :{value}}}"#)),
        ]
    })
}

/// Pieces of envelopes, whole and wrong.
const PIECES: [&str; 24] = [
    "{\"type\":\"",
    "\",\"payload\":",
    "}",
    "{",
    "\"",
    ",",
    ":",
    "a",
    "é",
    "\\",
    "\\u0061",
    "\u{1}",
    " ",
    "\n",
    "1",
    "-",
    "0.",
    "null",
    "[",
    "]",
    "{}",
    "\"id\":1",
    ",\"payload\":2",
    ",\"type\":\"b\"",
];

proptest! {
    #[test]
    fn the_quick_way_reads_what_the_other_one_reads(
        id in "(\"id\":(0|-?[0-9.eE]{0,20}|null|\"1\"|[0-9]{1,3} ),)?",
        name in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..3),
        payload in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6),
    ) {
        let (name, payload) = (name.concat(), payload.concat());
        for end in ["}", "", " }", "} ", "}}", ",\"id\":1}"] {
            let text = format!("{{{id}\"type\":\"{name}\",\"payload\":{payload}{end}");
            if let Some(envelope) = usual(&text) {
                prop_assert_eq!(Some(envelope), parse_any(&text).ok());
            }
        }
    }

    #[test]
    fn every_object_is_split_the_way_a_full_parser_reads_it(
        entries in prop::collection::vec(entry(), 0..5),
        space in "[ \t\r\n]{0,2}",
    ) {
        let body: Vec<_> = (entries.iter())
            .map(|(_, key, value)| format!("{space}{key}{space}:{space}{value}{space}"))
            .collect();
        let text = format!("{space}{{{}}}{space}", body.join(","));
        let object: Value = serde_json::from_str(&text).unwrap();
        let count = |name| entries.iter().filter(|(key, ..)| key == name).count();

        match parse(&text) {
            Ok(envelope) => {
                prop_assert!(count("type") == 1 && count("payload") <= 1);
                prop_assert_eq!(envelope.kind.as_deref(), object["type"].as_str());
                let payload = envelope.payload.map(|raw| serde_json::from_str(raw).unwrap());
                prop_assert_eq!(payload.as_ref(), object.get("payload"));
            }
            Err(Bad { reason: BadEnvelope::Doubled(key), .. }) => prop_assert!(count(key) > 1),
            Err(Bad { reason: BadEnvelope::NoType, .. }) => prop_assert!(!object["type"].is_string()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_damaged_message_is_json_exactly_when_a_full_parser_says_so(
        entries in prop::collection::vec(entry(), 1..3),
        at in any::<prop::sample::Index>(),
        damage in prop_oneof![Just(""), Just("\""), Just("}"), Just(","), Just("0"), Just("\\"), Just("\n")],
    ) {
        let body: Vec<_> = entries.iter().map(|(_, key, value)| format!("{key}:{value}")).collect();
        let mut chars: Vec<_> = format!("{{{}}}", body.join(",")).chars().collect();
        let at = at.index(chars.len());
        chars.splice(at..at + usize::from(damage.is_empty()), damage.chars());
        let text: String = chars.into_iter().collect();

        // Damage may leave half a surrogate pair or a huge number, which are JSON but not to `Value`.
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        prop_assert_eq!(!matches!(parse(&text), Err(Bad { reason: BadEnvelope::NotJson(_), .. })), is_json);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn what_is_encoded_parses_back(kind in any::<String>(), payload in prop::option::of(value())) {
        let mut prefix = br#"{"type":"#.to_vec();
        push_json_string(&mut prefix, &kind);
        let frame = frame(&prefix, payload.as_deref().map(str::as_bytes));
        let header = match frame[1] { 126 => 4, 127 => 10, _ => 2 };
        let envelope = parse(str::from_utf8(&frame[header..]).unwrap()).unwrap();
        prop_assert_eq!(envelope.kind.as_deref(), Some(&*kind));
        prop_assert_eq!(envelope.payload, payload.as_deref());
    }
}

#[test]
fn an_id_is_a_whole_number_that_javascript_holds_exactly() {
    let id = |raw: &str| parse(&format!(r#"{{"id":{raw},"type":"a"}}"#)).unwrap().id;
    assert_eq!(parse(r#"{"type":"a"}"#).unwrap().id, Id::Missing);
    for (raw, number) in [("0", 0), ("7", 7), ("9007199254740991", MAX_ID)] {
        assert_eq!(id(raw), Id::Number(number));
    }
    for raw in [
        "9007199254740992",
        "99999999999999999999999",
        "-1",
        "-0",
        "1.0",
        "1e3",
        "\"1\"",
        "null",
        "[1]",
        "{}",
    ] {
        assert_eq!(id(raw), Id::Unreadable, "{raw}");
    }
}

#[test]
fn an_id_that_is_no_json_is_no_id_in_the_quick_way_either() {
    for raw in ["00", "01", "", "+1", " ", "0x1", "1_000", "1 2", "\u{661}"] {
        let text = format!(r#"{{"id":{raw},"type":"a","payload":1}}"#);
        assert_eq!(usual(&text).map(|it| it.id), None, "{raw:?}");
        let reason = parse(&text).unwrap_err().reason;
        assert!(matches!(reason, BadEnvelope::NotJson(_)), "{raw:?}");
    }
}

#[test]
fn a_message_that_is_no_envelope_has_the_id_that_it_holds_once() {
    let id = |text: &str| parse(text).unwrap_err().id;
    assert_eq!(id(r#"{"id":7}"#), Id::Number(7));
    assert_eq!(id(r#"{"id":7,"type":1}"#), Id::Number(7));
    assert_eq!(id(r#"{"type":"a","id":7,"type":"a"}"#), Id::Number(7));
    for text in [
        r#"{"id":7,"id":7,"type":"a"}"#,
        r#"{"type":"a","type":"a","id":7,"i\u0064":7}"#,
        r#"{"id":7,"id":8,"type":"a","type":"a"}"#,
    ] {
        assert_eq!(id(text), Id::Unreadable, "{text}");
        assert_eq!(complaint(text), "the message has more than one `id`");
    }
    for text in [r#"[{"id":7}]"#, r#"{"id":7"#] {
        assert_eq!(id(text), Id::Missing, "{text}");
    }
}

#[test]
fn an_answer_has_its_id_between_type_and_payload() {
    let text = |id, payload: Option<&[u8]>| {
        let mut out = Vec::new();
        let length = encode_answer(&mut out, br#"{"type":"$reply""#, id, payload);
        assert_eq!(length, out.len());
        String::from_utf8(out.split_off(2)).unwrap()
    };
    assert_eq!(text(Some(0), None), r#"{"type":"$reply","id":0}"#);
    assert_eq!(
        text(Some(MAX_ID), Some(b"[]")),
        r#"{"type":"$reply","id":9007199254740991,"payload":[]}"#
    );
    assert_eq!(text(None, Some(b"1")), r#"{"type":"$reply","payload":1}"#);
}
