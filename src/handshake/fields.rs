//! The header fields of one request: looks them up, and merges them with the query into what the owner sees.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use httparse::Header;

use super::headers::Headers;

/// The fields in the order they came.
pub(super) struct Fields<'a> {
    fields: &'a [Header<'a>],
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a [Header<'a>]) -> Fields<'a> {
        Fields { fields }
    }

    /// The values of all fields of this name; `name` is in lower case.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// The value of the field that must be there exactly once.
    pub(super) fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a field that lists tokens names this one.
    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a body is to follow. One on an upgrade would be read as WebSocket frames here and as a body by an
    /// intermediary.
    pub(super) fn announce_a_body(&self) -> bool {
        self.count("transfer-encoding") > 0 || self.all("content-length").any(|value| value != b"0")
    }

    /// The value of a field, repeats joined.
    pub(super) fn joined(&self, name: &str) -> Option<String> {
        let mut joined = String::new();
        let count = self.join(name, &mut joined);
        (count > 0).then_some(joined)
    }

    /// Appends the values of a field, and says how many there were.
    fn join(&self, name: &str, out: &mut String) -> usize {
        let separator = if name.eq_ignore_ascii_case("cookie") {
            "; "
        } else {
            ", "
        };
        let mut count = 0;
        for value in self.all(name) {
            if count > 0 {
                out.push_str(separator);
            }
            push_latin1(out, value);
            count += 1;
        }
        count
    }

    /// What the owner sees: all fields but the withheld ones, and the query parameters whose names are not taken.
    pub(super) fn merge(&self, withheld: &[&str], query: &str) -> Headers {
        let bytes = |field: &Header<'_>| field.name.len() + field.value.len();
        let bytes = self.fields.iter().map(bytes).sum::<usize>() + query.len();
        let mut merged = Headers::with_capacity(self.fields.len(), bytes);
        for (index, field) in self.fields.iter().enumerate() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            // A table would not pay: there are at most `MAX_FIELDS`.
            let is_repeat = || self.fields[..index].iter().any(|field| is(field.name));
            if !withheld.iter().any(|name| is(name)) && !is_repeat() {
                merged.push(field.name, |value| {
                    self.join(field.name, value);
                });
            }
        }
        if !query.is_empty() {
            merge_query(&mut merged, query);
        }
        merged
    }
}

/// Adds the query parameters: real fields win over them, later ones over earlier ones.
fn merge_query(merged: &mut Headers, query: &str) {
    // A peer chooses thousands of names, so this table needs the standard library's seeded hash.
    let mut places: HashMap<String, Option<usize>> = (merged.iter())
        .map(|(name, _)| (name.to_owned(), None))
        .collect();
    let mut parameters: Vec<(String, Cow<'_, str>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.to_lowercase();
        // A page may put anything into a URL, a cookie it may not.
        if name == "cookie" {
            continue;
        }
        match places.entry(name) {
            Entry::Occupied(entry) => {
                if let Some(place) = *entry.get() {
                    parameters[place].1 = value;
                }
            }
            Entry::Vacant(entry) => {
                parameters.push((entry.key().clone(), value));
                entry.insert(Some(parameters.len() - 1));
            }
        }
    }
    for (name, value) in parameters {
        merged.push(&name, |out| out.push_str(&value));
    }
}

/// Field values are bytes; each becomes the character of that number, as in Node.
fn push_latin1(out: &mut String, value: &[u8]) {
    match str::from_utf8(value) {
        Ok(ascii) if value.is_ascii() => out.push_str(ascii),
        _ => out.extend(value.iter().copied().map(char::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(fields: &[(&'static str, &'static [u8])], query: &str) -> Vec<(String, String)> {
        merge_without(&[], fields, query)
    }

    fn merge_without(
        withheld: &[&str],
        fields: &[(&'static str, &'static [u8])],
        query: &str,
    ) -> Vec<(String, String)> {
        let fields: Vec<_> = (fields.iter())
            .map(|&(name, value)| Header { name, value })
            .collect();
        let merged = Fields::new(&fields).merge(withheld, query);
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
    fn the_last_of_several_parameters_wins_whatever_its_letter_case() {
        assert_eq!(
            merge(&[], "Token=1&b=2&TOKEN=3&tok%65n=4"),
            pairs(&[("token", "4"), ("b", "2")])
        );
    }

    #[test]
    fn a_field_wins_over_every_parameter_of_its_name() {
        assert_eq!(
            merge(
                &[("Authorization", b"real")],
                "authorization=1&AUTHORIZATION=2"
            ),
            pairs(&[("authorization", "real")])
        );
        assert_eq!(merge(&[("a", b"")], "a=1"), pairs(&[("a", "")]));
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
            pairs(&[("constructor", "1"), ("__proto__", "2"), ("tostring", "3")])
        );
    }

    #[test]
    fn a_withheld_field_leaves_its_name_to_the_query() {
        assert_eq!(
            merge_without(
                &["cookie", "authorization"],
                &[("Cookie", b"c"), ("AUTHORIZATION", b"real"), ("a", b"1")],
                "authorization=mine&cookie=x"
            ),
            pairs(&[("a", "1"), ("authorization", "mine")])
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
}
