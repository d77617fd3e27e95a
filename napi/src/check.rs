//! Checks the arguments of the set-up functions, and words the errors about them.
//!
//! Reading a property may run user code (a getter, a `Proxy`). If that throws, its error stays the pending exception and reaches the
//! caller. So no check may swallow an `Err`.

use napi::bindgen_prelude::{JsObjectValue, JsValue, Object, Result, Unknown};
use napi::{Env, Error, Status, ValueType};

/// The name that errors use for a value that `is_schema` accepts.
pub(crate) const SCHEMA: &str = r#"a Standard Schema (an object with "~standard".validate)"#;

/// The name that errors use for a value that `is_transformer` accepts.
pub(crate) const TRANSFORMER: &str = "an object with serialize() and deserialize()";

/// How many characters of a user's text are repeated in an error.
const MAX_QUOTED: usize = 120;

/// Throws a `TypeError` and returns the `Err` that leaves it pending.
pub(crate) fn type_error(env: Env, message: &str) -> Error {
    // Node-API takes the text as a C string.
    let message = message.replace('\0', "\\0");
    match env.throw_type_error(&message, None) {
        Ok(()) => Error::new(Status::PendingException, message),
        Err(error) => error,
    }
}

/// The `TypeError` for a value of the wrong kind. It names the place, the expected kind and the value.
pub(crate) fn unexpected(env: Env, place: &str, expected: &str, got: Unknown) -> Error {
    match describe(got) {
        Ok(got) => type_error(env, &format!("{place}: expected {expected}, got {got}")),
        Err(error) => error,
    }
}

/// Quotes a user's text for an error, shortened and with control characters escaped.
pub(crate) fn quote(text: &str) -> String {
    format!("{:?}", shorten(text))
}

/// Cuts a text that is too long to be repeated in an error.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Names a value in a few words without running user code.
fn describe(value: Unknown) -> Result<String> {
    Ok(match value.get_type()? {
        ValueType::Undefined => "undefined".to_owned(),
        ValueType::Null => "null".to_owned(),
        ValueType::Boolean | ValueType::Number => {
            value.coerce_to_string()?.into_utf8()?.into_owned()?
        }
        ValueType::String => quote(&value.coerce_to_string()?.into_utf8()?.into_owned()?),
        ValueType::Symbol => "a symbol".to_owned(),
        ValueType::BigInt => "a bigint".to_owned(),
        ValueType::Function => "a function".to_owned(),
        ValueType::Object if value.is_array()? => "an array".to_owned(),
        ValueType::Object if value.is_promise()? => "a promise".to_owned(),
        ValueType::Object if plain_object(value)?.is_none() => "a class instance".to_owned(),
        _ => "an object".to_owned(),
    })
}

/// The value as an object if it is one: no function, no array, not `null`.
pub(crate) fn object(value: Unknown<'_>) -> Result<Option<Object<'_>>> {
    if value.get_type()? == ValueType::Object && !value.is_array()? {
        value.coerce_to_object().map(Some)
    } else {
        Ok(None)
    }
}

/// The value as an object if it is one written as `{ … }`, a module namespace or a `Proxy`: no class instance.
pub(crate) fn plain_object(value: Unknown<'_>) -> Result<Option<Object<'_>>> {
    let Some(object) = object(value)? else {
        return Ok(None);
    };
    let prototype = object.get_prototype()?;
    if prototype.get_type()? == ValueType::Null {
        return Ok(Some(object));
    }
    // Not compared with this realm's `Object.prototype`: test runners load code in realms of their own.
    let root = prototype.coerce_to_object()?.get_prototype()?;
    Ok((root.get_type()? == ValueType::Null).then_some(object))
}

/// Whether the value can be called.
pub(crate) fn is_function(value: Unknown) -> Result<bool> {
    Ok(value.get_type()? == ValueType::Function)
}

/// Whether the value is `undefined`.
pub(crate) fn is_undefined(value: Unknown) -> Result<bool> {
    Ok(value.get_type()? == ValueType::Undefined)
}

/// Whether the value has a `"~standard".validate` that can be called. Schemas may be functions themselves.
pub(crate) fn is_schema(value: Unknown) -> Result<bool> {
    let Some(standard) = property(value, c"~standard")? else {
        return Ok(false);
    };
    match property(standard, c"validate")? {
        Some(validate) => is_function(validate),
        None => Ok(false),
    }
}

/// Whether the value has the two functions of a transformer. A class with static ones, such as superjson, is one too.
pub(crate) fn is_transformer(value: Unknown) -> Result<bool> {
    for name in [c"serialize", c"deserialize"] {
        match property(value, name)? {
            Some(found) if is_function(found)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// A property of an object or function; `None` for any other value.
fn property<'env>(value: Unknown<'env>, name: &std::ffi::CStr) -> Result<Option<Unknown<'env>>> {
    match value.get_type()? {
        ValueType::Object | ValueType::Function => {
            let object = value.coerce_to_object()?;
            object.get_c_named_property_unchecked(name).map(Some)
        }
        _ => Ok(None),
    }
}
