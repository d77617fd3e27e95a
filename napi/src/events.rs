//! The bell: wakes the JavaScript thread through one threadsafe function, for events of any kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::{
    Status,
    bindgen_prelude::{Function, Result},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use zocket::EventSink;

use crate::memory;

/// Weak, so that the bell alone does not keep Node alive.
type Ring = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Rings from the moment it is hung until it is released. It is hung once the engine runs, so that a server that cannot start
/// never has one.
#[derive(Default)]
pub(crate) struct Bell {
    /// Held to ring by I/O threads, to hang and to release by the JavaScript thread; ringing never blocks.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ring: Option<Ring>,
    /// Somebody rang while there was nothing to ring.
    missed: bool,
}

impl Bell {
    /// Calls `callback` from now on, and at once if it missed a ring. `heard` runs before each call, on the JavaScript thread.
    pub(crate) fn hang(
        &self,
        callback: &Function<'_, (), ()>,
        heard: impl Fn() + 'static,
    ) -> Result<()> {
        let ring = callback
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(move |_| {
                heard();
                Ok(())
            })?;
        let mut state = self.lock();
        state.ring = Some(ring);
        if state.missed {
            state.ring();
        }
        Ok(())
    }

    /// Releases the callback. Later rings do nothing.
    pub(crate) fn release(&self) {
        self.lock().ring.take();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ring(&mut self) {
        match &self.ring {
            // A ring in an environment that is ending does nothing.
            Some(ring) => {
                ring.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
            None => self.missed = true,
        }
    }
}

/// The bell as the engine holds it.
#[derive(Clone)]
pub(crate) struct Sink(pub(crate) Arc<Bell>);

impl EventSink for Sink {
    fn ring(&self) {
        self.0.lock().ring();
    }

    fn thinned(&self) {
        memory::give_back();
    }
}
