//! Merges the headers that a client names, in its subprotocol or in the query, with the fields of its request.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use super::{head::MAX_HEAD, headers::Headers, subprotocol::PROTOCOL};

/// Where a name stands.
#[derive(Clone, Copy)]
enum Place {
    /// Among the fields of the request.
    Field(usize),
    /// It was a field of the request, and is nobody's now; or it has to be one.
    Withheld,
    /// Among what the client named.
    Named(usize),
}

/// The values that the client named. Each has two names: as the client spelled it, and in lower case.
pub(super) struct Named<'a> {
    /// The fields of the request, which win over everything.
    fields: Headers,
    // A peer chooses thousands of names, so this table needs the standard library's seeded hash.
    places: HashMap<Cow<'a, str>, Place>,
    values: Vec<(String, Cow<'a, str>)>,
    /// Bytes of values that stand here once more, under another spelling.
    repeated: usize,
}

impl<'a> Named<'a> {
    /// Nothing yet beside these fields. Others of the request, which come from another site, are withheld.
    /// What is `trusted` comes from fields alone.
    pub(super) fn new(
        fields: Headers,
        trusted: &'a [String],
        withheld: impl Iterator<Item = &'a str>,
    ) -> Self {
        // The client may bring credentials of its own, as they prove themselves. A proxy may vouch for what else was
        // withheld: were the client to replace it, any program could, by naming another site as its origin.
        let names = withheld.map(str::to_ascii_lowercase);
        let vouched = names.filter(|name| name != "authorization");
        let mut places: HashMap<Cow<'a, str>, Place> =
            vouched.map(|name| (name.into(), Place::Withheld)).collect();
        places.extend((trusted.iter()).map(|name| (name.as_str().into(), Place::Withheld)));
        for (index, (name, _)) in fields.iter().enumerate() {
            places.insert(name.to_owned().into(), Place::Field(index));
        }
        Self {
            fields,
            places,
            values: Vec::new(),
            repeated: 0,
        }
    }

    /// Adds names and values of one source. Of several of one name, the last one wins. Those of the sources before, and the
    /// fields, win over all of them, under either spelling.
    pub(super) fn add(&mut self, pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) {
        let stronger = self.values.len();
        for (name, value) in pairs {
            let lower = name.to_lowercase();
            // A page may put anything into a URL, a cookie it may not. The other one holds what is named here.
            if lower == "cookie" || lower == PROTOCOL {
                continue;
            }
            let winner = match self.places.get(lower.as_str()) {
                Some(Place::Withheld) => continue,
                Some(&Place::Field(index)) => {
                    Some(self.fields.value(index).unwrap_or_default().to_owned())
                }
                Some(&Place::Named(index)) if index < stronger => {
                    Some(self.values[index].1.to_string())
                }
                _ => None,
            };
            match winner {
                Some(value) => self.repeat(name, value),
                None if lower == name => self.set(name, value),
                None => {
                    self.set(lower.into(), value.clone());
                    self.set(name, value);
                }
            }
        }
    }

    /// The fields, and behind them what the client named.
    pub(super) fn into_headers(self) -> Headers {
        let mut headers = self.fields;
        for (name, value) in self.values {
            headers.push(&name, &value);
        }
        headers
    }

    /// Gives the value of a stronger source to this spelling, if it is a new one. The value may be long and spellings are
    /// many, so the sum of it has a bound.
    fn repeat(&mut self, name: Cow<'a, str>, value: String) {
        if self.places.contains_key(&name) {
            return;
        }
        self.repeated += value.len();
        if self.repeated <= MAX_HEAD {
            self.set(name, value.into());
        }
    }

    /// Sets the value of a name that is no field's.
    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match self.places.entry(name) {
            Entry::Occupied(entry) => {
                if let Place::Named(index) = *entry.get() {
                    self.values[index].1 = value;
                }
            }
            Entry::Vacant(entry) => {
                self.values.push((entry.key().to_string(), value));
                entry.insert(Place::Named(self.values.len() - 1));
            }
        }
    }
}
