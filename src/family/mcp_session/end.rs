//! Closes idle MCP sessions, and MCP sessions of deleted users.

use std::time::Duration;

use entity::{Timestamp, mcp_session};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    rows::topic,
    schema::{CloseReason, McpSessionClosed},
};
use crate::{
    database::Transaction,
    event::{Event, Family, Topic},
    family::{ORPHANS_PER_TRANSACTION, Result, SilentTopics, existing_users, is_silent, new_event},
    gateway::Gateway,
};

/// Closes sessions that had no message for `mcp_sessions.idle_seconds`, unless a client watches them on this gateway.
pub(super) async fn close_idle(gateway: &Gateway) -> Result<()> {
    let idle = Duration::from_secs(gateway.config.mcp_sessions.idle_seconds);
    let before = gateway.clock.read().cutoff(idle);
    let mut pages = SilentTopics::new(gateway, Family::McpSession, before);
    while let Some(topics) = pages.next_page().await? {
        for topic in topics {
            let row = mcp_session::Entity::find_by_id(topic.id());
            let row = row.one(gateway.database.reader()).await?;
            let is_old = row.is_some_and(|row| row.created_at < before);
            if is_old && !is_in_use(gateway, &topic, idle) {
                close_if_idle(gateway, &topic, before, idle).await?;
            }
        }
    }
    end_closed(gateway).await
}

/// Closes a session if it is still idle. After the list was read, a message may have been published, or a client may
/// have begun to watch.
async fn close_if_idle(
    gateway: &Gateway,
    topic: &Topic,
    before: Timestamp,
    idle: Duration,
) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let Some(row) = lock_open(&tx, topic.id()).await? else { return Ok(tx.rollback().await?) };
    let is_silent = is_silent(gateway, &tx, topic, before).await?;
    if !is_silent || is_in_use(gateway, topic, idle) {
        return Ok(tx.rollback().await?);
    }
    let events = close_locked(gateway, &tx, row, CloseReason::Idle).await?;
    gateway.hub.commit(tx, events).await?;
    gateway.tunnels.sessions.end(topic.id());
    Ok(())
}

/// Ends the sessions in memory that another gateway has closed.
async fn end_closed(gateway: &Gateway) -> Result<()> {
    for ids in gateway.tunnels.sessions.ids().chunks(500) {
        let open: Vec<Uuid> = mcp_session::Entity::find()
            .filter(mcp_session::Column::Id.is_in(ids.iter().copied()))
            .filter(mcp_session::Column::ClosedAt.is_null())
            .select_only()
            .column(mcp_session::Column::Id)
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        for id in ids.iter().filter(|id| !open.contains(id)) {
            gateway.tunnels.sessions.end(*id);
        }
    }
    Ok(())
}

/// Whether a client watches the session, or uses it for the requests through a tunnel.
fn is_in_use(gateway: &Gateway, topic: &Topic, idle: Duration) -> bool {
    let session = gateway.tunnels.sessions.find(topic.id());
    gateway.hub.is_watched(topic) || session.is_some_and(|session| session.is_in_use(idle))
}

/// Closes the sessions of deleted users.
pub(super) async fn close_orphans(gateway: &Gateway) -> Result<()> {
    let is_orphan = mcp_session::Column::OwnerId.not_in_subquery(existing_users());
    close_all(gateway, Condition::all().add(is_orphan), CloseReason::Deleted).await
}

/// Closes the sessions that use a tunnel which is not there for them any more: those of one user, or all of them. If the
/// database fails, a session stays until it is idle. Nobody can use it, because each request looks for the tunnel.
pub async fn close_for_tunnel(gateway: &Gateway, tunnel: Uuid, user: Option<Uuid>) {
    let of_user = user.map(|user| mcp_session::Column::OwnerId.eq(user));
    let of_tunnel = mcp_session::Column::TunnelId.eq(tunnel);
    let condition = Condition::all().add(of_tunnel).add_option(of_user);
    if let Err(error) = close_all(gateway, condition, CloseReason::TunnelRevoked).await {
        tracing::warn!(%tunnel, %error, "the MCP sessions of a tunnel were not closed");
    }
}

/// Closes the open sessions that match, some at a time.
async fn close_all(gateway: &Gateway, condition: Condition, reason: CloseReason) -> Result<()> {
    let found = mcp_session::Entity::find()
        .filter(mcp_session::Column::ClosedAt.is_null())
        .filter(condition)
        .order_by_asc(mcp_session::Column::Id)
        .limit(ORPHANS_PER_TRANSACTION);
    while found.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let (mut events, mut ids) = (Vec::new(), Vec::new());
        for row in found.clone().lock_exclusive().all(&tx).await? {
            ids.push(row.id);
            events.extend(close_locked(gateway, &tx, row, reason).await?);
        }
        gateway.hub.commit(tx, events).await?;
        for id in ids {
            gateway.tunnels.sessions.end(id);
        }
    }
    Ok(())
}

/// Locks a session until the transaction ends. Returns `None` if the session does not exist or is closed.
pub(super) async fn lock_open(
    tx: &Transaction,
    id: Uuid,
) -> std::result::Result<Option<mcp_session::Model>, DbErr> {
    let row = mcp_session::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    Ok(row.filter(|row| row.closed_at.is_none()))
}

/// Closes a session that is locked and open. Returns its last event, for the commit.
pub(super) async fn close_locked(
    gateway: &Gateway,
    tx: &Transaction,
    row: mcp_session::Model,
    reason: CloseReason,
) -> Result<Vec<Event>> {
    let topic = topic(row.id);
    let mut change = row.into_active_model();
    change.closed_at = Set(Some(Timestamp::now()));
    let session = change.update(tx).await?.into();
    let event = new_event("closed", &McpSessionClosed { session, reason })?.terminal();
    Ok(gateway.hub.log().append(tx, &topic, vec![event]).await?)
}
