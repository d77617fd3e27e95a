//! `zocket.create`: checks the config, hands back the message builder and the router, and keeps schema and callbacks.

use napi::Env;
use napi::bindgen_prelude::{JsObjectValue, JsValue, Object, Result, Unknown};
use napi_derive::napi;

use crate::check::{SCHEMA, is_function, is_schema, is_undefined, object, unexpected};
use crate::message::builder;
use crate::object::plain;
use crate::router::router_function;

/// Creates a Zocket server instance: the message builder and the router, with the headers schema and the connection
/// callbacks kept for `createServer`.
///
/// @throws `TypeError` if `config.headers` is no Standard Schema or a callback is no function.
#[napi(namespace = "zocket", catch_unwind)]
pub(crate) fn create<'env>(env: &'env Env, config: Unknown<'env>) -> Result<Object<'env>> {
    let Some(config) = object(config)? else {
        return Err(unexpected(
            *env,
            "zocket.create: config",
            "an object { headers, onConnect?, onDisconnect? }",
            config,
        ));
    };
    let headers: Unknown = config.get_c_named_property_unchecked(c"headers")?;
    if !is_schema(headers)? {
        let place = "zocket.create: config.headers";
        return Err(unexpected(*env, place, SCHEMA, headers));
    }
    let on_connect = callback(*env, &config, "onConnect")?;
    let on_disconnect = callback(*env, &config, "onDisconnect")?;
    plain(
        env,
        &[
            ("message", builder(env, env.create_array(0)?)?.to_unknown()),
            ("router", router_function(env)?.to_unknown()),
            ("headersSchema", headers),
            ("onConnect", on_connect),
            ("onDisconnect", on_disconnect),
        ],
    )
}

/// A callback of the config: a function, or `undefined` if it is left out.
fn callback<'env>(env: Env, config: &Object<'env>, name: &str) -> Result<Unknown<'env>> {
    let callback: Unknown = config.get_named_property_unchecked(name)?;
    if is_undefined(callback)? || is_function(callback)? {
        Ok(callback)
    } else {
        let place = format!("zocket.create: config.{name}");
        Err(unexpected(env, &place, "a function", callback))
    }
}
