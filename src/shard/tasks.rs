//! Counts the tasks that serve sockets, and notices when a crowd of them has left.

use std::cell::Cell;

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Tasks {
    count: Cell<usize>,
    /// The most there were since the owner was last told.
    most: Cell<usize>,
    /// The last one has ended.
    pub(crate) none_left: Notify,
    /// A quarter of them or more are gone.
    pub(crate) thinned: Notify,
}

impl Tasks {
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    pub(crate) fn start(&self) {
        let count = self.count.get() + 1;
        self.count.set(count);
        self.most.set(self.most.get().max(count));
    }

    pub(crate) fn end(&self) {
        let left = self.count.get() - 1;
        self.count.set(left);
        if left == 0 {
            self.none_left.notify_one();
        }
        // Less would be the ordinary coming and going.
        if left * 4 <= self.most.get() * 3 {
            self.thinned.notify_one();
        }
    }

    /// Notes that the owner knows of those that left.
    pub(crate) fn told(&self) {
        self.most.set(self.count());
    }
}
