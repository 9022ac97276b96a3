//! Waiting for work to claim.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use crate::{event::Family, family::error::Result, gateway::Gateway};

/// Repeats `claim` until it returns something, for at most `wait`. Returns nothing when the gateway shuts down, or when
/// `client_gone` completes. `client_gone` completes when the client no longer waits for the response. Then nothing is
/// claimed, so no lease goes to a client that cannot learn of it.
///
/// Work that is created through another gateway is found with the next heartbeat.
///
/// # Errors
/// The error of `claim`, which ends the wait.
pub async fn claim_or_wait<T, F>(
    gateway: &Gateway,
    family: Family,
    wait: Duration,
    client_gone: impl Future<Output = ()>,
    claim: impl Fn() -> F,
) -> Result<Vec<T>>
where
    F: Future<Output = Result<Vec<T>>>,
{
    let until = Instant::now() + wait;
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let queue = gateway.work_queue(family);
    let mut client_gone = pin!(client_gone);
    loop {
        // Enabled before the claim, so that work that arrives during the claim is not missed.
        let mut available = pin!(queue.available.notified());
        available.as_mut().enable();
        if client_gone.as_mut().now_or_never().is_some() {
            return Ok(Vec::new());
        }
        let claimed = {
            let _claiming = queue.claiming.lock().await;
            claim().await?
        };
        if !claimed.is_empty() || Instant::now() >= until {
            return Ok(claimed);
        }
        gateway.telemetry.claim_waits(true);
        let goes_on = tokio::select! {
            biased;
            () = &mut client_gone => false,
            () = gateway.stopping() => false,
            () = available => true,
            () = sleep_until(until.min(Instant::now() + heartbeat)) => true,
        };
        gateway.telemetry.claim_waits(false);
        if !goes_on {
            return Ok(Vec::new());
        }
    }
}
