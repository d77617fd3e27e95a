//! Waits for signals to a shard.

use crate::{border::mailbox::StopMode, shard::Shard};

/// Resolves when the server stops.
pub(crate) async fn stopping(shard: &Shard) {
    if !shard.is_stopping() {
        shard.stop_signal.notified().await;
    }
}

/// Resolves when the shard cuts off all connections.
pub(crate) async fn terminating(shard: &Shard) {
    while shard.stopping() != Some(StopMode::Terminate) {
        shard.stop_signal.notified().await;
    }
}

/// Resolves when the server does not drain any more, but closes everything or cuts it off.
pub(crate) async fn beyond_draining(shard: &Shard) {
    while matches!(shard.stopping(), Some(StopMode::Drain(_))) {
        shard.stop_signal.notified().await;
    }
}
