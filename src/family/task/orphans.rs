//! Tasks of deleted users.

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{
    events::state_event,
    rows::{topic, transition},
    status::UNFINISHED,
};
use crate::{
    family::{ORPHANS_PER_TRANSACTION, Result, existing_users},
    gateway::Gateway,
};

/// Cancels the unfinished tasks of deleted users at once. No owner waits for a result, so the workers get no
/// grace time.
pub(super) async fn cancel(gateway: &Gateway) -> Result<()> {
    let orphans = task::Entity::find()
        .filter(task::Column::Status.is_in(UNFINISHED))
        .filter(task::Column::OwnerId.not_in_subquery(existing_users()))
        .order_by_asc(task::Column::Id)
        .limit(ORPHANS_PER_TRANSACTION);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let mut events = Vec::new();
        // The order of the ids is the order of the topics' names. So two transactions cannot deadlock.
        for row in orphans.clone().lock_exclusive().all(&tx).await? {
            let now = Timestamp::now();
            let mut change = transition(row, task::Status::Cancelled, now)?;
            change.cancel_by = Set(Some(now));
            let row = change.update(&tx).await?;
            let log = gateway.hub.log();
            events.extend(log.append(&tx, &topic(row.id), vec![state_event(&row)?]).await?);
        }
        gateway.hub.commit(tx, events).await?;
    }
    Ok(())
}
