//! The TLS options of a server.

/// The certificate and the key with which a server proves its name. All of it is PEM.
#[derive(Clone)]
pub struct Identity {
    /// The server's certificate, then those between it and one that clients know.
    pub cert: Vec<u8>,
    /// The key of the first.
    pub key: Vec<u8>,
    /// The passphrase of an encrypted key.
    pub passphrase: Option<String>,
}

/// The oldest version of TLS that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2 or 1.3.
    #[default]
    Tls12,
    /// Only TLS 1.3.
    Tls13,
}

/// Whether clients are asked for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    NotAsked,
    /// They are, and any answer is taken. A certificate that is not verified counts as none.
    Asked,
    /// Only clients with a verified one are let in.
    Required,
}

/// The certificates and keys of a server, and the authorities that it trusts. All of it is PEM.
#[derive(Clone)]
pub struct TlsOptions {
    /// For clients that name no server, or one that is not in `sni`.
    pub identity: Identity,
    /// For clients that name one of these servers. `*.` stands for one label.
    pub sni: Vec<(String, Identity)>,
    /// The authorities that issue the certificates of clients.
    pub ca: Vec<Vec<u8>>,
    /// Whether these are asked for.
    pub clients: ClientCertificates,
    /// The oldest version.
    pub min_version: MinVersion,
}
