//! Messages: the JSON wrapper, the routes, and what becomes of each message that has arrived.

pub mod echo;
pub mod envelope;
pub mod error;
pub mod incoming;
pub mod json;
pub(crate) mod partial;
pub mod protocol;
pub mod routes;
