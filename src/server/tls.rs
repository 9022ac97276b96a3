//! TLS with a certificate from files that can be replaced while the gateway runs.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The reason why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the variants")]
pub enum TlsError {
    #[error("cannot read a certificate chain from {}", .path.display())]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("cannot read a private key from {}", .path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("the key {} does not match the certificate {}", .key.display(), .certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The files of the certificate were replaced by files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the new TLS certificate cannot be used, so the previous one stays in use")]
pub struct RenewalError(#[from] TlsError);

/// Loads a PEM chain and key and returns a TLS configuration with them, see [`Certificate`].
pub fn tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    Certificate::load(certificate, key)?.tls()
}

/// A certificate chain and its key. Their files can be replaced while they are in use.
///
/// Each handshake uses the newest valid pair. Open connections keep the pair that they started with.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    pair: RwLock<Arc<CertifiedKey>>,
    /// Digest of the files when they were last read, valid or not.
    last_read: Mutex<Digest>,
    /// Digest of the files that the pair in use comes from.
    in_use: Mutex<Digest>,
}

/// Digest of the content of both files, or of the error. The modification time does not show a change, because certbot
/// and Kubernetes replace symbolic links.
type Digest = Vec<u8>;

type Pem = Result<(Vec<u8>, Vec<u8>), TlsError>;

impl Certificate {
    /// Loads the PEM chain (leaf first) and the key from these files.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let pem = read(chain, key);
        let digest = digest(&pem);
        let (last_read, in_use) = (Mutex::new(digest.clone()), Mutex::new(digest));
        let pair = RwLock::new(pair(chain, key, pem)?);
        Ok(Arc::new(Self { chain: chain.into(), key: key.into(), pair, last_read, in_use }))
    }

    /// Returns a configuration of TLS 1.2 and 1.3. Each handshake uses the newest pair at that time.
    pub fn tls(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        // The provider is explicit, because the process-wide default depends on the linked crates.
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Waits for `interval` or for a notification of `requested`. Then reads the files, and uses a new pair for new
    /// connections.
    ///
    /// # Errors
    /// If the files changed and cannot be used. The previous pair stays in use. Unchanged files are only reported again
    /// after a notification.
    pub async fn renew(
        self: &Arc<Self>,
        interval: Duration,
        requested: &Notify,
    ) -> Result<(), RenewalError> {
        let is_requested = timeout(interval, requested.notified()).await.is_ok();
        let certificate = Arc::clone(self);
        let reload = spawn_blocking(move || certificate.reload(is_requested)).await;
        reload.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    fn reload(&self, is_requested: bool) -> Result<(), RenewalError> {
        let pem = read(&self.chain, &self.key);
        let found = digest(&pem);
        let mut last_read = self.last_read.lock();
        let is_new = *last_read != found;
        if !is_new && !is_requested {
            return Ok(());
        }
        last_read.clone_from(&found);
        let mut in_use = self.in_use.lock();
        // An error can be due to one file that is replaced before the other. The next run tries again.
        let pair = pair(&self.chain, &self.key, pem)?;
        if *in_use == found {
            tracing::info!("TLS certificate: unchanged");
        } else {
            *self.pair.write() = pair;
            *in_use = found;
            tracing::info!("TLS certificate: renewed for new connections");
        }
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.read()))
    }
}

fn read(chain: &Path, key: &Path) -> Pem {
    let read = |path| fs::read(path).map_err(pem::Error::Io);
    Ok((
        read(chain).map_err(|source| TlsError::Certificate { path: chain.into(), source })?,
        read(key).map_err(|source| TlsError::Key { path: key.into(), source })?,
    ))
}

fn pair(chain: &Path, key: &Path, pem: Pem) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain_pem, key_pem) = pem?;
    let certificates = CertificateDer::pem_slice_iter(&chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|source| TlsError::Certificate { path: chain.into(), source })?;
    let secret = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|source| TlsError::Key { path: key.into(), source })?;
    let pair = CertifiedKey::from_der(certificates, secret, &default_provider());
    pair.map(Arc::new).map_err(|source| TlsError::Pair {
        certificate: chain.into(),
        key: key.into(),
        source,
    })
}

fn digest(pem: &Pem) -> Digest {
    let mut digest = digest::Context::new(&digest::SHA256);
    match pem {
        Ok((chain, key)) => {
            digest.update(&chain.len().to_le_bytes());
            digest.update(chain);
            digest.update(key);
        }
        Err(error) => digest.update(format!("{error:?}").as_bytes()),
    }
    digest.finish().as_ref().to_vec()
}
