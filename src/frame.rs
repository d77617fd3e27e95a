//! The bytes of RFC 6455.

pub(crate) mod incoming;
