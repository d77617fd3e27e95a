//! The option `tls`: reads certificates and keys, and has the engine check them.

use std::net::Ipv4Addr;

use napi::{
    Env, ValueType,
    bindgen_prelude::{BufferSlice, FromNapiValue, JsObjectValue, JsValue, Result, Unknown},
};
use zocket::{ClientCertificates, Identity, MinVersion, Tls, TlsOptions};

use crate::{
    check::{is_undefined, plain_object, quote, type_error, unexpected},
    error,
    fields::{Aliases, Fields},
    object,
};

/// The names that other libraries use for the options.
const ALIASES: Aliases = &[
    ("certificate", "cert"),
    ("certfile", "cert"),
    ("cert_file_name", "cert"),
    ("chain", "cert"),
    ("pfx", "cert"),
    ("pkcs12", "cert"),
    ("privatekey", "key"),
    ("keyfile", "key"),
    ("key_file_name", "key"),
    ("password", "passphrase"),
    ("clientca", "ca"),
    ("mintlsversion", "minVersion"),
    ("secureprotocol", "minVersion"),
    ("clientauth", "requestCert"),
    ("snicallback", "sni"),
    ("servername", "sni"),
];

const PEM: &str = "PEM as a string or a Buffer";

/// Longest server name (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// Reads the material of a server. `function` and `between` stand before the names of the options in errors, such as
/// `createServer` and `: options.tls`.
///
/// # Errors
/// A `TypeError` for a wrong option, and an `Error` with the code `ETLS` for material that cannot be used.
pub(crate) fn material(
    env: Env,
    function: &'static str,
    between: &str,
    value: Unknown<'_>,
) -> Result<Tls> {
    let Some(object) = plain_object(value)? else {
        let place = format!("{function}{between}");
        return Err(unexpected(
            env,
            &place,
            "an object with cert and key",
            value,
        ));
    };
    let fields = Part(Fields::new(
        env,
        object,
        function,
        format!("{between}."),
        ALIASES,
    ));
    let identity = fields.identity()?;
    let ca = fields.authorities()?;
    let is_asked = fields.flag("requestCert")?.unwrap_or(false);
    let is_strict = fields.flag("rejectUnauthorized")?.unwrap_or(true);
    let clients = match (is_asked, is_strict) {
        (false, _) => ClientCertificates::NotAsked,
        (true, false) => ClientCertificates::Asked,
        (true, true) => ClientCertificates::Required,
    };
    if is_asked && ca.is_empty() {
        let place = fields.0.place("requestCert");
        let message =
            format!("{place}: expected ca beside it, which says who issues the certificates");
        return Err(type_error(env, &message));
    }
    let min_version = fields.min_version()?;
    let sni = fields.server_names(function, between)?;
    fields.0.refuse_others()?;
    let options = TlsOptions {
        identity,
        sni,
        ca,
        clients,
        min_version,
    };
    Tls::new(&options).map_err(|fault| {
        let message = format!("{function}{between}.{}: {}", fault.field(), fault.cause());
        error::throw_code(env, message, "ETLS")
    })
}

/// An object of options, read as what they have to be.
struct Part<'env>(Fields<'env>);

