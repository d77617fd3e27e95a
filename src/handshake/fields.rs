//! The header fields of one request: looks them up, and merges them with the query into what the owner sees.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use httparse::Header;

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
        self.all(name).map(latin1).reduce(|mut joined, value| {
            joined.push_str(separator(name));
            joined.push_str(&value);
            joined
        })
    }

    /// What the owner sees: all fields but the withheld ones, and the query parameters whose names are not taken.
    /// Names are in lower case and unique.
    pub(super) fn merge(&self, withheld: &[&str], query: &str) -> Vec<(String, String)> {
        let mut merged: Vec<(String, String)> = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            let name = field.name.to_ascii_lowercase();
            if withheld.contains(&name.as_str()) {
                continue;
            }
            let value = latin1(field.value);
            // A table would not pay: there are at most `MAX_FIELDS`.
            match merged.iter_mut().find(|(taken, _)| *taken == name) {
                Some((_, joined)) => {
                    joined.push_str(separator(&name));
                    joined.push_str(&value);
                }
                None => merged.push((name, value)),
            }
        }
        if !query.is_empty() {
            merge_query(&mut merged, query);
        }
        merged
    }
}

/// Adds the query parameters: real fields win over them, later ones over earlier ones.
fn merge_query(merged: &mut Vec<(String, String)>, query: &str) {
    let real = merged.len();
    // A peer chooses thousands of names, so this table needs the standard library's seeded hash.
    let mut places: HashMap<String, usize> = (merged.iter().enumerate())
        .map(|(place, (name, _))| (name.clone(), place))
        .collect();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.to_lowercase();
        // A page may put anything into a URL, a cookie it may not.
        if name == "cookie" {
            continue;
        }
        match places.entry(name) {
            Entry::Occupied(entry) if *entry.get() < real => {}
            Entry::Occupied(entry) => merged[*entry.get()].1 = value.into_owned(),
            Entry::Vacant(entry) => {
                let name = entry.key().clone();
                entry.insert(merged.len());
                merged.push((name, value.into_owned()));
            }
        }
    }
}

fn separator(name: &str) -> &'static str {
    if name == "cookie" { "; " } else { ", " }
}

/// Field values are bytes; each becomes the character of that number, as in Node.
fn latin1(value: &[u8]) -> String {
    value.iter().copied().map(char::from).collect()
}
