//! Certificates for tests.

/// `cert.pem` and `key.pem`.
pub fn certificate() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(files.path().join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(files.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    files
}

/// The certificate for a client to trust.
pub fn trusted(files: &tempfile::TempDir) -> reqwest::Certificate {
    let pem = std::fs::read(files.path().join("cert.pem")).unwrap();
    reqwest::Certificate::from_pem(&pem).unwrap()
}
