//! Tasks whose owners have been deleted.

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{
    rows::{event, turn},
    topic,
};
use crate::{
    api::{family, problem::Result},
    gateway::Gateway,
};

/// Cancels those that have not ended, at once: nobody is left who would wait for them, so their
/// workers need no time to end well.
pub(super) async fn cancel(gateway: &Gateway) -> Result<()> {
    let orphans = task::Entity::find()
        .filter(task::Column::Status.is_in([task::Status::Pending, task::Status::Running]))
        .filter(task::Column::Owner.not_in_subquery(family::users()))
        .order_by_asc(task::Column::Id)
        .limit(family::ORPHANS_PER_END);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let mut events = Vec::new();
        // In the order of their ids, which is that of their topics' names.
        for row in orphans.clone().lock_exclusive().all(&tx).await? {
            let now = Timestamp::now();
            let mut change = turn(row, task::Status::Cancelled, now)?;
            change.cancel_by = Set(Some(now));
            let row = change.update(&tx).await?;
            let log = gateway.hub.log();
            events.extend(log.append(&tx, &topic(row.id), vec![event(&row)?]).await?);
        }
        gateway.hub.commit(tx, events).await?;
    }
    Ok(())
}
