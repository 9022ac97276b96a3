//! Passwords, hashed by Argon2id with the default parameters of its crate: those of OWASP, 19 MiB and 2 passes.
//!
//! A password is prepared with the profile OpaqueString (RFC 8265, section 4.2) before it is hashed. Keyboards and
//! systems write the same letter in different ways, for example `ä` as one character or as two. The profile gives them
//! one form, and refuses control characters. The crate knows the characters of Unicode 6.3, like the registry of the
//! RFC, and refuses newer ones.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use precis_profiles::{OpaqueString, precis_core::profile::PrecisFastInvocation};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

/// Limits the hashes at the same time to the number of cores. A hash takes 19 MiB, and one core for about 20 ms.
/// More at a time would make each slower, and many logins could use up the memory.
static CONCURRENT_HASHES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(cores))
});

/// The password of an unknown user is compared with this hash, so that the response takes as long as for a known
/// user.
static UNKNOWN_USER: LazyLock<String> = LazyLock::new(|| hash_now(&random()));

/// Capacity of the memory of a hash, in bytes. glibc maps a block of this size separately and returns it to the
/// system afterwards (mallopt(3), `M_MMAP_THRESHOLD`). Each thread would keep a smaller block. Capacity that is
/// never written to takes no memory.
const HASH_MEMORY_CAPACITY: usize = 32 << 20;

/// Minimum length of a prepared password, in characters (NIST SP 800-63B, section 5.1.1.2).
pub const MIN_CHARACTERS: usize = 8;

/// Maximum length of a password, in bytes of UTF-8. The limit is the same for a new password and at login.
pub const MAX_BYTES: usize = 1024;

/// The password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The password has fewer characters than [`MIN_CHARACTERS`].
    #[error("a password has at least 8 characters")]
    TooShort,
    /// The password has more bytes than [`MAX_BYTES`].
    #[error("a password has at most 1024 bytes in UTF-8")]
    TooLong,
    /// The profile OpaqueString does not allow a character of the password (RFC 8265, section 4.2).
    #[error(
        "a password has no control characters, and no characters that are newer than Unicode 6.3"
    )]
    NotAllowed,
}

/// A new password, checked and prepared.
#[derive(Clone)]
pub struct NewPassword(String);

impl NewPassword {
    /// Checks and prepares a password.
    ///
    /// # Errors
    /// - [`PasswordError::TooShort`] if it has fewer than [`MIN_CHARACTERS`] characters.
    /// - [`PasswordError::TooLong`] if it has more than [`MAX_BYTES`] bytes, before or after its preparation.
    /// - [`PasswordError::NotAllowed`] if it has a character that the profile does not allow.
    pub fn new(password: &str) -> Result<Self, PasswordError> {
        if password.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        if password.chars().count() < MIN_CHARACTERS {
            return Err(PasswordError::TooShort);
        }
        let prepared = prepare(password).ok_or(PasswordError::NotAllowed)?;
        // The composition of characters changes the length.
        if prepared.len() > MAX_BYTES {
            Err(PasswordError::TooLong)
        } else if prepared.chars().count() < MIN_CHARACTERS {
            Err(PasswordError::TooShort)
        } else {
            Ok(Self(prepared))
        }
    }

    /// Generates a password: 24 characters, 120 bits.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// The password as text, to show it once.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Hashes the password. Returns a PHC string.
    pub async fn hash(self) -> String {
        run_blocking(move || hash_now(&self.0)).await
    }
}

/// The form of a password that matches a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It does not match.
    None,
    /// The prepared password matches.
    Prepared,
    /// Only the password as it was sent matches: the hash is older than the preparation.
    Unprepared,
}

/// Compares a password with a hash: its prepared form, and then the form that was sent, if they differ. So the work
/// depends on the password that was sent, and on nothing else. Without a hash, the same work is done and nothing
/// matches.
pub async fn verify(password: String, hash: Option<String>) -> Match {
    run_blocking(move || {
        // Created at the first call for any user. Otherwise the first unknown user would take longer.
        let unknown = UNKNOWN_USER.as_str();
        let matches = |text: &str| {
            let is_equal = matches(text, hash.as_deref().unwrap_or(unknown)).unwrap_or(false);
            is_equal && hash.is_some()
        };
        let prepared = prepare(&password).unwrap_or_else(|| password.clone());
        // Both are compared, even if the first matches. Otherwise the time would tell that the password of a disabled
        // user is right.
        let is_prepared = matches(&prepared);
        let is_unprepared = prepared != password && matches(&password);
        match (is_prepared, is_unprepared) {
            (true, _) => Match::Prepared,
            (_, true) => Match::Unprepared,
            _ => Match::None,
        }
    })
    .await
}

/// The form of a password that is hashed (RFC 8265, section 4.2.2). `None` if the profile does not allow it.
fn prepare(password: &str) -> Option<String> {
    // Composed before the profile checks the characters (RFC 8264, section 7), because it refuses the parts of which
    // some systems compose Korean syllables.
    let composed: String = password.nfc().collect();
    OpaqueString::enforce(composed).ok().map(Cow::into_owned)
}

fn random() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzACDEFGHJK";
    (0..24).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}

fn hash_now(password: &str) -> String {
    let params = Params::default();
    let salt = Salt::generate();
    let valid = "the default parameters and a fresh salt are always valid";
    PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).expect(valid),
        salt: Some(salt),
        hash: Some(
            output(Algorithm::Argon2id, Version::V0x13, params, password, &salt).expect(valid),
        ),
    }
    .to_string()
}

/// Whether the password matches the hash, in constant time. `None` if the hash is not a hash of Argon2.
fn matches(password: &str, hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    let params = Params::try_from(&hash).ok()?;
    // `Output` compares in constant time.
    Some(output(algorithm, version, params, password, &hash.salt?)? == hash.hash?)
}

fn output(
    algorithm: Algorithm,
    version: Version,
    params: Params,
    password: &str,
    salt: &Salt,
) -> Option<Output> {
    let count = params.block_count();
    let mut blocks: Vec<Block> = Vec::with_capacity(count.max(HASH_MEMORY_CAPACITY / Block::SIZE));
    blocks.resize_with(count, Block::default);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut blocks[..])
        .ok()?;
    Output::new(&out).ok()
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let permit = Arc::clone(&CONCURRENT_HASHES)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    // The permit moves into the work, which continues when the caller is dropped.
    let work = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
}
