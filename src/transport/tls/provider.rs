//! The crypto provider of rustls.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};

/// The one crypto provider of the process. It is handed to rustls each time, as a process-wide default could be another
/// one's.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(ring::default_provider()))
        .clone()
}
