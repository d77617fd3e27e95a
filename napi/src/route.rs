//! Tells what a place in a tree of routes holds: a message, or a group of further routes.

use napi::bindgen_prelude::{Array, JsObjectValue, JsValue, Object, Result, Unknown};
use napi::{Env, ValueType};

use crate::check::{SCHEMA, is_schema, plain_object, type_error, unexpected};
use crate::message::{INCOMING, OUTGOING};
use crate::object::{copy_functions, own};
use crate::policy;

/// What a place in a tree of routes holds.
pub(crate) enum Route<'env> {
    /// A message that clients send.
    Incoming {
        schema: Unknown<'env>,
        /// A copy, so that what users do to the definition later changes nothing.
        middlewares: Array<'env>,
    },
    /// A message that the server sends.
    Outgoing {
        /// Its own way with slow clients.
        policy: Option<Unknown<'env>>,
    },
    /// Nested routes.
    Group(Object<'env>),
}

/// Reads what stands at `place`. Only a message has a string for `_direction`; a group may hold a route of that name.
pub(crate) fn read_route<'env>(
    env: &'env Env,
    place: &str,
    value: Unknown<'env>,
) -> Result<Route<'env>> {
    let object = plain_object(value)?;
    if let Some(object) = &object
        && let Some(direction) = own(object, "_direction")?
        && direction.get_type()? == ValueType::String
    {
        return read_message(env, place, object, direction);
    }
    if is_schema(value)? {
        let message = format!(
            "{place}: expected a message definition, got a schema; wrap it: zo.message.incoming({{ payload: schema }})"
        );
        return Err(type_error(*env, &message));
    }
    object.map(Route::Group).ok_or_else(|| {
        let expected = "a message definition or a plain object of nested routes";
        unexpected(*env, place, expected, value)
    })
}

/// Checks a message definition again: it is an object that users can change, copy and write themselves.
fn read_message<'env>(
    env: &'env Env,
    place: &str,
    definition: &Object<'env>,
    direction: Unknown<'env>,
) -> Result<Route<'env>> {
    let schema: Unknown = definition.get_c_named_property_unchecked(c"payload")?;
    if !is_schema(schema)? {
        let place = format!("{place}.payload");
        return Err(unexpected(*env, &place, SCHEMA, schema));
    }
    let policy_place = format!("{place}.{}", policy::NAME);
    let slow_client: Unknown = definition.get_named_property_unchecked(policy::NAME)?;
    match direction.coerce_to_string()?.into_utf8()?.as_str()? {
        OUTGOING => Ok(Route::Outgoing {
            policy: policy::read(*env, &policy_place, slow_client)?,
        }),
        INCOMING => {
            policy::refuse(*env, &policy_place, slow_client)?;
            let value: Unknown = definition.get_c_named_property_unchecked(c"_middlewares")?;
            let Some(middlewares) = copy_functions(env, value)? else {
                let place = format!("{place}._middlewares");
                let expected = "an array of functions";
                return Err(unexpected(*env, &place, expected, value));
            };
            Ok(Route::Incoming {
                schema,
                middlewares,
            })
        }
        _ => {
            let place = format!("{place}._direction");
            Err(unexpected(*env, &place, r#""in" or "out""#, direction))
        }
    }
}
