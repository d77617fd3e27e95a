//! Any text is split, or refused, the way a full parser reads it, and what is encoded is read back.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use zocket::message::envelope::{Bad, BadEnvelope, encode_frame, parse};

use super::memory;

/// Bytes that reading may hold for each byte of text: one for a level of nesting, or a character of a type with escapes, in a
/// vector that doubles, and then a copy.
const READ: usize = 3;
/// Bytes that are held besides, and besides a copy of what is written.
const SOME: usize = 256;

pub fn run(bytes: &[u8]) {
    memory::alone(|| check(bytes));
}

fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let parsed = memory::at_most(READ * text.len() + SOME, || parse(text));
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    assert_eq!(
        is_json,
        !matches!(
            parsed,
            Err(Bad {
                reason: BadEnvelope::NotJson(_),
                ..
            })
        )
    );
    // Keys with half a surrogate pair are JSON, but no text.
    if let Ok(Pairs(pairs)) = serde_json::from_str(text) {
        let all = |key: &str| {
            let found = pairs.iter().filter(|(name, _)| name == key);
            found.map(|(_, value)| value.get()).collect::<Vec<_>>()
        };
        let (kinds, payloads) = (all("type"), all("payload"));
        match &parsed {
            Ok(envelope) => {
                assert_eq!(
                    (kinds.len(), envelope.payload),
                    (1, payloads.first().copied())
                );
                assert!(payloads.len() <= 1);
                assert_eq!(envelope.raw_kind, kinds[0]);
                let kind = serde_json::from_str::<String>(kinds[0]).ok();
                assert_eq!(envelope.kind.as_deref(), kind.as_deref());
            }
            Err(Bad {
                reason: BadEnvelope::Doubled(key),
                ..
            }) => assert!(all(key).len() > 1),
            Err(Bad {
                reason: BadEnvelope::NoType,
                ..
            }) => {
                assert!(kinds.first().is_none_or(|kind| !kind.starts_with('"')));
            }
            Err(other) => panic!("an object is {other}"),
        }
    } else if let Err(bad) = &parsed {
        assert!(!bad.to_string().is_empty());
    }
    if let Ok(envelope) = parsed {
        let mut prefix = br#"{"type":"#.to_vec();
        prefix.extend_from_slice(envelope.raw_kind.as_bytes());
        let mut frame = Vec::new();
        let payload = envelope.payload.map(str::as_bytes);
        let length = prefix.len() + payload.map_or(0, <[u8]>::len);
        memory::at_most(length + SOME, || {
            assert_eq!(encode_frame(&mut frame, &prefix, payload), frame.len());
        });
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let again = str::from_utf8(&frame[header..]).expect("text");
        assert_eq!(parse(again).expect("an envelope"), envelope);
    }
}

/// An object with all its keys, doubled ones too.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}
