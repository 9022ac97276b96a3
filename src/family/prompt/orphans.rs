//! Prompts of deleted users.

use entity::prompt;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    events::end_event,
    rows::{topic, transition},
    status::UNFINISHED,
};
use crate::{
    family::{ORPHANS_PER_TRANSACTION, Result, conversation, existing_users},
    gateway::Gateway,
};

/// Cancels the unfinished prompts of deleted users, and deletes empty conversations of deleted users.
pub(super) async fn cancel(gateway: &Gateway) -> Result<()> {
    let orphans = prompt::Entity::find()
        .filter(prompt::Column::Status.is_in(UNFINISHED))
        .filter(prompt::Column::OwnerId.not_in_subquery(existing_users()))
        .order_by_asc(prompt::Column::Id)
        .limit(ORPHANS_PER_TRANSACTION);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let mut events = Vec::new();
        // The order of the ids is the order of the topics' names. So two transactions cannot deadlock.
        for row in orphans.clone().lock_exclusive().all(&tx).await? {
            let topic = topic(row.id);
            transition(row, prompt::Status::Cancelled).update(&tx).await?;
            let event = end_event("cancelled", "the owner was deleted")?;
            events.extend(gateway.hub.log().append(&tx, &topic, vec![event]).await?);
        }
        gateway.hub.commit(tx, events).await?;
    }
    conversation::delete_orphans(gateway).await
}
