//! `ServerOptions` as the engine's `Config`: every wrong option is a `TypeError` that names it.

use std::time::Duration;

use napi::{
    Env, ValueType,
    bindgen_prelude::{JsObjectValue, JsValue, Object, Result, Unknown},
};
use zocket::{
    AllowedOrigins, Config, Network, SlowClient, TrustProxy,
    config::{MAX_IO_THREADS, MAX_PAYLOAD, MAX_ROOMS, MIN_BUFFERED_BYTES, RATES},
    handshake::{headers::is_token, subprotocol::is_subprotocol},
};

use crate::check::{is_function, is_undefined, object, type_error, unexpected};
use crate::compression;
use crate::fields::Fields;
use crate::listen;
use crate::names;
#[cfg(feature = "tls")]
use crate::tls;

/// Largest integer a double holds exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// Longest time in milliseconds, as for JavaScript's own timers: about 24.8 days.
const MAX_MILLISECONDS: f64 = 2_147_483_647.0;

/// What `path` and `observe.health` take.
const PATH: &str = "a path that starts with / and has no ? or #";

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['?', '#'])
}

/// What `allowedOrigins` takes in the array.
const ORIGIN: &str = "an exact origin as browsers send it, such as https://example.com: in lower case, without a path, a wildcard or \
                      the port that the scheme has anyway";

/// Whether a browser may send this as its origin: `null`, or a scheme, a host and perhaps a port. Browser extensions and applications
/// have schemes of their own, and some, such as `file`, have no host.
///
/// Browsers write the scheme in lower case. The URL standard (4.4) does the same with the host of a web page, and leaves out the default
/// port.
fn is_origin(text: &str) -> bool {
    let is_scheme = |it: &str| {
        let right = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"+-.".contains(&it);
        it.starts_with(|it: char| it.is_ascii_lowercase()) && it.bytes().all(right)
    };
    let is_rest = |it: &str| {
        it.bytes()
            .all(|it| it.is_ascii_graphic() && !b"/\\?#*@".contains(&it))
    };
    let is_of_page =
        |it: &str, port: &str| !it.bytes().any(|it| it.is_ascii_uppercase()) && !it.ends_with(port);
    let is_right = |(scheme, rest): (&str, &str)| match scheme {
        "http" => is_of_page(rest, ":80"),
        "https" => is_of_page(rest, ":443"),
        _ => is_scheme(scheme),
    };
    let parts = text.split_once("://");
    text == "null" || parts.is_some_and(|parts| is_right(parts) && is_rest(parts.1))
}

/// What `trustProxy` takes.
const TRUST_PROXY: &str = "true, false, the number of proxies, or an array of their addresses";
/// What it takes in the array.
const PROXY: &str =
    r#"an address, a range such as 10.0.0.0/8, "loopback", "linklocal" or "uniquelocal""#;

/// What a server may hold for its clients, as a part of the memory that the process may have.
const PART_OF_MEMORY: f64 = 4.0;

/// What may wait in all inboxes together, as a part of JavaScript's heap: parsed, it can be fifty times as large.
const PART_OF_HEAP: f64 = 512.0;

