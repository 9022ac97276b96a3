//! Waiting for something, with an upper bound.

use std::time::Duration;

/// Longer than anything may take. Reaching it is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen soon. Fails after [`PATIENCE`].
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Waits for a condition that no event announces.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
