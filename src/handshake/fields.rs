//! The header fields of one request: looks them up, and merges them with the query into what the owner sees.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use httparse::Header;

use super::{MAX_HEAD, Site, headers::Headers, malformed::Malformed};

/// The fields in the order they came.
pub(super) struct Fields<'a> {
    fields: &'a [Header<'a>],
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a [Header<'a>]) -> Fields<'a> {
        Fields { fields }
    }

    /// The values of all fields of this name, in any letter case.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// The value of the field that must be there exactly once; `name` is as people write it.
    pub(super) fn only(&self, name: &'static str) -> Result<&'a [u8], Malformed> {
        let mut values = self.all(name);
        let value = values.next().ok_or(Malformed::Missing(name))?;
        match values.next() {
            None => Ok(value),
            Some(_) => Err(Malformed::Repeated(name)),
        }
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

    /// What the owner sees: the fields, and the query parameters. Of a request from another site only the harmless fields
    /// are left.
    pub(super) fn merge(&self, site: Site, query: &str) -> Headers {
        let bytes = |field: &Header<'_>| field.name.len() + field.value.len();
        let bytes = self.fields.iter().map(bytes).sum::<usize>() + query.len();
        let mut merged = Headers::with_capacity(self.fields.len(), bytes);
        for (index, field) in self.fields.iter().enumerate() {
            let is_same = |other: &Header<'_>| other.name.eq_ignore_ascii_case(field.name);
            // A table would not pay: there are at most `MAX_FIELDS`.
            let is_repeat = || self.fields[..index].iter().any(is_same);
            if (site == Site::Own || is_harmless(field.name)) && !is_repeat() {
                merged.push_field(field.name, |value| {
                    self.join(field.name, value);
                });
            }
        }
        if !query.is_empty() {
            self.merge_query(&mut merged, site, query);
        }
        merged
    }

    /// Adds the query parameters, each as it is spelled and in lower case. Of several, the last one wins; a field wins over
    /// all of them, under either spelling.
    fn merge_query(&self, merged: &mut Headers, site: Site, query: &str) {
        // A peer chooses thousands of names, so this table needs the standard library's seeded hash.
        let mut places: HashMap<Cow<'_, str>, Place> = HashMap::new();
        if site == Site::Other {
            // The client may bring credentials of its own, as they prove themselves. A proxy may vouch for what else was
            // withheld: were the query to replace it, any program could, by naming another site as its origin.
            let names = self
                .fields
                .iter()
                .map(|field| field.name.to_ascii_lowercase());
            let vouched = names.filter(|name| name != "authorization");
            places.extend(vouched.map(|name| (name.into(), Place::Withheld)));
        }
        for (index, (name, _)) in merged.iter().enumerate() {
            places.insert(name.to_owned().into(), Place::Field(index));
        }
        let mut named = Named::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let lower = name.to_lowercase();
            // A page may put anything into a URL, a cookie it may not.
            if lower == "cookie" {
                continue;
            }
            let is_lower = lower == name;
            match places.get(lower.as_str()) {
                Some(Place::Withheld) => {}
                Some(Place::Field(_)) if is_lower => {}
                Some(&Place::Field(index)) => {
                    let field = merged.value(index).unwrap_or_default();
                    // Each spelling repeats the field, which may be long, so their sum has a bound.
                    if !places.contains_key(&name) && named.repeat(field.len()) {
                        let place = named.push(name.to_string(), field.to_owned().into());
                        places.insert(name, place);
                    }
                }
                _ if is_lower => named.set(&mut places, name, value),
                _ => {
                    named.set(&mut places, lower.into(), value.clone());
                    named.set(&mut places, name, value);
                }
            }
        }
        for (name, value) in named.parameters {
            merged.push(&name, &value);
        }
    }
}

/// Whether a field holds nothing that a browser or a proxy may have added for the visitor: no credentials, no identity.
fn is_harmless(name: &str) -> bool {
    let starts = |prefix: &str| {
        let start = name.as_bytes().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    ["host", "origin", "user-agent", "accept"]
        .into_iter()
        .any(is)
        || starts("accept-")
        || starts("sec-")
}

/// Where a name stands.
enum Place {
    /// Among the fields of the request.
    Field(usize),
    /// It was a field of the request, and is nobody's now.
    Withheld,
    /// Among the query parameters.
    Parameter(usize),
}

/// The query parameters, by all names they go by.
#[derive(Default)]
struct Named<'a> {
    parameters: Vec<(String, Cow<'a, str>)>,
    /// Bytes of fields that stand here under a second spelling.
    repeated: usize,
}

impl<'a> Named<'a> {
    /// Sets the value of a name that is no field's.
    fn set(
        &mut self,
        places: &mut HashMap<Cow<'a, str>, Place>,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    ) {
        match places.entry(name) {
            Entry::Occupied(entry) => {
                if let Place::Parameter(index) = *entry.get() {
                    self.parameters[index].1 = value;
                }
            }
            Entry::Vacant(entry) => {
                let place = self.push(entry.key().to_string(), value);
                entry.insert(place);
            }
        }
    }

    fn push(&mut self, name: String, value: Cow<'a, str>) -> Place {
        self.parameters.push((name, value));
        Place::Parameter(self.parameters.len() - 1)
    }

    /// Whether a field of so many bytes may be repeated once more.
    fn repeat(&mut self, bytes: usize) -> bool {
        self.repeated += bytes;
        self.repeated <= MAX_HEAD
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
        let merged = Fields::new(&fields).merge(site, query);
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
        let merged = Fields::new(&fields).merge(Site::Own, &query.join("&"));
        assert!(merged.len() > 1);
        assert!(merged.bytes() < 2 * MAX_HEAD, "{}", merged.bytes());
        assert!(merged.iter().all(|(_, it)| it.as_bytes() == value));
    }

    #[test]
    fn only_the_fields_are_told_as_fields() {
        let fields = [("Host", &b"h"[..]), ("X-a", b"1"), ("x-A", b"2")];
        let fields = fields.map(|(name, value)| Header { name, value });
        let merged = Fields::new(&fields).merge(Site::Own, "HOST=1&b=2&C=3");
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
}
