//! Prompts whose owners have been deleted.

use entity::prompt;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::{
    rows::{UNFINISHED, in_status},
    topic,
};
use crate::{
    api::{
        conversation,
        family::{self, new_event},
        problem::Result,
    },
    gateway::Gateway,
};

/// Cancels those that have not ended, and deletes the conversations in which none is left.
pub(super) async fn cancel(gateway: &Gateway) -> Result<()> {
    let orphans = prompt::Entity::find()
        .filter(prompt::Column::Status.is_in(UNFINISHED))
        .filter(prompt::Column::Owner.not_in_subquery(family::users()))
        .order_by_asc(prompt::Column::Id)
        .limit(family::ORPHANS_PER_END);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        let mut events = Vec::new();
        // In the order of their ids, which is that of their topics' names.
        for row in orphans.clone().lock_exclusive().all(&tx).await? {
            let topic = topic(row.id);
            in_status(row, prompt::Status::Cancelled).update(&tx).await?;
            let told = json!({ "message": "who asked has been deleted" });
            let event = new_event("cancelled", &told)?.terminal();
            events.extend(gateway.hub.log().append(&tx, &topic, vec![event]).await?);
        }
        gateway.hub.commit(tx, events).await?;
    }
    conversation::delete_orphans(gateway).await
}
