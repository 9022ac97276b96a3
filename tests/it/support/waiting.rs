//! Waiting for something, with an upper bound.

use std::time::Duration;

/// Longer than anything may take: reaching it is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Fails instead of hanging.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Waits for a condition that nothing announces.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
