//! Serves one socket, from accept to its end.

use std::rc::Rc;

use tokio::{task::spawn_local, time::Instant};

use crate::{
    limits::pending::PendingPlace,
    shard::Shard,
    tasks::{session, upgrade},
    transport::{peer::Peer, stream::Stream},
};

/// Serves a socket in a new task.
pub(crate) fn serve(
    shard: &Rc<Shard>,
    stream: Stream,
    peer: Peer,
    accepted: Instant,
    place: PendingPlace,
) {
    let deadline = accepted + shard.config().handshake_timeout;
    let counted = Counted::new(shard.clone());
    // Boxed, so that an open connection does not carry the handshake's memory along.
    let opening = Box::pin(upgrade::open(shard.clone(), place, stream, peer, deadline));
    spawn_local(async move {
        let _counted = counted;
        if let Some(open) = opening.await {
            session::run(open).await;
        }
    });
}

/// Counts a task that serves a socket, also when it panics.
struct Counted(Rc<Shard>);

impl Counted {
    fn new(shard: Rc<Shard>) -> Self {
        shard.tasks.start();
        Self(shard)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.end();
    }
}