impl Part<'_> {
    fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            cert: self.pem("cert")?,
            key: self.pem("key")?,
            passphrase: self.passphrase()?,
        })
    }

    fn pem(&self, name: &'static str) -> Result<Vec<u8>> {
        let value = self.0.get(name)?;
        self.0.refuse_other_name_of(name, value)?;
        match bytes(value)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.wrong(name, PEM, value)),
        }
    }

    fn passphrase(&self) -> Result<Option<String>> {
        let value = self.0.get("passphrase")?;
        if is_undefined(value)? {
            return Ok(None);
        }
        if value.get_type()? != ValueType::String {
            // Its value is nobody's business.
            let place = self.0.place("passphrase");
            let message = format!("{place}: expected a string");
            return Err(type_error(self.0.env, &message));
        }
        Ok(Some(text(value)?))
    }

    fn authorities(&self) -> Result<Vec<Vec<u8>>> {
        let value = self.0.get("ca")?;
        if is_undefined(value)? {
            return Ok(Vec::new());
        }
        if !value.is_array()? {
            return match bytes(value)? {
                Some(bytes) => Ok(vec![bytes]),
                None => Err(self.wrong(
                    "ca",
                    "PEM as a string or a Buffer, or an array of those",
                    value,
                )),
            };
        }
        let array = value.coerce_to_object()?;
        let mut authorities = Vec::new();
        for index in 0..array.get_array_length()? {
            let element: Unknown<'_> = array.get_element(index)?;
            match bytes(element)? {
                Some(bytes) => authorities.push(bytes),
                None => return Err(self.wrong(&format!("ca[{index}]"), PEM, element)),
            }
        }
        Ok(authorities)
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let value = self.0.get(name)?;
        match value.get_type()? {
            ValueType::Undefined => Ok(None),
            ValueType::Boolean => value.coerce_to_bool().map(Some),
            _ => Err(self.wrong(name, "true or false", value)),
        }
    }

    fn min_version(&self) -> Result<MinVersion> {
        let name = "minVersion";
        let value = self.0.get(name)?;
        if is_undefined(value)? {
            return Ok(MinVersion::default());
        }
        let version = match value.get_type()? {
            ValueType::String => text(value)?,
            _ => String::new(),
        };
        match version.as_str() {
            "TLSv1.2" => Ok(MinVersion::Tls12),
            "TLSv1.3" => Ok(MinVersion::Tls13),
            _ => Err(self.wrong(name, r#""TLSv1.2" or "TLSv1.3""#, value)),
        }
    }

    fn server_names(
        &self,
        function: &'static str,
        between: &str,
    ) -> Result<Vec<(String, Identity)>> {
        let value = self.0.get("sni")?;
        if is_undefined(value)? {
            return Ok(Vec::new());
        }
        let expected = "an object of server names, each with an object with cert and key";
        let Some(names) = plain_object(value)? else {
            return Err(self.wrong("sni", expected, value));
        };
        let mut identities = Vec::new();
        for name in object::names(&names)? {
            let value: Unknown<'_> = names.get_named_property_unchecked(&name)?;
            if !is_server_name(&name) {
                let place = self.0.place("sni");
                let message = format!(
                    "{place}: expected a server name such as example.com or *.example.com, got {}",
                    quote(&name)
                );
                return Err(type_error(self.0.env, &message));
            }
            let Some(object) = plain_object(value)? else {
                let place = format!("sni[{name:?}]");
                return Err(self.wrong(&place, "an object with cert and key", value));
            };
            let between = format!("{between}.sni[{name:?}].");
            let part = Part(Fields::new(self.0.env, object, function, between, ALIASES));
            let identity = part.identity()?;
            part.0.refuse_others()?;
            identities.push((name, identity));
        }
        Ok(identities)
    }

    /// The `TypeError` for a value of the wrong kind. What stands in a text may be a key, so no text is repeated.
    fn wrong(&self, name: &str, expected: &str, got: Unknown<'_>) -> napi::Error {
        let place = self.0.place(name);
        match got.get_type() {
            Ok(ValueType::String) => {
                let message = format!("{place}: expected {expected}, got another string");
                type_error(self.0.env, &message)
            }
            _ => unexpected(self.0.env, &place, expected, got),
        }
    }
}

/// The bytes of a string or a view of memory; `None` for anything else.
fn bytes(value: Unknown<'_>) -> Result<Option<Vec<u8>>> {
    if value.get_type()? == ValueType::String {
        return Ok(Some(text(value)?.into_bytes()));
    }
    if value.is_buffer()? {
        let bytes = BufferSlice::from_unknown(value)?;
        return Ok(Some(bytes.to_vec()));
    }
    Ok(None)
}

fn text(value: Unknown<'_>) -> Result<String> {
    value.coerce_to_string()?.into_utf8()?.into_owned()
}

/// Whether clients can name a server so (RFC 6066, 3): no address, and no dot at the end. The first label may be `*`.
fn is_server_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let right = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(right)
    };
    name.len() <= MAX_NAME && host.parse::<Ipv4Addr>().is_err() && host.split('.').all(is_label)
}
