//! One accepted socket: its settings and its end.

use std::{io::Read, net::Shutdown, time::Duration};

use socket2::Socket;
use tokio::net::TcpStream;

use crate::transport::listen::SOCKETS_INHERIT_NODELAY;

/// Makes a fresh socket send at once what it is given.
pub(crate) fn send_at_once(stream: &TcpStream) {
    if !SOCKETS_INHERIT_NODELAY {
        // A socket that cannot be told so is slower, not wrong.
        let _ = stream.set_nodelay(true);
    }
}

/// Reads what the system has, also where the runtime does not know of it yet, until `bytes` are more than `most`.
pub(crate) fn read_arrived(socket: &Socket, bytes: &mut Vec<u8>, most: usize) {
    let mut chunk = [0; 1024];
    while bytes.len() <= most {
        match (&mut &*socket).read(&mut chunk) {
            Ok(read @ 1..) => bytes.extend_from_slice(&chunk[..read]),
            Ok(0) | Err(_) => return,
        }
    }
}

/// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
pub(crate) fn end_with_reset(socket: &Socket) {
    // Failing leaves an ordinary close, which is no worse for anybody but the system's memory.
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Sends a FIN.
pub(crate) fn shut_down(socket: &Socket) {
    // A peer that is already gone needs no FIN.
    let _ = socket.shutdown(Shutdown::Write);
}
