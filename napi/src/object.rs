//! Reads and builds plain JavaScript objects.

use napi::bindgen_prelude::{
    JsObjectValue, KeyCollectionMode, KeyConversion, KeyFilter, Object, Result, Unknown,
    Utf16String,
};
use napi::{Env, Property, ValueType};

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
