//! Refreshes grants, and notifies their users.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::oauth_grant::Model;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time;

use super::{
    link::seconds_until,
    notify::{notify, title},
};
use crate::{
    family::{FamilyError, Result},
    gateway::Gateway,
    oauth::{OauthError, Refreshed},
};

/// Maximum number of refreshes at the same time.
const AT_ONCE: usize = 8;
/// The starts of the refreshes of a run are spread over this time. Refreshes that start together would wait for each
/// other's writes.
const SPREAD: Duration = Duration::from_millis(250);

/// Refreshes the grants that are due, of users that have a stream open on this gateway.
pub async fn refresh_due(gateway: &Arc<Gateway>) -> Result<()> {
    let users = gateway.limits.streaming_users();
    let due = gateway.oauth.due(&users).await?;
    let gap = SPREAD / u32::try_from(due.len()).unwrap_or(u32::MAX).max(1);
    let starts = iter::successors(Some(time::Instant::now()), |start| Some(*start + gap));
    stream::iter(starts.zip(due))
        .for_each_concurrent(AT_ONCE, async |(start, grant)| {
            time::sleep_until(start).await;
            // The result is in the row and in the log, and the next run tries again.
            let _ = refresh(gateway, grant).await;
        })
        .await;
    Ok(())
}

/// Refreshes a grant, unless another call has just done it. Returns the current row.
///
/// The refresh runs to its end even if the caller is dropped. Otherwise a rotated refresh token could be lost.
pub(super) async fn refresh(gateway: &Arc<Gateway>, grant: Model) -> Result<Model> {
    let running = Arc::clone(gateway);
    let work = async move { refresh_and_notify(&running, grant).await };
    gateway.run_to_end(work).await.unwrap_or_else(|_| {
        Err(OauthError::Unavailable("the refresh was interrupted".to_owned()).into())
    })
}

async fn refresh_and_notify(gateway: &Gateway, grant: Model) -> Result<Model> {
    let (user, provider) = (grant.user_id, grant.provider.as_str());
    let name = title(gateway, provider);
    let began = Instant::now();
    match gateway.oauth.refresh(&grant).await? {
        Refreshed::Elsewhere(row) => Ok(row),
        Refreshed::Done { grant: row, provider_took } => {
            let took = began.elapsed().saturating_sub(provider_took);
            gateway.telemetry.latencies.grant_refresh.record(took);
            let message = format!("Your connection to {name} was renewed.");
            let data = json!({ "expires_in": seconds_until(row.access_expires_at) });
            notify(gateway, user, provider, ("oauth.refreshed", true), message, data).await?;
            Ok(row)
        }
        Refreshed::Failed { error, gave_up } => {
            if gave_up {
                let message = format!(
                    "{name} does not answer. Your connection will be renewed when it does."
                );
                let data = json!({ "final": false });
                notify(gateway, user, provider, ("oauth.refresh_failed", false), message, data)
                    .await?;
            }
            Err(error.into())
        }
        Refreshed::Expired => {
            let message = format!("{name} has ended your connection. Link your account again.");
            let data = json!({ "final": true });
            notify(gateway, user, provider, ("oauth.refresh_failed", false), message, data).await?;
            Err(FamilyError::Oauth(OauthError::NoGrant))
        }
    }
}
