//! The accept loop: deals sockets round the shards, accepts no more than may be pending, and
//! survives a system that runs out of descriptors.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    border::{
        event::FaultCode,
        mailbox::{Accepted, Arrival, Mail, Mailbox},
    },
    handshake::caller::Caller,
    limits::addresses::Source,
    shard::Shard,
    tasks::serve,
    transport::listener::Listener,
};

/// Longest pause after an accept error, which is most often a lack of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts until it is aborted.
pub(crate) async fn run(shard: Rc<Shard>, listener: Listener, shards: Vec<Arc<Mailbox>>) {
    let places = shard.shared.pending.clone();
    let mut failing = false;
    for target in (0..shards.len()).cycle() {
        places.room().await;
        let (stream, peer) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        failing = true;
                        let message = format!("the server cannot accept connections: {error}");
                        shard.fault(FaultCode::Internal, &message);
                    }
                    places.spare_a_descriptor(RETRY).await;
                }
            }
        };
        failing = false;
        let at = Instant::now();
        let arrival = Arrival {
            caller: Caller::from(peer),
            at: at.into_std(),
            place: places.enter(Source::of(peer.ip()), at),
            read: Vec::new(),
            link: None,
        };
        // The other shards may have stopped already, so this shard sends the refusals.
        if target == 0 || shard.is_stopping() {
            serve::serve(&shard, stream, arrival);
        } else if let Ok(stream) = stream.into_std() {
            shards[target].post(Mail::Socket(Accepted { stream, arrival }));
        }
    }
}

/// Whether the error is the client's fault and concerns only its connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
