//! Private keys, read from PEM.

use pkcs8::{EncryptedPrivateKeyInfoRef, der::Decode};
use rustls::pki_types::{
    PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{PemObject, SectionKind, SliceIter},
};

use super::fault::Cause;

/// How an encrypted key is marked in PKCS#8 (RFC 7468, 11), and a plain one (RFC 7468, 10).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN: &str = "PRIVATE KEY";
/// How a key is marked that is encrypted in the older way (RFC 1421, 4.6.1.1).
const OLD: &str = "Proc-Type: 4,ENCRYPTED";

/// A section of PEM, whatever it is.
struct Section(SectionKind, Vec<u8>);

impl PemObject for Section {
    fn from_pem(kind: SectionKind, der: Vec<u8>) -> Option<Self> {
        Some(Self(kind, der))
    }
}

/// The first private key.
///
/// # Errors
/// Why there is none.
pub(super) fn private_key(
    pem: &[u8],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, Cause> {
    // It holds text alone, or else no key.
    let text = String::from_utf8_lossy(pem);
    if text.contains(OLD) {
        return Err(Cause::OldEncryption);
    }
    let is_encrypted = text.contains(ENCRYPTED);
    // The parser passes over labels that it does not know.
    let text = text.replace(ENCRYPTED, PLAIN);
    for section in SliceIter::<Section>::new(text.as_bytes()) {
        let Section(kind, der) = section.map_err(|_| Cause::BadKey)?;
        match kind {
            SectionKind::PrivateKey if is_encrypted => return decrypted(&der, passphrase),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return PrivateKeyDer::from_pem(kind, der).ok_or(Cause::BadKey);
            }
            _ => {}
        }
    }
    Err(Cause::NoKey)
}

fn decrypted(der: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, Cause> {
    let Ok(encrypted) = EncryptedPrivateKeyInfoRef::from_der(der) else {
        return Err(Cause::UnknownEncryption);
    };
    let passphrase = passphrase.ok_or(Cause::NoPassphrase)?;
    match encrypted.decrypt(passphrase) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(error))
            if error != pkcs8::pkcs5::Error::DecryptFailed =>
        {
            Err(Cause::UnknownEncryption)
        }
        // One wrong passphrase in 256 decrypts to something that is no key.
        Err(_) => Err(Cause::WrongPassphrase),
    }
}
