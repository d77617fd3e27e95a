//! Certificates made on the spot, and clients that speak TLS.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};
use tokio_tungstenite::{WebSocketStream, client_async};
use zocket::{ClientCertificates, Config, Identity, MinVersion, Tls, TlsOptions};

use super::{Owner, config};

pub type SecureSocket = WebSocketStream<TlsStream<TcpStream>>;

/// Who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server of this name, or a client.
    pub fn identity(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            cert: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            passphrase: None,
        }
    }

    /// What a client of a server needs.
    pub fn client(&self) -> Client {
        Client {
            roots: self.pem(),
            identity: None,
            versions: vec![&TLS13, &TLS12],
        }
    }
}

pub fn options(identity: Identity) -> TlsOptions {
    TlsOptions {
        identity,
        sni: Vec::new(),
        ca: Vec::new(),
        clients: ClientCertificates::NotAsked,
        min_version: MinVersion::Tls12,
    }
}

/// A server's configuration with TLS.
pub fn secure(options: &TlsOptions) -> Config {
    Config {
        tls: Some(Tls::new(options).unwrap()),
        ..config()
    }
}

/// A server for `localhost` and what its clients need.
pub fn server(change: impl FnOnce(&mut Config)) -> (Owner, Client) {
    let authority = Authority::new();
    let mut config = secure(&options(authority.identity("localhost")));
    change(&mut config);
    (Owner::start(config), authority.client())
}

#[derive(Clone)]
pub struct Client {
    pub roots: String,
    pub identity: Option<Identity>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl Client {
    pub fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.roots.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(&identity.cert).unwrap()],
                    PrivateKeyDer::from_pem_slice(&identity.key).unwrap(),
                )
                .unwrap(),
        }
    }

    pub async fn secure(&self, owner: &Owner, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        secure_with(Arc::new(self.config()), owner, name).await
    }

    /// A connection that the owner has admitted.
    pub async fn connect(&self, owner: &mut Owner) -> (SecureSocket, zocket::Handle) {
        let stream = self.secure(owner, "localhost").await.unwrap();
        let upgrading = tokio::spawn(client_async("wss://localhost/", stream));
        let handle = owner.admit();
        (upgrading.await.unwrap().unwrap().0, handle)
    }
}

/// A TLS connection for the server of this name.
pub async fn secure_with(
    config: Arc<ClientConfig>,
    owner: &Owner,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(owner.server.address()).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}
