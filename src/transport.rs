//! Sockets: how they are listened for, and what the system is asked to do with one.

pub(crate) mod listen;
pub(crate) mod listener;
pub(crate) mod pair;
pub(crate) mod peer;
pub(crate) mod socket;
pub(crate) mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(unix)]
pub(crate) mod unix;
