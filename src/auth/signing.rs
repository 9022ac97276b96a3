//! Signs and verifies JWTs, and keeps keys in files.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The keys cannot be loaded or created.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot read or write the signing key {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file contains no key of the expected kind.
    #[error("signing key {} is not a key of the expected kind", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
    },
}

/// The token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The time of `exp` has passed (RFC 7519, section 4.1.4).
    #[error("the token has expired")]
    Expired,
    /// The time of `nbf` has not come (RFC 7519, section 4.1.5).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// This gateway did not issue the token, or it is a token of the other type.
    #[error("the token is not valid")]
    Invalid,
}

/// The checks of a token of this gateway, with exactly one algorithm (RFC 8725, section 3.1).
pub(super) fn validation(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    // This gateway sets no `nbf`, but a token that has one must not be accepted earlier.
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// Signs a token.
pub(super) fn sign(header: &Header, claims: &impl Serialize, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("the key was checked when it was loaded")
}

/// Verifies a token whose `typ` header is `kind`.
pub(super) fn verify<C: DeserializeOwned>(
    token: &str,
    kind: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Result<C, TokenError> {
    let TokenData { header, claims } =
        jsonwebtoken::decode(token, key, validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
            jsonwebtoken::errors::ErrorKind::ImmatureSignature => TokenError::NotYetValid,
            _ => TokenError::Invalid,
        })?;
    // RFC 7515, section 4.1.11: a token with a critical header that the receiver does not know is invalid.
    if header.crit.is_some() {
        return Err(TokenError::Invalid);
    }
    // RFC 7515, section 4.1.9: the type may have the prefix of its media type.
    let typ = header.typ.unwrap_or_default().to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) == kind {
        Ok(claims)
    } else {
        Err(TokenError::Invalid)
    }
}

/// Reads the file. Creates a missing one in one step, so that two processes that start at the same time use the
/// same key.
pub(super) fn load_or_create(
    path: &Path,
    create: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(file),
    }
    let directory = path.parent().expect("the path of a key has a directory");
    fs::create_dir_all(directory).map_err(file)?;
    let draft = directory.join(format!("{}.draft", Uuid::new_v4()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut out| out.write_all(&create()?).and_then(|()| out.sync_all()))
        // Unlike a rename, a link does not replace the key of a process that was faster.
        .and_then(|()| fs::hard_link(&draft, path));
    // The draft may be absent already. Only the key matters.
    let _ = fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(error)),
        _ => fs::read(path).map_err(file),
    }
}

/// Reads a secret for HMAC. Creates a missing one.
///
/// # Errors
/// - [`KeyError::File`] if the file cannot be read or written.
/// - [`KeyError::Content`] if it has less than 32 bytes.
pub(super) fn load_secret(path: &Path) -> Result<Vec<u8>, KeyError> {
    let secret = load_or_create(path, || {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(io::Error::other)?;
        Ok(secret.to_vec())
    })?;
    if secret.len() < 32 {
        return Err(KeyError::Content { path: path.to_owned() });
    }
    Ok(secret)
}