/// Reads and checks the options the engine is concerned with, and the name under which it is shared. The process may have so many bytes of `memory`, and JavaScript of
/// `heap`.
pub(crate) fn config(
    env: Env,
    options: &Object<'_>,
    memory: f64,
    heap: f64,
) -> Result<(Config, Option<String>)> {
    let between = ": options.";
    let fields = Fields::new(
        env,
        *options,
        "createServer",
        between,
        names::OF_SERVER.aliases,
    );
    let options = Options(fields.or_of(names::OF_INSTANCE));
    let mut config = Config {
        max_buffered_bytes: part(memory, PART_OF_MEMORY),
        ..Config::default()
    };
    if let Some(port) = options.whole("port", 0, u16::MAX.into(), "an integer from 0 to 65535")? {
        config.port = u16::try_from(port).unwrap_or_default();
    }
    config.listen = listen::listen(&options)?;
    #[cfg(feature = "tls")]
    if let Some(value) = options.get("tls")? {
        config.tls = Some(tls::material(env, "createServer", ": options.tls", value)?);
    }
    config.hostname = options.text("hostname", "a host name or address", |it| !it.is_empty())?;
    config.rules.path = options.text("path", PATH, is_path)?;
    if let Some(origins) = options.origins()? {
        config.rules.origins = origins;
    }
    config.rules.protocols = options.protocols()?;
    let payload = "a whole number of bytes from 1 to 268435456";
    if let Some(max) = options.whole("maxPayload", 1, MAX_PAYLOAD as u64, payload)? {
        config.max_payload = size(max);
    }
    let bytes = "a whole number of bytes";
    if let Some(max) = options.whole("maxBackpressure", 0, MAX_SAFE_INTEGER, bytes)? {
        config.max_backpressure = size(max);
    }
    let from = "a whole number of bytes, at least 1048576";
    let least = MIN_BUFFERED_BYTES as u64;
    if let Some(max) = options.whole("maxBufferedBytes", least, MAX_SAFE_INTEGER, from)? {
        config.max_buffered_bytes = size(max);
    }
    let policy = r#""disconnect" or "drop""#;
    match options.text("slowClient", policy, |it| {
        matches!(it, "disconnect" | "drop")
    })? {
        Some(policy) if policy == "drop" => config.slow_client = SlowClient::Drop,
        _ => {}
    }
    config.compression = compression::read(&options)?;
    if let Some(interval) = options.duration("heartbeatInterval", 0.0)? {
        config.heartbeat_interval = (!interval.is_zero()).then_some(interval);
    }
    if let Some(timeout) = options.duration("handshakeTimeout", 1.0)? {
        config.handshake_timeout = timeout;
    }
    let count = "a whole number of connections, at least 1";
    if let Some(max) = options.whole("maxConnections", 1, MAX_SAFE_INTEGER, count)? {
        config.max_connections = Some(size(max));
    }
    if let Some(max) = options.whole("maxConnectionsPerAddress", 1, MAX_SAFE_INTEGER, count)? {
        config.max_connections_per_address = Some(size(max));
    }
    config.max_upgrades_per_second_per_address = options.rate("maxUpgradesPerSecondPerAddress")?;
    config.max_upgrades_per_second = options.rate("maxUpgradesPerSecond")?;
    config.max_messages_per_second = options.rate("maxMessagesPerSecond")?;
    config.rules.trust_proxy = options.trust_proxy(&config)?;
    config.rules.trusted_headers = options.names("trustedHeaders")?;
    config.rules.health = options.health()?;
    let calls = "a whole number of calls from 1 to 4294967295";
    let handlers = options.whole("maxHandlersInFlight", 1, u32::MAX.into(), calls)?;
    if let Some(max) = handlers {
        config.max_handlers_in_flight = u32::try_from(max).unwrap_or(u32::MAX);
    }
    let open = options.whole("maxCallsPerClient", 1, u32::MAX.into(), calls)?;
    if let Some(max) = open {
        config.max_calls_per_client = u32::try_from(max).unwrap_or(u32::MAX);
    }
    let rooms = "a whole number of rooms from 1 to 16777216";
    if let Some(max) = options.whole("maxRoomsPerClient", 1, MAX_ROOMS.into(), rooms)? {
        config.max_rooms_per_client = u32::try_from(max).unwrap_or(MAX_ROOMS);
    }
    let threads = "a whole number of threads from 1 to 256";
    if let Some(threads) = options.whole("ioThreads", 1, MAX_IO_THREADS as u64, threads)? {
        config.io_threads = size(threads);
    }
    let inbox = part(heap, PART_OF_HEAP) / config.io_threads;
    config.max_inbox = config.max_inbox.min(inbox);
    let name = "a name of 1 to 64 characters";
    let share = options.text("share", name, |it| (1..=64).contains(&it.chars().count()))?;
    config.is_shared = share.is_some();
    // JavaScript checks and keeps these.
    options.get("validateOutgoing")?;
    options.get("onError")?;
    options.get("bus")?;
    options.0.refuse_others()?;
    Ok((config, share))
}

