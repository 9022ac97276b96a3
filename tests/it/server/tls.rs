//! Connections over TLS, and the files it needs.

use std::{path::Path, time::Duration};

use streamgate::server::{self, Settings, TlsError};
use tokio::sync::Notify;

use crate::{
    server::gate::{BOUND, Gate, settings},
    support::app::until,
};

/// A gate with a certificate of its own, and the files it came from.
pub async fn secure(header_timeout: Duration) -> (Gate, tempfile::TempDir) {
    let files = certificate();
    let tls = server::tls(&files.path().join("cert.pem"), &files.path().join("key.pem"));
    let settings = Settings { header_timeout, tls: Some(tls.unwrap()), ..settings() };
    (Gate::open(settings).await, files)
}

/// `cert.pem` and `key.pem`.
pub fn certificate() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(files.path().join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(files.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    files
}

/// For a client.
pub fn trusted(files: &tempfile::TempDir) -> reqwest::Certificate {
    let pem = std::fs::read(files.path().join("cert.pem")).unwrap();
    reqwest::Certificate::from_pem(&pem).unwrap()
}

async fn ask_over_tls(
    gate: &Gate,
    files: &tempfile::TempDir,
    client: reqwest::ClientBuilder,
) -> String {
    let client = client.timeout(BOUND).tls_certs_only([trusted(files)]).build().unwrap();
    let url = format!("https://localhost:{}/", gate.address.port());
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn tls_negotiates_h2() {
    let (gate, files) = secure(BOUND).await;
    let client = reqwest::Client::builder();
    assert_eq!(ask_over_tls(&gate, &files, client).await, "HTTP/2.0 https");
}

#[tokio::test]
async fn tls_without_h2_speaks_http_1_1() {
    let (gate, files) = secure(BOUND).await;
    let client = reqwest::Client::builder().http1_only();
    assert_eq!(ask_over_tls(&gate, &files, client).await, "HTTP/1.1 https");
}

#[test]
fn errors_of_tls_name_the_file() {
    let files = certificate();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let error = |cert: &Path, key: &Path| server::tls(cert, key).unwrap_err();

    let missing = files.path().join("missing.pem");
    let told = error(&missing, &key);
    assert!(
        matches!(told, TlsError::Certificate { .. }) && told.to_string().contains("missing.pem")
    );
    let told = error(&cert, &missing);
    assert!(matches!(told, TlsError::Key { .. }) && told.to_string().contains("missing.pem"));
    // A file that is there, with the wrong thing in it.
    let told = error(&key, &key);
    assert!(matches!(told, TlsError::Certificate { .. }) && told.to_string().contains("key.pem"));
    let other = certificate();
    let told = error(&cert, &other.path().join("key.pem"));
    assert!(matches!(told, TlsError::Pair { .. }) && told.to_string().contains("key.pem"));
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_without_being_told() {
    let (live, new) = (certificate(), certificate());
    let old = trusted(&live);
    let (chain, key) = (live.path().join("cert.pem"), live.path().join("key.pem"));
    let certificate = server::Certificate::load(&chain, &key).unwrap();
    let tls = Some(certificate.tls().unwrap());
    let gate = Gate::open(Settings { tls, ..settings() }).await;
    let watching = tokio::spawn(async move {
        certificate.watch(Duration::from_millis(10), &Notify::new()).await;
    });
    let url = format!("https://localhost:{}/", gate.address.port());
    let answers = async |trusted: &reqwest::Certificate| {
        let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]);
        client.build().unwrap().get(&url).send().await.is_ok()
    };
    assert!(answers(&old).await);
    // As certbot does: one file after the other.
    std::fs::copy(new.path().join("key.pem"), &key).unwrap();
    for _ in 0..20 {
        assert!(answers(&old).await);
    }
    std::fs::copy(new.path().join("cert.pem"), &chain).unwrap();
    until("new certificate", async || answers(&trusted(&new)).await).await;
    assert!(!answers(&old).await);
    std::fs::remove_file(&key).unwrap();
    for _ in 0..20 {
        assert!(answers(&trusted(&new)).await);
    }
    watching.abort();
}
