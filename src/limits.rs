//! How much, how many and how often: what one client, one address and all of them together may take.

pub(crate) mod address_rate;
pub(crate) mod addresses;
pub(crate) mod buffered;
pub(crate) mod capacity;
pub(crate) mod pending;
pub(crate) mod rate;
