//! TLS at the start of a connection: decides which sockets speak it, and refuses clients that do not.
//!
//! The TLS handshake happens while the request head is read. So it has the same deadline and the same pending place.

use crate::{
    handshake::{caller::Caller, refusal::Refusal},
    shard::Shard,
    transport::stream::Stream,
};
#[cfg(feature = "tls")]
use crate::{
    handshake::{malformed::without_tls, refusal::Reason},
    transport::tls::session::Failure,
};

/// The socket as it is to be read, and who is at its other end.
pub(crate) fn begin(shard: &Shard, stream: Stream, caller: Caller) -> (Stream, Caller) {
    #[cfg(feature = "tls")]
    if let Some(material) = &shard.shared.tls {
        let secure = true;
        return (
            stream.with_tls(material.clone()),
            Caller { secure, ..caller },
        );
    }
    #[cfg(not(feature = "tls"))]
    let _ = shard;
    (stream, caller)
}

/// Adds what the client has proved, once the first bytes have been read.
pub(crate) fn identify(caller: &mut Caller, stream: &Stream) {
    if caller.secure && caller.certificate.is_none() {
        caller.certificate = stream.client_certificate().map(Into::into);
    }
}

/// Why there is no request on a socket that could not be read; `None` if its client left.
#[cfg(feature = "tls")]
pub(crate) fn refusal(stream: &Stream) -> Option<Refusal> {
    match stream.tls_failure()? {
        Failure::Plain => Some(without_tls()),
        Failure::Broken => Some(Refusal::new(400, Reason::Malformed)),
        Failure::Left => None,
    }
}

/// A client whose socket cannot be read has left.
#[cfg(not(feature = "tls"))]
pub(crate) fn refusal(_: &Stream) -> Option<Refusal> {
    None
}
