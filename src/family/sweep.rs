//! Background work for all families: ends the resources of deleted users, and deletes ended resources after their
//! retention.

use std::sync::Arc;

use uuid::Uuid;

use super::{error::Result, table::resource_family};
use crate::{
    event::{Family, Topic},
    gateway::Gateway,
};

/// Ends the expired leases of a family.
pub async fn end_expired_leases(gateway: &Gateway, family: Family) -> Result<()> {
    resource_family(family).end_expired_leases(gateway).await
}

/// Ends the resources of deleted users, in all families. Runs when a user is deleted, and again with every sweep,
/// because the first run may have been interrupted.
///
/// # Errors
/// The first error of any family. After an error, the other families are still processed.
pub async fn cancel_orphans(gateway: &Arc<Gateway>) -> Result<()> {
    let mut result = Ok(());
    for family in Family::ALL {
        let cancelled = resource_family(family).cancel_orphans(gateway).await;
        if let Err(error) = &cancelled {
            let family = family.name();
            tracing::warn!(
                family,
                %error,
                "cannot end the resources of deleted users; trying again with the next sweep"
            );
        }
        result = result.and(cancelled);
    }
    result
}

/// Deletes ended resources and their event logs after their retention. Also ends or deletes resources that a family
/// keeps only for a limited time.
///
/// # Errors
/// The first error of any family. After an error, the other families are still processed.
pub async fn sweep(gateway: &Arc<Gateway>) -> Result<()> {
    let mut result = Ok(());
    for family in Family::ALL {
        let swept = sweep_family(gateway, family).await;
        if let Err(error) = &swept {
            tracing::warn!(
                family = family.name(),
                %error,
                "cannot delete old data of this family; trying again with the next sweep"
            );
        }
        result = result.and(swept);
    }
    result
}

async fn sweep_family(gateway: &Arc<Gateway>, family: Family) -> Result<()> {
    let (retention, _) = gateway.settings(family);
    let swept = resource_family(family).sweep(gateway, retention).await;
    let deleted = delete_ended(gateway, family).await?;
    if deleted > 0 {
        tracing::info!(family = family.name(), deleted, "deleted ended resources");
    }
    swept
}

async fn delete_ended(gateway: &Gateway, family: Family) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let log = gateway.hub.log();
        let topics = log.ended(family).await?;
        if topics.is_empty() {
            return Ok(deleted);
        }
        let tx = gateway.database.begin_write().await?;
        let ids: Vec<Uuid> = topics.iter().map(Topic::id).collect();
        if !resource_family(family).delete(&tx, &ids).await? {
            return Ok(0);
        }
        log.remove(&tx, &topics).await?;
        tx.commit().await?;
        for topic in &topics {
            gateway.visibility.invalidate(topic);
        }
        deleted += topics.len() as u64;
    }
}
