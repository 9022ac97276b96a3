//! Passwords, hashed by Argon2id with the default parameters of its crate: those of OWASP, 19 MiB and 2 passes.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::Semaphore;

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

/// Minimum length of a password, in characters (NIST SP 800-63B, section 5.1.1.2).
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
}

/// Checks the length of a new password.
pub fn check(password: &str) -> Result<(), PasswordError> {
    if password.chars().count() < MIN_CHARACTERS {
        Err(PasswordError::TooShort)
    } else if password.len() > MAX_BYTES {
        Err(PasswordError::TooLong)
    } else {
        Ok(())
    }
}

/// Hashes a password. Returns a PHC string.
pub async fn hash(password: String) -> String {
    run_blocking(move || hash_now(&password)).await
}

/// Whether the password matches the hash. Without a hash, the same work is done and the result is false.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    run_blocking(move || {
        // Created at the first call for any user. Otherwise the first unknown user would take longer.
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
