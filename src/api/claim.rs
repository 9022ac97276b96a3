//! Waiting for work: what the claims of all families share.

use std::{future::pending, pin::pin, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use super::{edge::Asked, problem::Result};
use crate::{event::Family, gateway::Gateway};

/// Claims until there is something to claim, for as long as the caller wants to wait. Ends early when
/// the caller has gone, lest it be given work that it never hears of, and when the service ends. A
/// caller that waits and can send no more has gone: that is how a worker that died looks.
///
/// Work of other gateways is found with the next heartbeat at the latest.
pub(super) async fn wait_for<T, F>(
    gateway: &Gateway,
    family: Family,
    asked: &Asked,
    wait: Duration,
    claim: impl Fn() -> F,
) -> Result<Vec<T>>
where
    F: Future<Output = Result<Vec<T>>>,
{
    let until = Instant::now() + wait;
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let work = gateway.work(family);
    let half_closed = async {
        match &asked.origin {
            Some(origin) if !wait.is_zero() => origin.half_closed.cancelled().await,
            _ => pending().await,
        }
    };
    let mut left = pin!(async {
        tokio::select! {
            () = asked.gone.cancelled() => {}
            () = half_closed => {}
        }
    });
    loop {
        // Before looking, so that what comes while that goes on is not missed.
        let mut more = pin!(work.news.notified());
        more.as_mut().enable();
        if left.as_mut().now_or_never().is_some() {
            return Ok(Vec::new());
        }
        let claimed = {
            let _turn = work.turn.lock().await;
            claim().await?
        };
        if !claimed.is_empty() || Instant::now() >= until {
            return Ok(claimed);
        }
        gateway.telemetry.claim_waits(true);
        let goes_on = tokio::select! {
            biased;
            () = &mut left => false,
            () = gateway.stopping() => false,
            () = more => true,
            () = sleep_until(until.min(Instant::now() + heartbeat)) => true,
        };
        gateway.telemetry.claim_waits(false);
        if !goes_on {
            return Ok(Vec::new());
        }
    }
}
