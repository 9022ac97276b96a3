//! Leases that run out: what nobody has begun to answer is queued again; what somebody has begun and
//! not ended has failed, because what was said cannot be taken back.

use std::time::Duration;

use entity::prompt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    rows::{Standing, in_status, lock, revoke, status_event},
    topic,
};
use crate::{
    api::{
        family::{self, new_event},
        lease::{self, End},
    },
    clock::Reading,
    event::Family,
    gateway::Gateway,
};

/// Background work: ends what leases that have run out stood for.
pub(in crate::api) async fn end_expired(gateway: &Gateway) -> crate::family::Result<()> {
    let find = |now, time| ends(gateway, now, time);
    lease::end_expired(gateway, Family::Prompt, find, |id| end_lease(gateway, id)).await
}

/// The columns of a lease's deadline.
const COLUMNS: (prompt::Column, prompt::Column) =
    (prompt::Column::LeaseExpiresAt, prompt::Column::LeaseClock);

/// Prompts with leases that have run out when `time` has passed, and when each does.
async fn ends(gateway: &Gateway, now: Reading, time: Duration) -> Result<Vec<End>, DbErr> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Processing))
        .filter(lease::over_after(&now, time, COLUMNS))
        .order_by_asc(prompt::Column::LeaseExpiresAt)
        .limit(lease::PER_LOOK)
        .select_only()
        .columns([prompt::Column::Id, COLUMNS.0, COLUMNS.1])
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

async fn end_lease(gateway: &Gateway, id: Uuid) -> crate::family::Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let left = Standing::from(&row).left(&gateway.clock.read());
    if left.is_none_or(|left| !left.is_zero()) {
        // Another gateway has ended it, or its agent has extended it.
        return Ok(());
    }
    let event = if revoke(gateway, &tx, &row).await? {
        in_status(row, prompt::Status::Failed).update(&tx).await?;
        let message = "the agent began to answer and was not heard of again";
        new_event("error", &json!({ "message": message }))?.terminal()
    } else {
        status_event(&in_status(row, prompt::Status::Queued).update(&tx).await?)?
    };
    family::commit(gateway, tx, &topic(id), vec![event]).await?;
    Ok(())
}
