//! The text of an API key: a prefix, a random part and a checksum.
//!
//! The prefix lets secret scanners find a key in code and logs. With the checksum, a scanner knows that a text is a key,
//! and the gateway refuses a mistyped key without a look-up.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngExt;

/// The first characters of every key.
pub const PREFIX: &str = "sgk_";

/// Number of random characters: 178 bits.
const RANDOM: usize = 30;
/// Number of characters of the checksum, which is a CRC-32 in base 62.
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// Creates a key.
pub(super) fn generate() -> String {
    let mut rng = rand::rng();
    let random: String =
        (0..RANDOM).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect();
    format!("{PREFIX}{random}{}", checksum(&random))
}

/// The hash of a text that has the form and the checksum of a key. `None` for any other text.
pub(super) fn hash(key: &str) -> Option<Hash> {
    let (random, sum) = key.strip_prefix(PREFIX)?.split_at_checked(RANDOM)?;
    let mut hash = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    hash.copy_from_slice(digest.as_ref());
    (sum == checksum(random)).then_some(hash)
}

/// The hash as it is stored. A random key cannot be guessed, so a fast hash without a salt is enough.
pub(super) fn stored(hash: &Hash) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash)
}

/// The characters of a key that its owner sees later.
pub(super) fn hint(key: &str) -> String {
    key.chars().take(PREFIX.len() + 6).collect()
}

fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_character_does_not_fit_the_checksum() {
        let key = generate();
        assert_eq!(key.len(), 40);
        assert!(hash(&key).is_some());
        for (place, character) in key.char_indices() {
            let other = if character == 'a' { 'b' } else { 'a' };
            let mut changed = key.clone();
            changed.replace_range(place..=place, &other.to_string());
            assert!(hash(&changed).is_none(), "{changed}");
        }
        for text in ["", PREFIX, &key[..39], &format!("{key}a"), "sgk_ä"] {
            assert!(hash(text).is_none(), "{text}");
        }
    }
}
