//! Handshakes in memory, with certificates made for each test.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key of somebody with this name.
    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn file(&self, folder: &TempDir) -> PathBuf {
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, self.0.pem()).unwrap();
        file
    }
}

/// A server for whoever `clients` has signed for, or for everybody.
fn server(authority: &Authority, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let (certificate, key) = authority.signed(&HERE.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.0.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// Whether the two come to terms, as the driver connects: to an address.
fn handshake(tls: &Tls, server: &Arc<ServerConfig>, address: IpAddr) -> Result<(), Error> {
    let mut client = ClientConnection::new(tls.client_config().unwrap(), address.into()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

fn trusting(authorities: PathBuf, check: CertificateCheck) -> Tls {
    Tls { authorities: Some(authorities), identity: None, check }
}

#[test]
fn the_address_is_checked_unless_the_authority_is_enough() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (file, server) = (authority.file(&folder), server(&authority, None));
    let full = trusting(file.clone(), CertificateCheck::Full);
    handshake(&full, &server, HERE).unwrap();
    let refused = handshake(&full, &server, ELSEWHERE).unwrap_err();
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
    handshake(&trusting(file, CertificateCheck::Authority), &server, ELSEWHERE).unwrap();
}

#[test]
fn another_authority_is_refused_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let (file, server) = (Authority::new().file(&folder), server(&Authority::new(), None));
    for check in [CertificateCheck::Full, CertificateCheck::Authority] {
        let refused = handshake(&trusting(file.clone(), check), &server, HERE).unwrap_err();
        // It has the same name, so only the signature tells them apart.
        assert_eq!(refused, Error::InvalidCertificate(CertificateError::BadSignature), "{check:?}");
    }
}

#[test]
fn a_server_that_asks_is_shown_our_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = server(&authority, Some(&authority));
    let stranger = trusting(authority.file(&folder), CertificateCheck::Full);
    handshake(&stranger, &server, HERE).unwrap_err();

    let (certificate, key) = authority.signed("client");
    let identity =
        Identity { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&identity.certificate, certificate.pem()).unwrap();
    std::fs::write(&identity.key, key.serialize_pem()).unwrap();
    handshake(&Tls { identity: Some(identity), ..stranger }, &server, HERE).unwrap();
}

#[test]
fn what_is_checked_is_said_by_a_word() {
    assert_eq!("full".parse(), Ok(CertificateCheck::Full));
    assert_eq!("authority".parse(), Ok(CertificateCheck::Authority));
    let refused = "none".parse::<CertificateCheck>().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"none\" is no check of certificates: it must be full (authority and address) or authority"
    );
}

#[test]
fn a_file_that_is_missing_or_holds_something_else_is_named() {
    let of = |file: &Path| {
        let tls = trusting(file.to_owned(), CertificateCheck::Full);
        tls.client_config().unwrap_err().to_string()
    };
    let missing = Path::new("/there/is/no/ca.crt");
    assert_eq!(of(missing), "cannot read certificates in /there/is/no/ca.crt");
    let other = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    assert!(of(other).contains("Cargo.toml holds no certificate"), "{}", of(other));
}
