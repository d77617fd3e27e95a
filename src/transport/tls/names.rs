//! Which identity is for which server name (RFC 6066, 3).

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The identities of a server.
#[derive(Debug)]
pub(super) struct Names {
    other: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    /// `other` is for clients that name no server, or an unknown one.
    pub(super) fn new(other: Arc<CertifiedKey>) -> Self {
        let by_name = HashMap::new();
        Self { other, by_name }
    }

    pub(super) fn add(&mut self, name: &str, identity: Arc<CertifiedKey>) {
        self.by_name.insert(name.to_ascii_lowercase(), identity);
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let any = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(any)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = if self.by_name.is_empty() {
            None
        } else {
            hello.server_name().and_then(|name| self.find(name))
        };
        Some(named.unwrap_or(&self.other).clone())
    }
}
