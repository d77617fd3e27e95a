//! TLS: the server's certificates and keys, and its end of each connection. rustls does the protocol.

pub(crate) mod below;
mod certificate;
mod clients;
mod fault;
mod identity;
mod key;
pub(crate) mod material;
mod names;
mod options;
mod provider;
mod records;
pub(crate) mod session;
pub(crate) mod stream;

pub use self::{
    fault::{Cause as TlsCause, Fault as TlsFault},
    material::Tls,
    options::{ClientCertificates, Identity, MinVersion, TlsOptions},
};
