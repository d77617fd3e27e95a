//! The bell: rings JavaScript through one threadsafe function, whatever has happened.

use std::sync::{Arc, Mutex, PoisonError};

use napi::{
    Status,
    bindgen_prelude::{Function, Result},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use zocket::EventSink;

/// Weak, so that the bell alone does not keep Node alive.
type Ring = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Rings until it is released.
pub(crate) struct Bell {
    /// Held to ring by I/O threads and to release by the JavaScript thread; ringing never blocks.
    ring: Mutex<Option<Ring>>,
}

impl Bell {
    pub(crate) fn new(callback: &Function<'_, (), ()>) -> Result<Arc<Self>> {
        let ring = callback
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(|_| Ok(()))?;
        Ok(Arc::new(Self {
            ring: Mutex::new(Some(ring)),
        }))
    }

    /// Lets go of the callback; what rings from now on is not heard.
    pub(crate) fn release(&self) {
        self.ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// The bell as the engine holds it.
pub(crate) struct Sink(pub(crate) Arc<Bell>);

impl EventSink for Sink {
    fn ring(&self) {
        let ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = &*ring {
            // An environment that is going away hears nothing any more.
            ring.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}
