//! The text of an API key: a prefix, a random part and a checksum.
//!
//! The prefix lets secret scanners find a key in code and logs. With the checksum, a scanner knows that a text is a key,
//! and the gateway refuses a mistyped key without a look-up.

use rand::RngExt;

/// The first characters of every key.
pub const PREFIX: &str = "sgk_";

/// Number of random characters: 178 bits.
const RANDOM: usize = 30;
/// Number of characters of the checksum, which is a CRC-32 in base 62.
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Creates a key.
pub(super) fn generate() -> String {
    let mut rng = rand::rng();
    let random: String =
        (0..RANDOM).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect();
    format!("{PREFIX}{random}{}", checksum(&random))
}

/// Whether a text has the form and the checksum of a key.
pub(super) fn is_key(text: &str) -> bool {
    let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(RANDOM));
    rest.is_some_and(|(random, sum)| sum == checksum(random))
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
        assert!(is_key(&key));
        for (place, character) in key.char_indices() {
            let other = if character == 'a' { 'b' } else { 'a' };
            let mut changed = key.clone();
            changed.replace_range(place..=place, &other.to_string());
            assert!(!is_key(&changed), "{changed}");
        }
        for text in ["", PREFIX, &key[..39], &format!("{key}a"), "sgk_ä"] {
            assert!(!is_key(text), "{text}");
        }
    }
}
