//! An order: something that is to be done with clients that the asker does not own.

use std::sync::{Arc, Weak};

use crate::border::{act::Act, handle::ClientId, owner::Owner};

/// Who waits for the end of an order.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// An owner of this engine, which gave the order this number.
    Owner(Weak<Owner>, u32),
    /// Another process. The bus knows which one.
    #[cfg(feature = "bus")]
    Process,
}

/// One order.
#[derive(Debug)]
pub(crate) struct Order {
    /// Its number in [`Orders`](super::orders::Orders).
    pub(crate) key: u32,
    pub(crate) asker: Asker,
    pub(crate) act: Act,
    pub(crate) clients: Vec<ClientId>,
}

impl Order {
    /// The owner that gave it, who does itself what concerns its own clients.
    pub(crate) fn owner(&self) -> Option<Arc<Owner>> {
        match &self.asker {
            Asker::Owner(owner, _) => owner.upgrade(),
            #[cfg(feature = "bus")]
            Asker::Process => None,
        }
    }
}
