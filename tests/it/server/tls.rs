//! Connections over TLS, and the files of the certificate.

use std::{path::Path, time::Duration};

use streamgate::server::{self, Settings, TlsError};
use tokio::sync::Notify;

use crate::{
    server::gate::{BOUND, Gate, secure, settings},
    support::{
        tls::{certificate, trusted},
        until,
    },
};

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
async fn tls_negotiates_http_2() {
    let (gate, files) = secure(BOUND).await;
    let client = reqwest::Client::builder();
    assert_eq!(ask_over_tls(&gate, &files, client).await, "HTTP/2.0 https");
}

#[tokio::test]
async fn tls_without_http_2_uses_http_1_1() {
    let (gate, files) = secure(BOUND).await;
    let client = reqwest::Client::builder().http1_only();
    assert_eq!(ask_over_tls(&gate, &files, client).await, "HTTP/1.1 https");
}

#[test]
fn tls_errors_name_the_file() {
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
    // A file that exists, with the wrong content.
    let told = error(&key, &key);
    assert!(matches!(told, TlsError::Certificate { .. }) && told.to_string().contains("key.pem"));
    let other = certificate();
    let told = error(&cert, &other.path().join("key.pem"));
    assert!(matches!(told, TlsError::Pair { .. }) && told.to_string().contains("key.pem"));
}

#[tokio::test]
async fn renewed_certificate_is_used_without_a_signal() {
    let (live, new) = (certificate(), certificate());
    let old = trusted(&live);
    let (chain, key) = (live.path().join("cert.pem"), live.path().join("key.pem"));
    let certificate = server::Certificate::load(&chain, &key).unwrap();
    let tls = Some(certificate.tls().unwrap());
    let gate = Gate::open(Settings { tls, ..settings() }).await;
    let watching = tokio::spawn(async move {
        loop {
            // Errors are ignored here. The connections below succeed in spite of them.
            drop(certificate.renew(Duration::from_millis(10), &Notify::new()).await);
        }
    });
    let url = format!("https://localhost:{}/", gate.address.port());
    let answers = async |trusted: &reqwest::Certificate| {
        let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]);
        client.build().unwrap().get(&url).send().await.is_ok()
    };
    assert!(answers(&old).await);
    // Like certbot, the test replaces one file after the other.
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
