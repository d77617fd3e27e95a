//! `zocket.create`: checks the config, and puts what it was given together with the message builder and the router.

use napi::Env;
use napi::bindgen_prelude::{Object, Result, Unknown};
use napi_derive::napi;

use crate::check::{
    SCHEMA, TRANSFORMER, is_function, is_schema, is_transformer, is_undefined, object, unexpected,
};
use crate::fields::Fields;
use crate::names;
use crate::object::plain;

/// Puts the message builder, the router, `use` and `bytes`, which are given as they are, together with the headers schema and the
/// connection callbacks of `config`, for `createServer`. Nothing listens yet.
///
/// @throws `TypeError` if `config.headers` is not a Standard Schema, a callback is not a function, or `config.transformer` is not a
/// transformer.
#[napi(namespace = "zocket", catch_unwind)]
pub(crate) fn create<'env>(
    env: &'env Env,
    config: Unknown<'env>,
    message: Unknown<'env>,
    router: Unknown<'env>,
    guard: Unknown<'env>,
    bytes: Unknown<'env>,
) -> Result<Object<'env>> {
    let Some(config) = object(config)? else {
        return Err(unexpected(
            *env,
            "zocket.create: config",
            "an object { headers, onConnect?, onOpen?, onDisconnect? }",
            config,
        ));
    };
    let config = Fields::new(
        *env,
        config,
        "zocket.create",
        ": config.",
        names::OF_INSTANCE.aliases,
    )
    .or_of(names::OF_SERVER);
    let headers = config.get("headers")?;
    if !is_schema(headers)? {
        config.refuse_other_name_of("headers", headers)?;
        return Err(unexpected(*env, &config.place("headers"), SCHEMA, headers));
    }
    let on_connect = callback(&config, "onConnect")?;
    let on_open = callback(&config, "onOpen")?;
    let on_disconnect = callback(&config, "onDisconnect")?;
    let transformer = config.get("transformer")?;
    if !is_undefined(transformer)? && !is_transformer(transformer)? {
        let place = config.place("transformer");
        return Err(unexpected(*env, &place, TRANSFORMER, transformer));
    }
    config.refuse_others()?;
    let mut made = vec![
        ("message", message),
        ("router", router),
        ("use", guard),
        ("bytes", bytes),
        ("headersSchema", headers),
        ("onConnect", on_connect),
        ("onOpen", on_open),
        ("onDisconnect", on_disconnect),
    ];
    if !is_undefined(transformer)? {
        made.push(("transformer", transformer));
    }
    plain(env, &made)
}

/// A callback of the config: a function, or `undefined` if it is left out.
fn callback<'env>(config: &Fields<'env>, name: &'static str) -> Result<Unknown<'env>> {
    let callback = config.get(name)?;
    if is_undefined(callback)? || is_function(callback)? {
        Ok(callback)
    } else {
        let place = config.place(name);
        Err(unexpected(config.env, &place, "a function", callback))
    }
}
