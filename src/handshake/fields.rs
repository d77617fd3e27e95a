//! The header fields of one request. Looks fields up, and merges them with the values that the client named itself.

use httparse::Header;

use super::{
    headers::Headers,
    malformed::Malformed,
    named::Named,
    rules::Site,
    subprotocol::{Claims, PROTOCOL},
};

/// The fields in the order they came.
pub(super) struct Fields<'a> {
    fields: &'a [Header<'a>],
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a [Header<'a>]) -> Fields<'a> {
        Fields { fields }
    }

    /// The values of all fields of this name, in any letter case.
    fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
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
        self.items(name)
            .any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The items of a field that is a list (RFC 9110, section 5.6.1).
    pub(super) fn items(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
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

    /// Whether a field says who the visitor is, or may: all but those about the page, the browser and the way of the request.
    pub(super) fn tell_of_the_visitor(&self) -> bool {
        let tells = |field: &Header<'_>| {
            let is = |other: &&str| field.name.eq_ignore_ascii_case(other);
            !is_harmless(field.name) && !OF_THE_REQUEST.iter().any(is)
        };
        self.fields.iter().any(tells)
    }

    /// What the owner sees: the fields, and what the client named, in its subprotocol and in the query. Of a request from
    /// another site only the harmless fields are left. What is `trusted` comes from fields alone; these names are in lower
    /// case.
    pub(super) fn merge(
        &self,
        site: Site,
        claims: Claims,
        query: &str,
        trusted: &[String],
    ) -> Headers {
        let bytes = |field: &Header<'_>| field.name.len() + field.value.len();
        let bytes = self.fields.iter().map(bytes).sum::<usize>() + query.len();
        let mut merged = Headers::with_capacity(self.fields.len(), bytes);
        for (index, field) in self.fields.iter().enumerate() {
            let is_same = |other: &Header<'_>| other.name.eq_ignore_ascii_case(field.name);
            // A table would not pay: there are at most `MAX_FIELDS`.
            let is_repeat = || self.fields[..index].iter().any(is_same);
            if field.name.eq_ignore_ascii_case(PROTOCOL) {
                continue;
            }
            if (site == Site::Own || is_harmless(field.name)) && !is_repeat() {
                merged.push_field(field.name, |value| {
                    self.join(field.name, value);
                });
            }
        }
        if !claims.is_empty() || !query.is_empty() {
            let withheld: &[Header<'_>] = match site {
                Site::Own => &[],
                Site::Other => self.fields,
            };
            let mut named = Named::new(merged, trusted, withheld.iter().map(|field| field.name));
            // The stronger first.
            named.add(
                claims
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into())),
            );
            named.add(form_urlencoded::parse(query.as_bytes()));
            return named.into_headers();
        }
        merged
    }
}

/// Fields about the request itself, which every browser sends. The owner does not miss them.
const OF_THE_REQUEST: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "dnt",
    "pragma",
    "priority",
    "upgrade",
];

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

/// Field values are bytes; each becomes the character of that number, as in Node.
fn push_latin1(out: &mut String, value: &[u8]) {
    match str::from_utf8(value) {
        Ok(ascii) if value.is_ascii() => out.push_str(ascii),
        _ => out.extend(value.iter().copied().map(char::from)),
    }
}

#[cfg(test)]
mod tests;
