//! The locks, atomics and notifications that threads share. They come from the standard library and tokio. For `npm run loom` they
//! come from loom, which tries every order of the threads' steps. The models are in `border/models`.

#[cfg(not(all(test, zocket_loom)))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};
#[cfg(not(all(test, zocket_loom)))]
pub(crate) use tokio::sync::Notify;

#[cfg(all(test, zocket_loom))]
pub(crate) use self::model::Notify;
#[cfg(all(test, zocket_loom))]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

/// A bound, or a tiny one where every order is tried.
pub(crate) const fn bound(usual: usize, modelled: usize) -> usize {
    if cfg!(all(test, zocket_loom)) {
        modelled
    } else {
        usual
    }
}

#[cfg(all(test, zocket_loom))]
mod model {
    use std::{future::poll_fn, sync::atomic::Ordering, task::Poll};

    use loom::{future::AtomicWaker, sync::atomic::AtomicBool};

    /// The promise of tokio's notification with one waiter: it keeps a notification until somebody waits for it.
    #[derive(Default)]
    pub(crate) struct Notify {
        permit: AtomicBool,
        waiter: AtomicWaker,
    }

    impl Notify {
        pub(crate) fn notify_one(&self) {
            self.permit.swap(true, Ordering::AcqRel);
            self.waiter.wake();
        }

        pub(crate) async fn notified(&self) {
            poll_fn(|cx| {
                self.waiter.register_by_ref(cx.waker());
                if self.permit.swap(false, Ordering::AcqRel) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
    }
}
