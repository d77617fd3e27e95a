//! The bus of a server: its settings, which JavaScript has checked, and its counters.

#[cfg(any(feature = "nats", feature = "redis"))]
use std::sync::Arc;

#[cfg(feature = "bus")]
use napi::bindgen_prelude::JsValue;
use napi::{
    Env,
    bindgen_prelude::{Object, Result},
};
use napi_derive::napi;
use zocket::{Config, ServerHandle};

#[cfg(feature = "bus")]
use crate::{metrics, object::plain};

/// A server of a bus, and who we are there.
#[napi(object, object_to_js = false)]
pub struct NativePlace {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// The settings of a bus.
#[napi(object, object_to_js = false)]
pub struct NativeBus {
    /// What carries the messages: `nats` or `redis`.
    pub kind: String,
    /// How a Redis is run: `single`, `sentinel` or `cluster`.
    pub way: Option<String>,
    /// What the names of channels begin with.
    pub prefix: String,
    /// Bytes of the longest publication.
    pub max_message: u32,
    /// Whether the process serves nobody.
    pub is_publisher: bool,
    /// Where it is.
    pub places: Vec<NativePlace>,
    /// What sentinels call the server.
    pub name: Option<String>,
    /// The user at the server that sentinels name.
    pub username: Option<String>,
    /// The password there.
    pub password: Option<String>,
    /// Certificates of the authorities that are believed, as PEM.
    pub ca: Option<String>,
    /// The own certificate, as PEM.
    pub cert: Option<String>,
    /// Its key, as PEM.
    pub key: Option<String>,
}

/// Puts a bus into the configuration of a server, which has only this one.
#[cfg_attr(
    not(any(feature = "nats", feature = "redis")),
    expect(unused_variables, reason = "without it there is no bus")
)]
pub(crate) fn set(config: &mut Config, bus: Option<NativeBus>) {
    #[cfg(any(feature = "nats", feature = "redis"))]
    if let Some(bus) = bus {
        config.bus = configured(bus);
    }
}

#[cfg(any(feature = "nats", feature = "redis"))]
fn configured(bus: NativeBus) -> Option<zocket::BusConfig> {
    use zocket::{BusTls, Place, Transport};
    #[cfg(feature = "redis")]
    use zocket::{Redis, Sentinels};

    let tls = Arc::new(BusTls {
        ca: bus.ca.map(String::into_bytes),
        identity: (bus.cert.map(String::into_bytes)).zip(bus.key.map(String::into_bytes)),
    });
    let place = |place: NativePlace| Place {
        host: place.host,
        port: place.port,
        tls: place.secure.then(|| tls.clone()),
        username: place.username,
        password: place.password,
    };
    let mut places = bus.places.into_iter().map(place);
    let transport = match bus.kind.as_str() {
        #[cfg(feature = "redis")]
        "redis" => Transport::Redis(match bus.way.as_deref() {
            Some("cluster") => Redis::Cluster(places.collect()),
            Some("sentinel") => Redis::Sentinel(Sentinels {
                places: places.collect(),
                name: bus.name?,
                username: bus.username,
                password: bus.password,
            }),
            _ => Redis::Single(places.next()?),
        }),
        #[cfg(feature = "nats")]
        "nats" => Transport::Nats(places.collect()),
        _ => return None,
    };
    Some(zocket::BusConfig {
        prefix: bus.prefix,
        max_message: bus.max_message as usize,
        is_publisher: bus.is_publisher,
        transport,
    })
}

/// Lets go of a server's bus.
pub(crate) fn stop(server: &ServerHandle) {
    #[cfg(feature = "bus")]
    server.stop_bus();
    #[cfg(not(feature = "bus"))]
    let _ = server;
}

/// Why a server's bus was away last.
pub(crate) fn trouble(server: &ServerHandle) -> Option<String> {
    #[cfg(feature = "bus")]
    return server.bus_trouble();
    #[cfg(not(feature = "bus"))]
    {
        let _ = server;
        None
    }
}

/// The counters of a server's bus as an object.
pub(crate) fn counters<'env>(
    env: &'env Env,
    server: &ServerHandle,
) -> Result<Option<Object<'env>>> {
    #[cfg(feature = "bus")]
    {
        let Some(counted) = server.bus() else {
            return Ok(None);
        };
        let connected = u8::from(counted.connected);
        let mut fields = vec![(
            "connected",
            env.create_double(f64::from(connected))?.to_unknown(),
        )];
        for (name, count) in counted.named() {
            let count = env.create_double(metrics::number(count))?;
            fields.push((name, count.to_unknown()));
        }
        plain(env, &fields).map(Some)
    }
    #[cfg(not(feature = "bus"))]
    {
        let _ = (env, server);
        Ok(None)
    }
}