/// One of so many parts of a memory.
fn part(memory: f64, parts: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a memory is positive, and what is larger than a number can be is cut to that"
    )]
    let part = (memory / parts) as usize;
    part.max(MIN_BUFFERED_BYTES)
}

/// A limit that does not fit the platform's memory is none.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The options, read as what they have to be.
pub(crate) struct Options<'env>(pub(crate) Fields<'env>);

impl<'env> Options<'env> {
    pub(crate) fn env(&self) -> Env {
        self.0.env
    }

    /// Where an option stands, as errors name it.
    pub(crate) fn place(&self, name: &str) -> String {
        self.0.place(name)
    }

    /// Whether an option is there that says anything: neither `undefined` nor `false`.
    pub(crate) fn is_given(&self, name: &str) -> Result<bool> {
        let value = self.0.peek(name)?;
        let is_false = value.get_type()? == ValueType::Boolean && !value.coerce_to_bool()?;
        Ok(!is_undefined(value)? && !is_false)
    }

    /// The option, unless it is left out.
    pub(crate) fn get(&self, name: &'static str) -> Result<Option<Unknown<'env>>> {
        let value = self.0.get(name)?;
        Ok(if is_undefined(value)? {
            None
        } else {
            Some(value)
        })
    }

    pub(crate) fn wrong(&self, name: &str, expected: &str, got: Unknown<'_>) -> napi::Error {
        unexpected(self.0.env, &self.0.place(name), expected, got)
    }

    fn number(
        &self,
        name: &'static str,
        expected: &str,
        mut is_right: impl FnMut(f64) -> bool,
    ) -> Result<Option<f64>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        if value.get_type()? == ValueType::Number {
            let number = value.coerce_to_number()?.get_double()?;
            if is_right(number) {
                return Ok(Some(number));
            }
        }
        Err(self.wrong(name, expected, value))
    }

    pub(crate) fn whole(
        &self,
        name: &'static str,
        min: u64,
        max: u64,
        expected: &str,
    ) -> Result<Option<u64>> {
        let mut whole = None;
        self.number(name, expected, |it| {
            whole = exact(it).filter(|it| (min..=max).contains(it));
            whole.is_some()
        })?;
        Ok(whole)
    }

    fn rate(&self, name: &'static str) -> Result<Option<f64>> {
        let expected = "a number from 0.001 to 1000000";
        self.number(name, expected, |it| RATES.contains(&it))
    }

    fn duration(&self, name: &'static str, min: f64) -> Result<Option<Duration>> {
        let expected = if min > 0.0 {
            "a number of milliseconds from 1 to 2147483647"
        } else {
            "a number of milliseconds from 0 (off) to 2147483647"
        };
        let is_right = |it: f64| (it == 0.0 || it >= 1.0) && it >= min && it <= MAX_MILLISECONDS;
        let milliseconds = self.number(name, expected, is_right)?;
        Ok(milliseconds.map(|it| Duration::from_secs_f64(it / 1000.0)))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        if value.get_type()? == ValueType::Boolean {
            return value.coerce_to_bool().map(Some);
        }
        Err(self.wrong(name, "true or false", value))
    }

    pub(crate) fn text(
        &self,
        name: &'static str,
        expected: &str,
        is_right: impl Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        if value.get_type()? == ValueType::String {
            let text = value.coerce_to_string()?.into_utf8()?.into_owned()?;
            if is_right(&text) {
                return Ok(Some(text));
            }
        }
        Err(self.wrong(name, expected, value))
    }

    fn origins(&self) -> Result<Option<AllowedOrigins>> {
        let name = "allowedOrigins";
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        if is_function(value)? {
            return Ok(Some(AllowedOrigins::Owner));
        }
        if !value.is_array()? {
            return Err(self.wrong(name, "an array of origins or a function", value));
        }
        let origins = self.texts(name, value, ORIGIN, |it| {
            is_origin(it).then(|| it.to_owned())
        })?;
        Ok(Some(AllowedOrigins::List(origins)))
    }

