//! A certificate chain and its key.

use std::sync::Arc;

use rustls::{
    Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    fault::{Cause, Fault},
    key::private_key,
    options::Identity,
};

/// All certificates in a text.
///
/// # Errors
/// There is none, or one that cannot be read.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(Cause::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(Cause::BadCertificate),
    }
}

/// Reads an identity and makes sure that its parts belong together. `place` stands before the names of its fields.
///
/// # Errors
/// The first part that cannot be used.
pub(super) fn certified(
    identity: &Identity,
    provider: &CryptoProvider,
    place: &str,
) -> Result<Arc<CertifiedKey>, Fault> {
    let wrong = |field: &str, cause| Fault::new(format!("{place}{field}"), cause);
    let chain = certificates(&identity.cert).map_err(|cause| wrong("cert", cause))?;
    let key = private_key(&identity.key, identity.passphrase.as_deref());
    let key = key.map_err(|cause| match cause {
        Cause::NoPassphrase | Cause::WrongPassphrase => wrong("passphrase", cause),
        cause => wrong("key", cause),
    })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| wrong("key", Cause::BadKey))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => Err(wrong("key", Cause::Mismatch)),
        Err(_) => Err(wrong("cert", Cause::BadCertificate)),
    }
}
