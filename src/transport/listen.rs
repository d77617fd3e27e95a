//! Binds the socket that is listened on.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener, ToSocketAddrs},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::{Error, Result};

/// Connections the system keeps for us; it cuts this down to what it allows.
pub(crate) const BACKLOG: i32 = 4096;

/// Whether accepted sockets have the listener's `TCP_NODELAY`: a system call less for each.
pub(crate) const SOCKETS_INHERIT_NODELAY: bool = cfg!(target_os = "linux");

/// Whether other processes of the same user may listen on the port too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Alone,
    /// The system deals new connections among all who listen. On Linux only.
    Shared,
}

/// Listens on a host name or address; without one, on all interfaces, IPv6 and IPv4.
pub(crate) fn bind(hostname: Option<&str>, port: u16, sharing: Sharing) -> Result<StdListener> {
    let listen = |address| listen(address, sharing);
    let Some(hostname) = hostname else {
        // IPv6 that takes IPv4 too, and plain IPv4 where the system has no IPv6.
        let v6 = SocketAddr::from(([0_u16; 8], port));
        let error = match listen(v6) {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
        ) {
            return Err(Error::Bind {
                address: v6,
                source: error,
            });
        }
        let v4 = SocketAddr::from(([0_u8; 4], port));
        return listen(v4).map_err(|source| Error::Bind {
            address: v4,
            source,
        });
    };
    let resolved = (hostname, port).to_socket_addrs();
    let unresolved = |source| Error::Resolve {
        hostname: hostname.to_owned(),
        source,
    };
    let mut last = None;
    for address in resolved.map_err(unresolved)? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => last = Some(Error::Bind { address, source }),
        }
    }
    Err(last.unwrap_or_else(|| unresolved(io::ErrorKind::NotFound.into())))
}

fn listen(address: SocketAddr, sharing: Sharing) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let IpAddr::V6(address) = address.ip() {
        // An IPv4 address that is written as an IPv6 one takes IPv4 connections too.
        let takes_v4 = address.is_unspecified() || address.to_ipv4_mapped().is_some();
        socket.set_only_v6(!takes_v4)?;
    }
    // On Windows the option would let two servers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Shared {
        #[cfg(target_os = "linux")]
        socket.set_reuse_port(true)?;
        #[cfg(not(target_os = "linux"))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    if SOCKETS_INHERIT_NODELAY {
        socket.set_tcp_nodelay(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_do_not_wait_for_more_where_it_is_said_so() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), Sharing::Alone).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap() || !SOCKETS_INHERIT_NODELAY);
    }
}
