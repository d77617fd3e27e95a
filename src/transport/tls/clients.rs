//! Checks the certificates of clients.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    fault::{Cause, Fault},
    identity::certificates,
    options::ClientCertificates,
};

/// Checks the certificates of clients, or just looks at them.
#[derive(Debug)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    are_required: bool,
}

impl Clients {
    /// `None` if clients are not asked.
    ///
    /// # Errors
    /// An issuer cannot be read, or there is none although clients are asked.
    pub(super) fn new(
        ca: &[Vec<u8>],
        asked: ClientCertificates,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, Fault> {
        let mut roots = RootCertStore::empty();
        for (index, pem) in ca.iter().enumerate() {
            let wrong = |cause| match ca.len() {
                1 => Fault::new("ca", cause),
                _ => Fault::new(format!("ca[{index}]"), cause),
            };
            for certificate in certificates(pem).map_err(wrong)? {
                let added = roots.add(certificate);
                added.map_err(|_| wrong(Cause::BadCertificate))?;
            }
        }
        if asked == ClientCertificates::NotAsked {
            return Ok(None);
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.build();
        Ok(Some(Self {
            verifier: verifier.map_err(|_| Fault::new("ca", Cause::NoCertificate))?,
            are_required: asked == ClientCertificates::Required,
        }))
    }

    /// Whether this chain, its leaf first, is that of a client to be believed.
    pub(super) fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        chain.split_first().is_some_and(|(leaf, between)| {
            let verified = self
                .verifier
                .verify_client_cert(leaf, between, UnixTime::now());
            verified.is_ok()
        })
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.are_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.are_required {
            self.verifier.verify_client_cert(leaf, between, now)
        } else {
            // `believes` looks at it before anybody is told of it.
            Ok(ClientCertVerified::assertion())
        }
    }

    // These prove that the client has the key, in either case.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        (self.verifier).verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        (self.verifier).verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
