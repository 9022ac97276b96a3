//! Random secrets, their hashes, and texts that are encrypted for storage.

use aws_lc_rs::{
    aead::{Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
    error::Unspecified,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

/// A SHA-256.
pub type Hash = [u8; 32];

/// A random secret of 256 bits, in base64url.
///
/// # Panics
/// If the random source of the system fails.
#[must_use]
pub fn random() -> String {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).expect("the system's random source does not fail");
    BASE64_URL_SAFE_NO_PAD.encode(secret)
}

/// The hash of a text.
#[must_use]
pub fn hash(text: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// The hash of a secret as it is stored, in base64url. A random secret cannot be guessed, so a fast hash without a salt is
/// enough.
#[must_use]
pub fn fingerprint(secret: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash(secret))
}

/// Encrypts a text for a row. Returns nonce, ciphertext and tag in base64url.
///
/// # Errors
/// If the text is longer than the algorithm of the key allows.
pub fn seal(key: &RandomizedNonceKey, row: Uuid, text: &str) -> Result<String, Unspecified> {
    let mut text = text.as_bytes().to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(row.as_bytes()), &mut text)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &text].concat()))
}

/// Decrypts a text of a row. `None` if it was encrypted with another key or for another row, or is damaged.
#[must_use]
pub fn open(key: &RandomizedNonceKey, row: Uuid, sealed: &str) -> Option<String> {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = key.open_in_place(nonce, Aad::from(row.as_bytes()), text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}
