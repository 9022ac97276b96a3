//! Passwords: Argon2id with the parameters that the crate keeps current (OWASP's, 19 MiB, 2 rounds).

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// A hash takes 19 MiB and a core for some 20 ms: more at once than there are cores only makes each
/// slower, and a flood of logins must not take the memory of the streams.
static ROOM: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
});

/// What an unknown user's password is compared with, so that the answer takes as long as for a
/// known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now(&random()));

/// The PHC string of a password.
pub async fn hash(password: String) -> String {
    blocking(move || hash_now(&password)).await
}

/// Whether the password belongs to the hash. Without a hash the work is the same and the answer no.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    blocking(move || {
        // Made at the first call whoever it is for, or the first unknown user would show.
        let nobody = NOBODY.as_str();
        let known = hash.is_some();
        let hash = hash.as_deref().unwrap_or(nobody);
        let matches = PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
        matches && known
    })
    .await
}

/// A password nobody has to think of: 24 characters, 120 bits.
#[must_use]
pub fn random() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzACDEFGHJK";
    (0..24).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}

fn hash_now(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("the default parameters and a fresh salt are always valid")
        .to_string()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let _room = ROOM.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
}
