//! The border with the owner: what goes out, what comes in, and where it waits.

pub mod act;
pub(crate) mod bell;
pub(crate) mod buffers;
pub mod codes;
pub mod command;
pub mod ending;
pub mod event;
pub mod handle;
pub(crate) mod inbox;
pub(crate) mod mailbox;
#[cfg(all(test, zocket_loom))]
mod models;
pub(crate) mod order;
pub(crate) mod orders;
pub(crate) mod owner;
pub mod payloads;
pub mod reader;
pub(crate) mod weight;
pub(crate) mod words;
pub mod writer;
