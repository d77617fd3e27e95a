//! The errors of a server that cannot start, and who is at fault.

use std::{io, net::SocketAddr, path::PathBuf};

/// Result of the engine's set-up calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure to start a server.
///
/// Faults of peers never surface here: they close one connection and are counted in the metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host name does not resolve to an address; the caller's or the system's fault.
    #[error("cannot resolve host name {hostname:?}")]
    Resolve {
        /// The name as configured.
        hostname: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The address cannot be listened on: in use, not ours, or not permitted.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was tried last.
        address: SocketAddr,
        /// The system's error. Its kind tells a port in use from other errors.
        source: io::Error,
    },
    /// The path cannot be listened on: something else is there, or it is not permitted, or there is no such folder.
    #[error("cannot listen on {path:?}")]
    BindPath {
        /// The path as configured.
        path: PathBuf,
        /// What the system said; its kind tells a path in use from the rest.
        source: io::Error,
    },
    /// A limit in the [`Config`](crate::Config) makes no sense; the caller's fault.
    #[error("{field} must be {expected}")]
    Config {
        /// The field of `Config`.
        field: &'static str,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// The system would not start an I/O thread or its event loop.
    #[error("cannot start an I/O thread")]
    Thread(#[source] io::Error),
}
