//! The headers that the owner sees.

/// Header fields and query parameters merged: first the fields, names in lower case, then the parameters, as they are
/// spelled and in lower case. Each name stands here once.
///
/// All of them are in one text, since an allocation for each would cost a handshake more than reading its head does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    /// Where each name and its value end.
    ends: Vec<(usize, usize)>,
    /// How many of them are header fields.
    fields: usize,
}

/// Whether this can be the name of a header field: a token (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_token)
}

impl Headers {
    pub(super) fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(count),
            fields: 0,
        }
    }

    /// Appends a header field, before all parameters, under a new name, in lower case; `write` appends the value to the
    /// text it is given.
    pub(super) fn push_field(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        self.text.push_str(name);
        self.text[start..].make_ascii_lowercase();
        let end = self.text.len();
        write(&mut self.text);
        self.ends.push((end, self.text.len()));
        self.fields = self.ends.len();
    }

    /// Appends a parameter under a new name.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let end = self.text.len();
        self.text.push_str(value);
        self.ends.push((end, self.text.len()));
    }

    /// The value of the one at this place.
    pub(super) fn value(&self, index: usize) -> Option<&str> {
        let &(start, end) = self.ends.get(index)?;
        self.text.get(start..end)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(name, value)| {
            let pair = (&self.text[start..name], &self.text[name..value]);
            start = value;
            pair
        })
    }

    /// The value of a header field; `name` is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.iter().take(self.fields);
        fields.find_map(|(field, value)| (field == name).then_some(value))
    }

    /// How many of them are header fields: the first ones.
    #[must_use]
    pub fn count_of_fields(&self) -> usize {
        self.fields
    }

    /// The names of those that are header fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.iter().take(self.fields).map(|(name, _)| name)
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}
