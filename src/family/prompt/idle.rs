//! Fails prompts that an agent began to answer without a claim and then left unfinished. Such a prompt has no lease
//! that could expire, and no agent can claim it. So it fails after a long time without an event.

use std::time::Duration;

use entity::{Timestamp, prompt};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{
    events::end_event,
    rows::{topic, transition},
};
use crate::{
    event::{Family, Topic},
    family::{Result, SilentTopics, commit, is_silent},
    gateway::Gateway,
};

/// Fails prompts that are answered without a claim and had no event for `prompts.idle_seconds`.
pub(super) async fn fail_idle(gateway: &Gateway) -> Result<()> {
    let idle = Duration::from_secs(gateway.config.prompts.idle_seconds);
    let before = gateway.clock.read().cutoff(idle);
    let mut pages = SilentTopics::new(gateway, Family::Prompt, before);
    while let Some(topics) = pages.next_page().await? {
        // Most silent prompts are queued or under a lease. This query finds the others.
        let ids = unclaimed(before)
            .filter(prompt::Column::Id.is_in(topics.iter().map(Topic::id)))
            .order_by_asc(prompt::Column::Id)
            .select_only()
            .column(prompt::Column::Id)
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        for id in ids {
            fail_if_idle(gateway, id, before).await?;
        }
    }
    Ok(())
}

/// Prompts that became `processing` without a claim, before this time.
fn unclaimed(before: Timestamp) -> Select<prompt::Entity> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Processing))
        .filter(prompt::Column::UpdatedAt.lt(before))
        .filter(prompt::Column::LeaseToken.is_null())
}

async fn fail_if_idle(gateway: &Gateway, id: Uuid, before: Timestamp) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = unclaimed(before).filter(prompt::Column::Id.eq(id)).lock_exclusive().one(&tx).await?;
    let Some(row) = row else { return Ok(tx.rollback().await?) };
    // Publishing without a lease does not change the row, so the event log is checked too.
    if !is_silent(gateway, &tx, &topic(id), before).await? {
        return Ok(tx.rollback().await?);
    }
    transition(row, prompt::Status::Failed).update(&tx).await?;
    let message = "an agent began to answer without a claim and published no further event";
    commit(gateway, tx, &topic(id), vec![end_event("error", message)?]).await
}
