//! Probes: an orchestrator asks whether the server is well.
//!
//! They are read and answered where upgrades are, and stand outside the limits of these: no seat, no rate, and places of
//! their own once the pending ones are taken. The deadline of the handshake holds for them too.

use std::time::Duration;

use tokio::time::timeout;

use crate::{border::mailbox::StopMode, handshake::health::Health, shard::Shard, tasks::signal};

/// How long a draining server waits for a request, before it refuses what may be none.
const WAIT: Duration = Duration::from_secs(1);

/// How the server does, as far as this thread knows.
pub(crate) fn health(shard: &Shard) -> Health {
    // Asked in any case, as the question rings the bell.
    let is_heard = shard.is_heard();
    if shard.is_stopping() {
        Health::Draining
    } else if is_heard {
        Health::Well
    } else {
        Health::Deaf
    }
}

/// Resolves when a socket whose request is not complete is refused as the server stops. While it drains, the socket gets
/// some time to show that it is a probe.
pub(crate) async fn stopping(shard: &Shard) {
    signal::stopping(shard).await;
    if shard.config().rules.health.is_none() {
        return;
    }
    if let Some(StopMode::Drain(_)) = shard.stopping() {
        // Boxed, so that no handshake carries the timer along.
        Box::pin(timeout(WAIT, signal::beyond_draining(shard)))
            .await
            .ok();
    }
}
