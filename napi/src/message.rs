//! The message builder: `incoming`, `outgoing` and `use`.
//!
//! A builder owns nothing in Rust. Its middlewares are a JavaScript array that its functions are bound to, so the garbage
//! collector frees them like any other value, and a worker that ends early leaves nothing behind.

use napi::bindgen_prelude::{Array, Function, JsValue, Object, Result, This, Unknown};
use napi::{Env, Error, Status};
use napi_derive::napi;

use crate::check::{SCHEMA, is_function, is_schema, object, unexpected};
use crate::fields::{Aliases, Fields};
use crate::object::{copy_functions, plain};
use crate::policy;

/// The `_direction` of a message that clients send.
pub(crate) const INCOMING: &str = "in";
/// The `_direction` of a message that the server sends.
pub(crate) const OUTGOING: &str = "out";

/// What other libraries call the schema of a message, and its way with slow clients.
const ALIASES: Aliases = &[
    ("args", "payload"),
    ("body", "payload"),
    ("data", "payload"),
    ("input", "payload"),
    ("output", "payload"),
    ("schema", "payload"),
    ("backpressure", policy::NAME),
    ("policy", policy::NAME),
];

/// Makes a message builder whose incoming messages go through `middlewares`, an array nobody else may change.
pub(crate) fn builder<'env>(env: &'env Env, middlewares: Array<'env>) -> Result<Object<'env>> {
    let incoming: Function = env.create_function("incoming", incoming_c_callback)?;
    let outgoing: Function = env.create_function("outgoing", outgoing_c_callback)?;
    let with_middleware: Function = env.create_function("use", with_middleware_c_callback)?;
    plain(
        env,
        &[
            ("incoming", incoming.bind(middlewares)?.to_unknown()),
            ("outgoing", outgoing.to_unknown()),
            ("use", with_middleware.bind(middlewares)?.to_unknown()),
        ],
    )
}

/// Defines a message that clients send.
#[napi(no_export, catch_unwind)]
pub(crate) fn incoming<'env>(
    env: &'env Env,
    this: This<'env>,
    definition: Unknown<'env>,
) -> Result<Object<'env>> {
    let definition = fields(*env, "zo.message.incoming", definition)?;
    let payload = payload(&definition)?;
    let slow_client = definition.peek(policy::NAME)?;
    policy::refuse(*env, &definition.place(policy::NAME), slow_client)?;
    definition.refuse_others(&[policy::NAME])?;
    let direction = env.create_string(INCOMING)?.to_unknown();
    let middlewares = bound_middlewares(env, this)?.to_unknown();
    plain(
        env,
        &[
            ("payload", payload),
            ("_direction", direction),
            ("_middlewares", middlewares),
        ],
    )
}

/// Defines a message that the server sends.
#[napi(no_export, catch_unwind)]
pub(crate) fn outgoing<'env>(env: &'env Env, definition: Unknown<'env>) -> Result<Object<'env>> {
    let definition = fields(*env, "zo.message.outgoing", definition)?;
    let payload = payload(&definition)?;
    let direction = env.create_string(OUTGOING)?.to_unknown();
    let mut fields = vec![("payload", payload), ("_direction", direction)];
    let slow_client = definition.get(policy::NAME)?;
    if let Some(policy) = policy::read(*env, &definition.place(policy::NAME), slow_client)? {
        fields.push((policy::NAME, policy));
    }
    definition.refuse_others(&[])?;
    plain(env, &fields)
}

/// Makes a builder whose incoming messages go through one more middleware.
#[napi(no_export, catch_unwind)]
pub(crate) fn with_middleware<'env>(
    env: &'env Env,
    this: This<'env>,
    middleware: Unknown<'env>,
) -> Result<Object<'env>> {
    if !is_function(middleware)? {
        return Err(unexpected(
            *env,
            "zo.message.use",
            "a middleware (a function)",
            middleware,
        ));
    }
    let mut middlewares = bound_middlewares(env, this)?;
    middlewares.insert(middleware)?;
    builder(env, middlewares)
}

/// A definition as users write it: `{ payload: schema }`.
fn fields<'env>(
    env: Env,
    function: &'static str,
    definition: Unknown<'env>,
) -> Result<Fields<'env>> {
    let Some(definition) = object(definition)? else {
        let expected = "an object { payload: schema }";
        return Err(unexpected(env, function, expected, definition));
    };
    Ok(Fields::new(env, definition, function, ": ", ALIASES))
}

/// The schema of a definition.
fn payload<'env>(definition: &Fields<'env>) -> Result<Unknown<'env>> {
    let payload = definition.get("payload")?;
    if is_schema(payload)? {
        return Ok(payload);
    }
    definition.refuse_other_name_of("payload", payload)?;
    let place = definition.place("payload");
    Err(unexpected(definition.env, &place, SCHEMA, payload))
}

/// A copy of the middlewares a function is bound to.
fn bound_middlewares<'env>(env: &'env Env, this: This<'env>) -> Result<Array<'env>> {
    // Only a replaced `Function.prototype.bind` leads here with anything else.
    copy_functions(env, this.object.to_unknown())?
        .ok_or_else(|| Error::new(Status::InvalidArg, "the function lost its message builder"))
}
