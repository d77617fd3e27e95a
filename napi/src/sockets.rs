//! Sockets that another server accepted, on their way to the engine.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
};

use napi::bindgen_prelude::Result;
use napi_derive::napi;
use zocket::{Door, Handed, Link, Peer, ServerHandle, StdStream, handshake::caller::Caller};

/// Where a client comes from, and what has been read from it: the head of its request, and what came behind it.
#[napi(object)]
pub struct NativeArrival {
    /// Its address; left out for the client of a Unix-domain socket.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether its connection is encrypted.
    pub secure: Option<bool>,
    /// The certificate that it has proved to own, as PEM.
    pub certificate: Option<String>,
    /// The bytes.
    pub read: napi::bindgen_prelude::Uint8Array,
}

impl NativeArrival {
    fn peer(&self) -> Peer {
        // An IPv6 address may name its interface.
        let bare = |it: &String| it.split('%').next().unwrap_or_default().parse().ok();
        let address: Option<IpAddr> = self.address.as_ref().and_then(bare);
        address.map_or(Peer::Local, |address| {
            Peer::Inet(SocketAddr::new(address, self.port.unwrap_or_default()))
        })
    }

    fn handed(self, stream: StdStream, peer: Peer, link: Option<Link>) -> Handed {
        Handed {
            stream,
            caller: Caller {
                peer,
                secure: self.secure.unwrap_or(false),
                certificate: self.certificate.map(Arc::from),
            },
            read: self.read.to_vec(),
            link,
        }
    }
}

/// The other end of a socket that the engine serves. Internal.
#[napi]
pub struct NativeLink {
    #[cfg(unix)]
    descriptor: Option<std::os::fd::OwnedFd>,
    engine: Weak<()>,
}

#[napi]
impl NativeLink {
    /// The descriptor of the other end, which is the caller's to close from now on; -1 if there is none.
    #[napi(catch_unwind)]
    pub fn take_descriptor(&mut self) -> i32 {
        #[cfg(unix)]
        {
            use std::os::fd::IntoRawFd;
            self.descriptor.take().map_or(-1, IntoRawFd::into_raw_fd)
        }
        #[cfg(not(unix))]
        {
            -1
        }
    }

    /// Whether the engine has closed its end.
    #[napi(getter, catch_unwind)]
    pub fn is_over(&self) -> bool {
        self.engine.strong_count() == 0
    }
}

/// A port of the loopback address where the engine takes one connection of this process: for systems without socket pairs.
/// Internal.
#[napi]
pub struct NativeDoor {
    door: Option<Door>,
}

#[napi]
impl NativeDoor {
    /// Opens it.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Result<Self> {
        Ok(Self {
            door: Some(Door::open()?),
        })
    }

    /// The port to connect to; 0 if it is closed.
    #[napi(getter, catch_unwind)]
    pub fn port(&self) -> Result<u16> {
        Ok(self.door.as_ref().map_or(Ok(0), Door::port)?)
    }

    /// Closes it.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.door = None;
    }
}

/// Duplicates the descriptor of a TCP socket and gives the duplicate to the engine; false if the system has no descriptor left.
///
/// # Safety
/// The descriptor must be open for the whole call.
#[cfg(unix)]
pub(crate) unsafe fn take_over(server: &ServerHandle, descriptor: i32, read: &[u8]) -> bool {
    use std::{net::TcpStream, os::fd::BorrowedFd};
    if descriptor < 0 {
        return false;
    }
    // SAFETY: it is not -1, and the caller says that it stays open for this call, which is all that the borrow lasts.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let Ok(own) = borrowed.try_clone_to_owned() else {
        return false;
    };
    let stream = StdStream::Tcp(TcpStream::from(own));
    // A client that has left already needs nothing more: dropping the duplicate is all. Anything but an IP socket fails here too.
    if let Ok(peer) = stream.peer() {
        server.serve(Handed {
            stream,
            caller: Caller {
                peer,
                secure: false,
                certificate: None,
            },
            read: read.to_vec(),
            link: None,
        });
    }
    true
}

/// Gives the engine one end of a new pair; `None` if the system has no descriptors left.
#[cfg(unix)]
pub(crate) fn pair(server: &ServerHandle, arrival: NativeArrival) -> Option<NativeLink> {
    let (stream, descriptor) = zocket::pair().ok()?;
    let (link, engine) = link();
    let peer = arrival.peer();
    server.serve(arrival.handed(stream, peer, Some(link)));
    server.wake();
    Some(NativeLink {
        descriptor: Some(descriptor),
        engine,
    })
}

/// Gives the engine the connection that this process has made to a door from a port; `None` if there is none.
pub(crate) fn enter(
    server: &ServerHandle,
    door: &mut NativeDoor,
    port: u16,
    arrival: NativeArrival,
) -> Option<NativeLink> {
    let stream = door.door.take()?.take(port).ok()?;
    let (link, engine) = link();
    let peer = arrival.peer();
    server.serve(arrival.handed(stream, peer, Some(link)));
    server.wake();
    Some(NativeLink {
        #[cfg(unix)]
        descriptor: None,
        engine,
    })
}

fn link() -> (Link, Weak<()>) {
    let link = Arc::new(());
    let engine = Arc::downgrade(&link);
    (link, engine)
}
