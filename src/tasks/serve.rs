//! Serves one socket, from accept to its end.

use std::rc::Rc;

use tokio::task::spawn_local;

use crate::{
    border::mailbox::Arrival,
    shard::Shard,
    tasks::{session, upgrade},
    transport::stream::Stream,
};

/// Serves a socket in a new task.
pub(crate) fn serve(shard: &Rc<Shard>, stream: Stream, mut arrival: Arrival) {
    let link = arrival.link.take();
    let counted = Counted::new(shard.clone());
    // Boxed, so that an open connection does not carry the handshake's memory along.
    let opening = Box::pin(upgrade::open(shard.clone(), stream, arrival));
    let served = async move {
        let _counted = counted;
        if let Some(open) = opening.await {
            session::run(open).await;
        }
    };
    // Most have none, and should not take room for one.
    match link {
        None => spawn_local(served),
        Some(link) => {
            let served = Box::pin(served);
            spawn_local(async move {
                served.await;
                drop(link);
            })
        }
    };
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
