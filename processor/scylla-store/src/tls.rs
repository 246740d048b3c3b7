//! TLS to the server: whom we trust, and who we are.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::InvalidSetting;

/// How to speak TLS with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who signs the certificates of the server, in a file of PEM. The authorities of this system if there is none.
    pub authorities: Option<PathBuf>,
    /// Who we are, for servers that ask.
    pub identity: Option<Identity>,
    /// What is checked of a certificate of the server.
    pub check: CertificateCheck,
}

/// A certificate (and those that lead to its authority) and its key, in files of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Ours first.
    pub certificate: PathBuf,
    /// Without a password.
    pub key: PathBuf,
}

/// What is checked of a certificate of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateCheck {
    /// An authority that we trust has signed it, and for the address that we connect to. Nodes are found by their IP addresses, so it must
    /// name these.
    #[default]
    Full,
    /// An authority that we trust has signed it, for whatever name: for authorities that sign nothing but the nodes of this cluster.
    Authority,
}

impl FromStr for CertificateCheck {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text {
            "full" => Ok(Self::Full),
            "authority" => Ok(Self::Authority),
            _ => {
                let rule = "full (authority and address) or authority";
                Err(InvalidSetting { what: "check of certificates", text: text.to_owned(), rule })
            }
        }
    }
}

/// Why TLS cannot be set up. Nothing has been sent yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {what} in {}", file.display())]
    File {
        what: &'static str,
        file: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{} holds no certificate: it must be PEM, with lines of BEGIN CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    #[error(
        "this system has no certificates of authorities: install them, or name a file of those that sign for the server"
    )]
    NoAuthorities,
    #[error("the certificates of the authorities cannot be used")]
    Authorities(#[from] VerifierBuilderError),
    #[error("certificate and key cannot be used")]
    Identity(#[source] Error),
    #[error("this build has no usable version of TLS")]
    Versions(#[source] Error),
}

impl Tls {
    /// Reads the files.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(self.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.check {
            CertificateCheck::Full => verifier,
            CertificateCheck::Authority => Arc::new(AuthorityOnly(verifier)),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .dangerous() // rustls calls every verifier so that is not built in
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
                    what: "a private key",
                    file: key.clone(),
                    source,
                })?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = match &self.authorities {
            Some(file) => certificates(file)?,
            // Some of a system may be damaged; the others are good.
            None => rustls_native_certs::load_native_certs().certs,
        };
        let (added, _) = roots.add_parsable_certificates(found);
        match (&self.authorities, added) {
            (None, 0) => Err(TlsError::NoAuthorities),
            (Some(file), 0) => Err(TlsError::NoCertificate(file.clone())),
            _ => Ok(roots),
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { what: "certificates", file: file.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(failed)?.collect();
    let found = found.map_err(failed)?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.to_owned())) } else { Ok(found) }
}

/// Checks all but the name.
#[derive(Debug)]
struct AuthorityOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AuthorityOnly {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // The name is what is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
