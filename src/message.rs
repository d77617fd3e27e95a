//! Messages: the JSON envelope, the head of binary messages, the routes, and the way of an incoming message.

pub mod binary;
pub mod echo;
pub mod envelope;
pub mod error;
pub mod incoming;
pub(crate) mod inflating;
pub mod json;
pub(crate) mod own;
pub(crate) mod partial;
pub mod protocol;
pub mod routes;
