//! `zo.router`: walks routes and handlers once and leaves the flat table that the dispatcher and the engine number
//! their routes by.

use std::collections::BTreeMap;

use napi::Env;
use napi::bindgen_prelude::{Array, Function, JsValue, Object, Result, Unknown};
use napi_derive::napi;

use crate::check::{
    is_function, is_undefined, plain_object, quote, shorten, type_error, unexpected,
};
use crate::object::{define_hidden, entries, plain};
use crate::policy;
use crate::route::{Route, read_route};

/// How deep routes nest at most. No tree of a person gets there; one that contains itself always does.
const MAX_DEPTH: usize = 64;
/// How many messages a router holds at most, and how many groups of them.
const MAX_ROUTES: usize = 65_536;
/// How long a route's wire name is at most, in bytes of UTF-8. It travels with every message.
const MAX_NAME: usize = 1_024;

/// Creates the application router from nested routes and the handlers of the incoming ones.
///
/// @throws `TypeError` naming the path of a wrong route or handler.
#[napi(catch_unwind)]
pub(crate) fn router<'env>(
    env: &'env Env,
    routes: Unknown<'env>,
    handlers: Unknown<'env>,
) -> Result<Object<'env>> {
    let Some(route_group) = plain_object(routes)? else {
        let expected = "a plain object of routes";
        return Err(unexpected(*env, "zo.router: routes", expected, routes));
    };
    let handler_group = handler_group(*env, "", handlers)?;
    let mut walk = Walk {
        env,
        incoming: env.create_array(0)?,
        outgoing: env.create_array(0)?,
        messages: 0,
        groups: 0,
    };
    walk.group("", 0, &route_group, Some(&handler_group))?;
    let table = plain(
        env,
        &[
            ("incoming", walk.incoming.to_unknown()),
            ("outgoing", walk.outgoing.to_unknown()),
        ],
    )?;
    let mut result = plain(env, &[("routes", routes), ("handlers", handlers)])?;
    define_hidden(&mut result, "_table", table.to_unknown())?;
    Ok(result)
}

/// `router` as a property of what `zocket.create` returns.
pub(crate) fn router_function(env: &Env) -> Result<Function<'_>> {
    env.create_function("router", router_c_callback)
}

/// One pass over the routes with their handlers, and the table as far as it got.
struct Walk<'env> {
    env: &'env Env,
    incoming: Array<'env>,
    outgoing: Array<'env>,
    messages: usize,
    groups: usize,
}

impl<'env> Walk<'env> {
    /// Walks one group. `prefix` is its path, empty for the root; without `handlers` all of it is left out.
    fn group(
        &mut self,
        prefix: &str,
        depth: usize,
        routes: &Object<'env>,
        handlers: Option<&Object<'env>>,
    ) -> Result<()> {
        self.count_group(prefix, depth)?;
        let mut handlers = match handlers {
            Some(handlers) => entries(*self.env, &place("handlers", prefix), handlers)?
                .into_iter()
                .collect(),
            None => BTreeMap::new(),
        };
        for (key, value) in entries(*self.env, &place("routes", prefix), routes)? {
            let name = self.name("routes", prefix, &key)?;
            let handler = match handlers.remove(&key) {
                Some(handler) if !is_undefined(handler)? => Some(handler),
                _ => None,
            };
            match read_route(self.env, &place("routes", &name), value)? {
                Route::Incoming {
                    schema,
                    middlewares,
                } => self.add_incoming(&name, schema, middlewares, handler)?,
                Route::Outgoing { policy } => self.add_outgoing(&name, policy, handler)?,
                Route::Group(routes) => {
                    let handlers = handler
                        .map(|handlers| handler_group(*self.env, &name, handlers))
                        .transpose()?;
                    self.group(&name, depth + 1, &routes, handlers.as_ref())?;
                }
            }
        }
        for (key, handler) in handlers {
            if !is_undefined(handler)? {
                let name = self.name("handlers", prefix, &key)?;
                let place = place("handlers", &name);
                let expected = "expected the name of an incoming route";
                let message = format!("{place}: {expected}, got {}", quote(&name));
                return Err(type_error(*self.env, &message));
            }
        }
        Ok(())
    }

