//! Passwords: Argon2id with the parameters that the crate keeps current (OWASP's, 19 MiB, 2 rounds).

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::Semaphore;

/// A hash takes 19 MiB and one core for about 20 ms. More hashes at once than cores make each slower, and a
/// flood of logins must not take the memory of the streams.
static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(cores))
});

/// The hash that an unknown user's password is compared with, so that the response takes as long as for a known
/// user.
static UNKNOWN_USER: LazyLock<String> = LazyLock::new(|| hash_now(&random()));

/// glibc maps a block of this size separately, and returns it when it is dropped. Each thread would keep a
/// smaller block for ever (mallopt(3), `M_MMAP_THRESHOLD`). Reserved memory that is never touched costs
/// nothing.
const MAPPED: usize = 32 << 20;

/// Characters of a password, at least: a shorter one is too easy to guess (NIST SP 800-63B, section
/// 5.1.1.2).
pub const LEAST_CHARACTERS: usize = 8;

/// Bytes of a password in UTF-8, at most. The same wherever a password is set or sent, so that what
/// can be set can be used.
pub const MOST_BYTES: usize = 1024;

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It has fewer than [`LEAST_CHARACTERS`].
    #[error("a password has at least 8 characters")]
    TooShort,
    /// It has more than [`MOST_BYTES`].
    #[error("a password has at most 1024 bytes in UTF-8")]
    TooLong,
}

/// Whether a user may have this password.
pub fn check(password: &str) -> Result<(), PasswordError> {
    if password.chars().count() < LEAST_CHARACTERS {
        Err(PasswordError::TooShort)
    } else if password.len() > MOST_BYTES {
        Err(PasswordError::TooLong)
    } else {
        Ok(())
    }
}

/// The PHC string of a password.
pub async fn hash(password: String) -> String {
    blocking(move || hash_now(&password)).await
}

/// Whether the password belongs to the hash. Without a hash the work is the same and the answer no.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    blocking(move || {
        // Created at the first call for any user, or the first unknown user would take longer.
        let unknown = UNKNOWN_USER.as_str();
        let matches = matches(&password, hash.as_deref().unwrap_or(unknown)).unwrap_or(false);
        matches && hash.is_some()
    })
    .await
}

/// A random password: 24 characters, 120 bits.
#[must_use]
pub fn random() -> String {
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
    let mut blocks: Vec<Block> = Vec::with_capacity(count.max(MAPPED / Block::SIZE));
    blocks.resize_with(count, Block::default);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut blocks[..])
        .ok()?;
    Output::new(&out).ok()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let room = Arc::clone(&ROOM).acquire_owned().await.expect("the semaphore is never closed");
    // The permit moves into the work, which continues when the caller is dropped.
    let work = move || {
        let _room = room;
        work()
    };
    tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
}
