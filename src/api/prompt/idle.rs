//! Prompts that somebody has begun to answer without a claim and then no more. There is no lease that
//! could run out, and nobody can claim them, so only their silence tells.

use std::time::Duration;

use entity::{Timestamp, prompt};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use serde_json::json;
use uuid::Uuid;

use super::{rows::in_status, topic};
use crate::{
    api::{
        family::{self, new_event},
        problem::Result,
    },
    event::{Family, Topic},
    gateway::Gateway,
};

/// Ends those of which nothing was heard for long.
pub(super) async fn end(gateway: &Gateway) -> crate::family::Result<()> {
    let idle = Duration::from_secs(gateway.config.prompts.idle_seconds);
    let before = gateway.clock.read().cutoff(idle);
    let log = gateway.hub.log();
    let mut after = None;
    loop {
        let silent = log.silent(Family::Prompt, before, after.as_ref()).await?;
        // Most of them wait for somebody, or are under a lease.
        let ids = unclaimed(before)
            .filter(prompt::Column::Id.is_in(silent.iter().map(Topic::id)))
            .order_by_asc(prompt::Column::Id)
            .select_only()
            .column(prompt::Column::Id)
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        for id in ids {
            end_one(gateway, id, before).await?;
        }
        match silent.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// Those that somebody who has not claimed them began to answer before then.
fn unclaimed(before: Timestamp) -> Select<prompt::Entity> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Processing))
        .filter(prompt::Column::UpdatedAt.lt(before))
        .filter(prompt::Column::LeaseToken.is_null())
}

async fn end_one(gateway: &Gateway, id: Uuid, before: Timestamp) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = unclaimed(before).filter(prompt::Column::Id.eq(id)).lock_exclusive().one(&tx).await?;
    let Some(row) = row else { return Ok(tx.rollback().await?) };
    // Who publishes without a lease does not touch the row; only the log knows.
    if !family::is_silent(gateway, &tx, &topic(id), before).await? {
        return Ok(tx.rollback().await?);
    }
    in_status(row, prompt::Status::Failed).update(&tx).await?;
    let message = "somebody began to answer without a claim and was not heard of again";
    let event = new_event("error", &json!({ "message": message }))?.terminal();
    family::commit(gateway, tx, &topic(id), vec![event]).await?;
    Ok(())
}
