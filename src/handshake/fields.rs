//! The header fields of one request: looks them up, and merges them with the query into what the owner sees.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use httparse::Header;

use super::{head::MAX_HEAD, headers::Headers, malformed::Malformed, rules::Site};

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
mod tests;
