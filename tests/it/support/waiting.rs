//! Waits with a time limit.

use std::time::Duration;

/// Time limit of every wait. If a wait reaches it, the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a future. Fails after [`PATIENCE`].
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Polls until a condition is true. Use it only if no event reports the condition.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
