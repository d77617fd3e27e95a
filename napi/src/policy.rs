//! `slowClient` of outgoing messages: what becomes of them for a client that reads too slowly.

use napi::Env;
use napi::ValueType;
use napi::bindgen_prelude::{JsValue, Result, Unknown};
use zocket::RoutePolicy;

use crate::check::{is_undefined, type_error, unexpected};

/// The property of a definition, and of its row in the table of routes.
pub(crate) const NAME: &str = "slowClient";

/// The policy a word stands for.
pub(crate) fn named(word: &str) -> Option<RoutePolicy> {
    match word {
        "disconnect" => Some(RoutePolicy::Disconnect),
        "drop" => Some(RoutePolicy::Drop),
        "latest" => Some(RoutePolicy::Latest),
        _ => None,
    }
}

/// The `slowClient` of an outgoing message, checked; `None` if it is left out. `place` is where it stands.
pub(crate) fn read<'env>(
    env: Env,
    place: &str,
    value: Unknown<'env>,
) -> Result<Option<Unknown<'env>>> {
    if is_undefined(value)? {
        return Ok(None);
    }
    if value.get_type()? == ValueType::String
        && named(value.coerce_to_string()?.into_utf8()?.as_str()?).is_some()
    {
        return Ok(Some(value));
    }
    let expected = r#""disconnect", "drop" or "latest""#;
    Err(unexpected(env, place, expected, value))
}

/// Refuses the `slowClient` of an incoming message: nobody would ever look at it.
pub(crate) fn refuse(env: Env, place: &str, value: Unknown<'_>) -> Result<()> {
    if is_undefined(value)? {
        return Ok(());
    }
    let message = format!("{place}: only outgoing messages have a {NAME}");
    Err(type_error(env, &message))
}
