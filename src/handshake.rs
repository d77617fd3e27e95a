//! The HTTP upgrade: checks the request head, extracts the headers the owner sees, and writes the answers. No I/O.

mod authority;
pub mod caller;
pub mod extensions;
mod fields;
mod forwarded;
pub mod head;
pub mod headers;
pub(crate) mod health;
pub(crate) mod malformed;
mod named;
pub mod proxy;
pub mod refusal;
pub mod request;
pub mod response;
pub mod rules;
pub mod subprotocol;
mod target;
