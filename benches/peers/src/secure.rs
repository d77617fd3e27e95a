//! TLS on the socket of a client, without blocking.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::Fault;

/// What the clients of one run share.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the certificate in a file, which is one for `localhost`.
    pub(crate) fn of(file: &str) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn session(&self) -> Result<Session, Fault> {
        let name = "localhost".try_into()?;
        let session = ClientConnection::new(self.0.clone(), name)?;
        Ok(Session(Box::new(session)))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// The client's end of TLS.
#[derive(Debug)]
pub(crate) struct Session(Box<ClientConnection>);

impl Session {
    /// The connection while it may block.
    pub(crate) fn blocking<'a>(
        &'a mut self,
        socket: &'a mut TcpStream,
    ) -> Stream<'a, ClientConnection, TcpStream> {
        Stream::new(&mut self.0, socket)
    }

    /// Reads what there is; `WouldBlock` when there is nothing.
    pub(crate) fn read(&mut self, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(into) {
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.0.read_tls(socket)?;
            self.0.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Takes all bytes, and writes as much as the socket takes.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        self.0.writer().write_all(bytes)?;
        while self.0.wants_write() {
            match self.0.write_tls(socket) {
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                written => written?,
            };
        }
        Ok(())
    }
}
