//! Material that is ready to serve with.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::CertificateDer,
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};

use super::{
    clients::Clients,
    fault::{Cause, Fault},
    identity::certified,
    names::Names,
    options::{MinVersion, TlsOptions},
    provider::provider,
};
use crate::sync::Mutex;

/// The protocol inside, as clients may name it (RFC 7301). Browsers and Node.js do.
const ALPN: &[u8] = b"http/1.1";

/// Material that has been checked and can be served with. A clone is the same material.
#[derive(Clone)]
pub struct Tls(Arc<Material>);

struct Material {
    config: Arc<ServerConfig>,
    /// The check of clients' certificates, if the server asks for them.
    clients: Option<Arc<Clients>>,
}

impl Tls {
    /// Checks the material.
    ///
    /// # Errors
    /// The first part that cannot be used.
    pub fn new(options: &TlsOptions) -> Result<Self, Fault> {
        let provider = provider();
        let versions: &[_] = match options.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let identity = certified(&options.identity, &provider, "")?;
        let mut names = Names::new(identity);
        for (name, identity) in &options.sni {
            let place = format!("sni[{name:?}].");
            names.add(name, certified(identity, &provider, &place)?);
        }
        let clients = Clients::new(&options.ca, options.clients, &provider)?.map(Arc::new);
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|_| Fault::new("minVersion", Cause::Unusable))?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Nothing is kept for a client that is gone: a ticket holds its session, sealed with a key of this material alone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // A certificate that was good once may have expired since: such clients prove it anew each time.
        if clients.is_none()
            && let Ok(ticketer) = ring::Ticketer::new()
        {
            config.ticketer = ticketer;
            config.send_tls13_tickets = 1;
        }
        Ok(Self(Arc::new(Material {
            config: Arc::new(config),
            clients,
        })))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.config.clone()
    }

    /// Whether clients are asked for certificates.
    pub(super) fn asks_clients(&self) -> bool {
        self.0.clients.is_some()
    }

    /// Whether a client with this chain, its leaf first, is to be believed.
    pub(super) fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let clients = self.0.clients.as_ref();
        clients.is_some_and(|clients| clients.believes(chain))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what it holds.
        f.write_str("Tls")
    }
}

/// The material that new handshakes use.
#[derive(Debug)]
pub(crate) struct Current(Mutex<Tls>);

impl Current {
    pub(crate) fn new(tls: Tls) -> Self {
        Self(Mutex::new(tls))
    }

    pub(crate) fn get(&self) -> Tls {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set(&self, tls: Tls) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tls;
    }
}
