//! The faults of a server's certificates and keys.

use std::fmt;

/// A part of the material that cannot be used. Its text never holds any of the material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    field: String,
    cause: Cause,
}

/// Why a part of the material cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It contains no certificate.
    NoCertificate,
    /// A certificate in it cannot be read.
    BadCertificate,
    /// It contains no private key.
    NoKey,
    /// The private key in it cannot be read, or is of a kind that is not supported.
    BadKey,
    /// The key is not that of the certificate.
    Mismatch,
    /// The key is encrypted, and the passphrase is missing.
    NoPassphrase,
    /// The passphrase is not that of the key.
    WrongPassphrase,
    /// The key is encrypted in the older way of PEM.
    OldEncryption,
    /// The key is encrypted with an algorithm that is not supported.
    UnknownEncryption,
    /// Something else.
    Unusable,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, cause: Cause) -> Self {
        let field = field.into();
        Self { field, cause }
    }

    /// Which part, such as `cert` or `sni["example.com"].key`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tls.{}: {}", self.field, self.cause)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "there is no certificate in it; it must be PEM",
            Self::BadCertificate => {
                "a certificate in it cannot be read; it must be X.509 version 3 in PEM"
            }
            Self::NoKey => "there is no private key in it; it must be PEM",
            Self::BadKey => {
                "the private key cannot be read, or is of another kind than RSA from 2048 to 4096 bits, ECDSA with P-256 or \
                 P-384, and Ed25519"
            }
            Self::Mismatch => "the key and the certificate do not match",
            Self::NoPassphrase => "the key is encrypted, and the passphrase is missing",
            Self::WrongPassphrase => "the passphrase is wrong",
            Self::OldEncryption => {
                "the key is encrypted in the older form of PEM; convert it with `openssl pkcs8 -topk8`"
            }
            Self::UnknownEncryption => {
                "the key is encrypted with an unsupported algorithm; convert it with `openssl pkcs8 -topk8`"
            }
            Self::Unusable => "it cannot be used",
        })
    }
}
