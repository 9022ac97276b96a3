//! How sessions end: somebody wants it, nobody uses them, their owner is gone.

use std::time::Duration;

use entity::{Timestamp, mcp_session};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    schema::{ClosedBecause, McpSessionClosed},
    topic,
};
use crate::{
    api::{
        family::{self, new_event},
        problem::Result,
    },
    database::Transaction,
    event::{Event, Family, Topic},
    gateway::Gateway,
};

/// The session, locked until the transaction ends, if it is open.
pub(super) async fn lock_open(
    tx: &Transaction,
    id: Uuid,
) -> std::result::Result<Option<mcp_session::Model>, DbErr> {
    let row = mcp_session::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    Ok(row.filter(|row| row.closed_at.is_none()))
}

/// Closes a session that is locked and open. Returns the event of it, to be committed.
pub(super) async fn close(
    gateway: &Gateway,
    tx: &Transaction,
    row: mcp_session::Model,
    reason: ClosedBecause,
) -> Result<Vec<Event>> {
    let topic = topic(row.id);
    let mut change = row.into_active_model();
    change.closed_at = Set(Some(Timestamp::now()));
    let session = change.update(tx).await?.into();
    let event = new_event("closed", &McpSessionClosed { session, reason })?.terminal();
    Ok(gateway.hub.log().append(tx, &topic, vec![event]).await?)
}

/// Closes a session if it is still idle: since it was listed, somebody may have said something, or
/// begun to listen.
async fn close_idle(gateway: &Gateway, topic: &Topic, before: Timestamp) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let Some(row) = lock_open(&tx, topic.id()).await? else { return Ok(tx.rollback().await?) };
    let is_silent = family::is_silent(gateway, &tx, topic, before).await?;
    if !is_silent || gateway.hub.is_watched(topic) {
        return Ok(tx.rollback().await?);
    }
    let events = close(gateway, &tx, row, ClosedBecause::Idle).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}

/// Closes sessions in which nobody has said anything for long, and to which nobody listens here.
pub(super) async fn close_all_idle(gateway: &Gateway) -> Result<()> {
    let idle = Duration::from_secs(gateway.config.mcp_sessions.idle_seconds);
    let before = gateway.clock.read().cutoff(idle);
    let mut after = None;
    loop {
        let log = gateway.hub.log();
        let silent = log.silent(Family::McpSession, before, after.as_ref()).await?;
        for topic in &silent {
            let row = mcp_session::Entity::find_by_id(topic.id());
            let row = row.one(gateway.database.reader()).await?;
            let is_old = row.is_some_and(|row| row.created_at < before);
            if is_old && !gateway.hub.is_watched(topic) {
                close_idle(gateway, topic, before).await?;
            }
        }
        match silent.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// Closes what belongs to users that have been deleted.
pub(super) async fn close_orphans(gateway: &Gateway) -> Result<()> {
    let orphans = mcp_session::Entity::find()
        .filter(mcp_session::Column::ClosedAt.is_null())
        .filter(mcp_session::Column::OwnerId.not_in_subquery(family::users()))
        .order_by_asc(mcp_session::Column::Id)
        .limit(family::ORPHANS_PER_END);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let mut events = Vec::new();
        for row in orphans.clone().lock_exclusive().all(&tx).await? {
            events.extend(close(gateway, &tx, row, ClosedBecause::Deleted).await?);
        }
        gateway.hub.commit(tx, events).await?;
    }
    Ok(())
}