    /// Bounds the walk: neither a tree that contains itself nor one group reached by very many paths may hang or overflow it.
    fn count_group(&mut self, prefix: &str, depth: usize) -> Result<()> {
        self.groups += 1;
        if depth > MAX_DEPTH {
            let place = place("routes", &shorten(prefix));
            let message = format!(
                "{place}: expected at most {MAX_DEPTH} levels of nesting, got more; do the routes contain themselves?"
            );
            return Err(type_error(*self.env, &message));
        }
        if self.groups > MAX_ROUTES {
            let message =
                format!("zo.router: routes: expected at most {MAX_ROUTES} groups, got more");
            return Err(type_error(*self.env, &message));
        }
        Ok(())
    }

    /// Checks a key and joins it to the path of its group: the wire name, if a message stands there.
    fn name(&self, argument: &str, prefix: &str, key: &str) -> Result<String> {
        if key.is_empty() || key.contains('.') || key.starts_with('$') {
            let place = place(argument, prefix);
            let key = quote(key);
            let message = format!(
                "{place}: expected a key that is not empty, has no dot and does not start with $, got {key}"
            );
            return Err(type_error(*self.env, &message));
        }
        let name = join(prefix, key);
        if name.len() > MAX_NAME {
            let place = place(argument, &shorten(&name));
            let length = name.len();
            let message =
                format!("{place}: expected a path of at most {MAX_NAME} bytes, got {length}");
            return Err(type_error(*self.env, &message));
        }
        Ok(name)
    }

    /// Adds an incoming route to the table if it has a handler.
    fn add_incoming(
        &mut self,
        name: &str,
        schema: Unknown<'env>,
        middlewares: Array<'env>,
        handler: Option<Unknown<'env>>,
    ) -> Result<()> {
        self.count_message()?;
        let Some(handler) = handler else {
            return Ok(());
        };
        if !is_function(handler)? {
            let place = place("handlers", name);
            return Err(unexpected(
                *self.env,
                &place,
                "a handler (a function)",
                handler,
            ));
        }
        let row = plain(
            self.env,
            &[
                ("name", self.env.create_string(name)?.to_unknown()),
                ("schema", schema),
                ("middlewares", middlewares.to_unknown()),
                ("handler", handler),
            ],
        )?;
        self.incoming.insert(row)
    }

    /// Adds an outgoing route to the table. Nothing may handle it.
    fn add_outgoing(
        &mut self,
        name: &str,
        policy: Option<Unknown<'env>>,
        handler: Option<Unknown<'env>>,
    ) -> Result<()> {
        self.count_message()?;
        if handler.is_some() {
            let place = place("handlers", name);
            let message = format!(
                "{place}: {} is an outgoing route; only incoming routes have handlers",
                quote(name)
            );
            return Err(type_error(*self.env, &message));
        }
        let mut fields = vec![("name", self.env.create_string(name)?.to_unknown())];
        fields.extend(policy.map(|policy| (policy::NAME, policy)));
        self.outgoing.insert(plain(self.env, &fields)?)
    }

    fn count_message(&mut self) -> Result<()> {
        self.messages += 1;
        if self.messages > MAX_ROUTES {
            let message =
                format!("zo.router: routes: expected at most {MAX_ROUTES} routes, got more");
            return Err(type_error(*self.env, &message));
        }
        Ok(())
    }
}

/// The handlers of a group, which have the shape of its routes.
fn handler_group<'env>(env: Env, path: &str, value: Unknown<'env>) -> Result<Object<'env>> {
    plain_object(value)?.ok_or_else(|| {
        let place = place("handlers", path);
        unexpected(env, &place, "a plain object of handlers", value)
    })
}

/// Where something stands in one of the two arguments, as errors name it.
fn place(argument: &str, path: &str) -> String {
    format!("zo.router: {}", join(argument, path))
}

/// Joins two parts of a path, either of which may be empty.
fn join(left: &str, right: &str) -> String {
    if left.is_empty() || right.is_empty() {
        format!("{left}{right}")
    } else {
        format!("{left}.{right}")
    }
}
