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
