//! The tasks that serve sockets: how many there are, and when a crowd of them has left.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::Shard;

/// When the owner is told after a crowd has left. The second time is for what is freed late: by connections that linger, and by
/// an owner that has not dealt with everything yet.
const TOLD_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];

#[derive(Default)]
pub(super) struct Tasks {
    count: Cell<usize>,
    /// The most there were since the owner was last told.
    most: Cell<usize>,
    none_left: Notify,
    thinned: Notify,
}

impl Tasks {
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// Resolves when the last one has ended.
    pub(super) async fn none_left(&self) {
        self.none_left.notified().await;
    }

    fn start(&self) {
        let count = self.count.get() + 1;
        self.count.set(count);
        self.most.set(self.most.get().max(count));
    }

    fn end(&self) {
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
}

impl Shard {
    /// Tells the owner each time that a quarter of the sockets or more are gone. Runs for ever; it sleeps while nobody leaves.
    pub(super) async fn tell_when_thinned(self: Rc<Self>) {
        loop {
            self.tasks.thinned.notified().await;
            for wait in TOLD_AFTER {
                sleep(wait).await;
                self.inbox.borrow().thinned();
            }
            self.tasks.most.set(self.tasks.count());
        }
    }
}

/// Counts a task that serves a socket, also when it panics.
pub(super) struct Counted(Rc<Shard>);

impl Counted {
    pub(super) fn new(shard: Rc<Shard>) -> Self {
        shard.tasks.start();
        Self(shard)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.end();
    }
}
