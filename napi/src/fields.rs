//! Reads options by name from an object of the user, and refuses unknown names.
//!
//! Reading an option records its name, so the list of known names always matches the code.

use std::{borrow::Cow, cell::RefCell};

use napi::bindgen_prelude::{JsObjectValue, Object, Result, Unknown};
use napi::{Env, Error};

use crate::check::{is_undefined, shorten, type_error};
use crate::compression;
use crate::object::names;

/// Names of options in other libraries, in lower case, each with our name.
pub(crate) type Aliases = &'static [(&'static str, &'static str)];

/// The options that a function takes.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) function: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) aliases: Aliases,
}

/// Longest name that is compared with ours, in bytes. Ours are shorter by far.
const MAX_COMPARED: usize = 64;

/// The options in one object.
pub(crate) struct Fields<'env> {
    pub(crate) env: Env,
    object: Object<'env>,
    /// The function that takes the object, and the text between it and a name in errors.
    function: &'static str,
    between: Cow<'static, str>,
    aliases: Aliases,
    /// What another function takes, which may have been meant.
    elsewhere: Option<Taken>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'env> Fields<'env> {
    pub(crate) fn new(
        env: Env,
        object: Object<'env>,
        function: &'static str,
        between: impl Into<Cow<'static, str>>,
        aliases: Aliases,
    ) -> Self {
        Self {
            env,
            object,
            function,
            between: between.into(),
            aliases,
            elsewhere: None,
            asked: RefCell::default(),
        }
    }

    /// Sets the function to name where one of its options is found here.
    pub(crate) fn or_of(self, elsewhere: Taken) -> Self {
        Self {
            elsewhere: Some(elsewhere),
            ..self
        }
    }

    /// The value of an option, `undefined` if it is left out.
    pub(crate) fn get(&self, name: &'static str) -> Result<Unknown<'env>> {
        self.asked.borrow_mut().push(name);
        self.object.get_named_property_unchecked(name)
    }

    /// The same for a name that nobody may have asked for.
    pub(crate) fn peek(&self, name: &str) -> Result<Unknown<'env>> {
        self.object.get_named_property_unchecked(name)
    }

    /// Where an option stands, as errors name it.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("{}{}{name}", self.function, self.between)
    }

    /// Refuses a wrong name for a required option that is missing, and suggests the right one. Refuses an option of another function
    /// too, as this function may have been called by mistake.
    pub(crate) fn refuse_other_name_of(&self, name: &str, value: Unknown<'_>) -> Result<()> {
        if !is_undefined(value)? {
            return Ok(());
        }
        let found = names(&self.object)?;
        let is_other = |it: &&String| *it != name && self.meant(it) == Some(name);
        let is_elsewhere = |it: &&String| {
            let names = self.elsewhere.map_or(&[][..], |other| other.names);
            names.contains(&it.as_str())
        };
        let wrong = found.iter().find(is_other);
        let wrong = wrong.or_else(|| found.iter().find(is_elsewhere));
        wrong.map_or(Ok(()), |wrong| Err(self.unknown(wrong)))
    }

    /// Refuses an unknown option, even if its value is `undefined`. So `{ host: process.env.HOST }` fails on the machine where it is
    /// written, and not only on the one that has the variable.
    pub(crate) fn refuse_others(&self) -> Result<()> {
        for name in names(&self.object)? {
            let is_known = self.asked.borrow().contains(&name.as_str());
            if !is_known {
                return Err(self.unknown(&name));
            }
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let hint = match (self.meant(name), &self.asked.borrow()[..]) {
            // Whoever looks for permessage-deflate should find a statement, not a question.
            (Some(meant @ compression::NAME), _) => format!("it is called `{meant}`"),
            (Some(meant), _) => format!("did you mean {meant}?"),
            (None, asked) => match (self.meant_elsewhere(name), asked) {
                (Some((function, meant)), _) if meant == name => {
                    format!("{function} takes it")
                }
                (Some((function, meant)), _) => format!("did you mean {meant} of {function}?"),
                (None, [only]) => format!("expected {only}"),
                (None, all) => format!("expected one of {}", all.join(", ")),
            },
        };
        let place = self.place(&shorten(&name.escape_debug().to_string()));
        type_error(self.env, &format!("{place}: unknown option; {hint}"))
    }

    /// The option of this function that a wrong name stands for.
    fn meant(&self, name: &str) -> Option<&'static str> {
        meant(name, &self.asked.borrow(), self.aliases)
    }

    /// The same among the options of another function, with its name.
    fn meant_elsewhere(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let other = self.elsewhere?;
        let meant = meant(name, other.names, other.aliases)?;
        Some((other.function, meant))
    }
}

/// The one of these options that a wrong name stands for, if one is near.
fn meant(name: &str, known: &[&'static str], aliases: Aliases) -> Option<&'static str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let name = name.to_lowercase();
    let other = aliases.iter().find(|(alias, _)| *alias == name);
    if let Some((_, ours)) = other.filter(|(_, ours)| known.contains(ours)) {
        return Some(ours);
    }
    let near = known
        .iter()
        .map(|ours| (distance(&name, &ours.to_lowercase()), *ours));
    let (distance, ours) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 8).then_some(ours)
}

/// How many characters have to be added, left out, replaced or swapped with their neighbour to make one text the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    // A row holds the distances from a beginning of `left` to every beginning of `right`.
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut before = last.clone();
    for (i, &a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut steps = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == right[j - 1] && b == left[i - 1] {
                steps = steps.min(before[j - 1] + 1);
            }
            row.push(steps);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}
