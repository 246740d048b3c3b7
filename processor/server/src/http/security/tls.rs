//! TLS: the certificate, read again when it changes, so that a renewed one needs no restart.

use axum_server::tls_rustls::RustlsConfig;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::settings::Settings;
use crate::exit::Failure;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) config: RustlsConfig,
}

impl Certificates {
    /// None if the API speaks no TLS.
    pub(super) async fn new(
        settings: &Settings,
        closing: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&settings.http_tls_cert, &settings.http_tls_key) else {
            return Ok(None);
        };
        let files = Files::read(vec![certificate.clone(), key.clone()]).await?;
        let [certificate, key] = files.contents() else { unreachable!("two were read") };
        let config = RustlsConfig::from_pem(certificate.clone(), key.clone()).await.map_err(wrong)?;
        let shared = config.clone();
        files.follow(closing.clone(), move |contents| {
            let [certificate, key] = contents else { return Ok(()) };
            let (shared, certificate, key) = (shared.clone(), certificate.clone(), key.clone());
            // It reads nothing: it only parses, on a thread where that may take its time.
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(shared.reload_from_pem(certificate, key))
            })
            .map_err(wrong)
        });
        Ok(Some(Self { config }))
    }
}

fn wrong(error: std::io::Error) -> Failure {
    let fix = "give the chain with --http-tls-cert and its key with --http-tls-key, both PEM";
    Failure::refused("the certificate cannot be used", fix).because(error)
}
