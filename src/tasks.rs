//! Everything that awaits: the loop of each I/O thread, and the tasks that serve sockets.

pub(crate) mod feed;
pub(crate) mod heartbeat;
pub(crate) mod linger;
pub(crate) mod listener;
pub(crate) mod probe;
pub(crate) mod relief;
pub(crate) mod run;
pub(crate) mod secure;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod signal;
pub(crate) mod upgrade;
