//! Reading and building plain JavaScript objects and arrays of functions.

use napi::bindgen_prelude::{
    Array, JsObjectValue, JsValue, KeyCollectionMode, KeyConversion, KeyFilter, Object, Result,
    Unknown, Utf16String,
};
use napi::{Env, Property, PropertyAttributes, ValueType};

use crate::check::{is_function, quote, type_error};

/// Builds a plain object. Properties are defined, not assigned, so that setters on `Object.prototype` see nothing.
pub(crate) fn plain<'env>(env: &'env Env, fields: &[(&str, Unknown)]) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    let properties = fields
        .iter()
        .map(|(name, value)| Ok(Property::new().with_utf8_name(name)?.with_value(value)))
        .collect::<Result<Vec<_>>>()?;
    object.define_properties(&properties)?;
    Ok(object)
}

/// Adds a read-only property that `Object.keys`, spreading and `JSON.stringify` pass over.
pub(crate) fn define_hidden(object: &mut Object, name: &str, value: Unknown) -> Result<()> {
    let property = Property::new()
        .with_utf8_name(name)?
        .with_value(&value)
        .with_property_attributes(PropertyAttributes::Default);
    object.define_properties(&[property])
}

/// The own enumerable properties whose keys are strings, in JavaScript's order; each is read once.
///
/// A key with a lone surrogate is a `TypeError`: no two keys may become the same UTF-8 text.
pub(crate) fn entries<'env>(
    env: Env,
    place: &str,
    object: &Object<'env>,
) -> Result<Vec<(String, Unknown<'env>)>> {
    let keys = object.get_all_property_names(
        KeyCollectionMode::OwnOnly,
        KeyFilter::Enumerable,
        KeyConversion::NumbersToStrings,
    )?;
    let mut entries = Vec::new();
    for index in 0..keys.get_array_length()? {
        let key: Unknown = keys.get_element(index)?;
        if key.get_type()? != ValueType::String {
            continue;
        }
        let units: Utf16String = keys.get_element(index)?;
        let Ok(name) = String::from_utf16(&units) else {
            let key = quote(&String::from_utf16_lossy(&units));
            return Err(type_error(
                env,
                &format!("{place}: expected a key without lone surrogates, got {key}"),
            ));
        };
        entries.push((name, object.get_property_unchecked(key)?));
    }
    Ok(entries)
}

/// The names of the own enumerable properties whose keys are strings, without reading these.
pub(crate) fn names(object: &Object<'_>) -> Result<Vec<String>> {
    let keys = object.get_all_property_names(
        KeyCollectionMode::OwnOnly,
        KeyFilter::Enumerable,
        KeyConversion::NumbersToStrings,
    )?;
    let mut names = Vec::new();
    for index in 0..keys.get_array_length()? {
        let key: Unknown = keys.get_element(index)?;
        if key.get_type()? == ValueType::String {
            let units: Utf16String = keys.get_element(index)?;
            names.push(String::from_utf16_lossy(&units));
        }
    }
    Ok(names)
}

/// An own property, or `None`. What the prototype holds does not count.
pub(crate) fn own<'env>(object: &Object<'env>, name: &str) -> Result<Option<Unknown<'env>>> {
    if object.has_own_property(name)? {
        object.get_named_property_unchecked(name).map(Some)
    } else {
        Ok(None)
    }
}

/// A copy of an array of functions, or `None` if the value is anything else.
pub(crate) fn copy_functions<'env>(env: &'env Env, value: Unknown) -> Result<Option<Array<'env>>> {
    if !value.is_array()? {
        return Ok(None);
    }
    let source = value.coerce_to_object()?;
    let mut copy = env.create_array(0)?;
    for index in 0..source.get_array_length()? {
        let element: Unknown = source.get_element(index)?;
        if !is_function(element)? {
            return Ok(None);
        }
        copy.insert(element)?;
    }
    Ok(Some(copy))
}
