//! Relieves the server while it holds more for its clients than it may; see [`shard::relief`](crate::shard::relief).

use std::{mem, rc::Rc, time::Duration};

use rustc_hash::FxHashMap;
use tokio::time::sleep;

use crate::shard::{Shard, relief};

/// How often the shard checks whether the server holds less.
const LOOK: Duration = Duration::from_millis(100);
/// Looks until a connection that still holds more than its share may be cut off: one second.
const PATIENCE: u32 = 10;

/// Runs until the shard stops.
pub(crate) async fn run(shard: Rc<Shard>) {
    loop {
        shard.is_over.notified().await;
        relieve(&shard).await;
    }
}

/// Runs until the server has held no more than it may for a while. Until then it remembers who holds much, so that a
/// crowd that fills what has become free does not get another second each time.
async fn relieve(shard: &Shard) {
    let mut since = FxHashMap::default();
    let mut calm = PATIENCE;
    let mut has_cut = false;
    for look in 0.. {
        let mut holders = relief::holders(shard);
        let seen = holders.iter().map(|it| it.id());
        since = seen
            .map(|id| (id, *since.get(&id).unwrap_or(&look)))
            .collect();
        if shard.tally().server().is_still_over() {
            if calm > 0 {
                relief::tell_others(shard);
            }
            calm = 0;
            holders.retain(|it| since[&it.id()] + PATIENCE <= look);
            has_cut |= relief::cut_largest(shard, holders);
        } else if calm < PATIENCE {
            calm += 1;
            shard.wake_waiting();
        } else {
            break;
        }
        sleep(LOOK).await;
        if look % PATIENCE == 0 && mem::take(&mut has_cut) {
            // New buffers would not fill the gaps that the cut connections leave, so the system gets that memory back.
            shard.thinned();
        }
    }
    shard.is_relieving.set(false);
    shard.wake_waiting();
}