    /// The proxies that are believed. Limits per address are read before.
    fn trust_proxy(&self, config: &Config) -> Result<TrustProxy> {
        let name = "trustProxy";
        let Some(value) = self.get(name)? else {
            return Ok(TrustProxy::Nobody);
        };
        let trust = match value.get_type()? {
            ValueType::Boolean if value.coerce_to_bool()? => TrustProxy::Everybody,
            ValueType::Boolean => TrustProxy::Nobody,
            ValueType::Number => {
                let hops = exact(value.coerce_to_number()?.get_double()?);
                match hops.and_then(|hops| u32::try_from(hops).ok()) {
                    Some(hops) => TrustProxy::Hops(hops),
                    None => return Err(self.wrong(name, TRUST_PROXY, value)),
                }
            }
            _ if value.is_array()? => {
                let ranges = self.texts(name, value, PROXY, |text| {
                    let named = Network::named(text).map(<[_]>::to_vec);
                    named.or_else(|| Network::parse(text).map(|network| vec![network]))
                })?;
                TrustProxy::Networks(ranges.concat())
            }
            _ => return Err(self.wrong(name, TRUST_PROXY, value)),
        };
        let limited = if config.max_connections_per_address.is_some() {
            "maxConnectionsPerAddress"
        } else {
            "maxUpgradesPerSecondPerAddress"
        };
        let is_limited = config.max_connections_per_address.is_some()
            || config.max_upgrades_per_second_per_address.is_some();
        if is_limited && trust.believes_everybody() {
            let place = self.0.place(name);
            let message = format!(
                "{place}: lets each client choose its address, so {limited} would limit nobody; \
                 name the addresses of your proxies, or their number"
            );
            return Err(type_error(self.0.env, &message));
        }
        Ok(trust)
    }

    /// The path of probes, which is in an object of its own.
    fn health(&self) -> Result<Option<String>> {
        let name = "observe";
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        let Some(observe) = object(value)? else {
            return Err(self.wrong(name, "an object { health? }", value));
        };
        let between = ": options.observe.";
        let observe = Options(Fields::new(
            self.0.env,
            observe,
            "createServer",
            between,
            &[],
        ));
        let path = observe.text("health", PATH, is_path)?;
        observe.0.refuse_others()?;
        Ok(path)
    }

    /// An array of names of header fields, in lower case; empty if it is left out.
    fn names(&self, name: &'static str) -> Result<Vec<String>> {
        let Some(value) = self.get(name)? else {
            return Ok(Vec::new());
        };
        if !value.is_array()? {
            return Err(self.wrong(name, "an array of names of headers", value));
        }
        self.texts(
            name,
            value,
            "the name of a header such as x-user-id",
            |it| is_token(it).then(|| it.to_ascii_lowercase()),
        )
    }

    fn protocols(&self) -> Result<Vec<String>> {
        let name = "protocols";
        let Some(value) = self.get(name)? else {
            return Ok(Vec::new());
        };
        if !value.is_array()? {
            return Err(self.wrong(name, "an array of subprotocols", value));
        }
        let expected = "a subprotocol: a token such as mqtt that does not start with zocket.";
        self.texts(name, value, expected, |it| {
            is_subprotocol(it).then(|| it.to_owned())
        })
    }

    /// The texts of an array, each read as what it has to be.
    fn texts<T>(
        &self,
        name: &str,
        array: Unknown<'_>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>> {
        let array = array.coerce_to_object()?;
        let length = array.get_array_length()?;
        let mut texts = Vec::new();
        for index in 0..length {
            let item: Unknown<'_> = array.get_element(index)?;
            let text = match item.get_type()? {
                ValueType::String => read(item.coerce_to_string()?.into_utf8()?.as_str()?),
                _ => None,
            };
            let Some(text) = text else {
                let place = format!("{name}[{index}]");
                return Err(self.wrong(&place, expected, item));
            };
            texts.push(text);
        }
        Ok(texts)
    }
}

/// The number as an integer if it is one that a double holds exactly.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked first"
)]
fn exact(number: f64) -> Option<u64> {
    let in_range = number >= 0.0 && number <= MAX_SAFE_INTEGER as f64;
    (in_range && number.fract() == 0.0).then_some(number as u64)
}
