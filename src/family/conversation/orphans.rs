//! Conversations of deleted users.

use entity::{conversation, prompt};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::{
    family::{ORPHANS_PER_TRANSACTION, Result, existing_users},
    gateway::Gateway,
};

/// Deletes conversations of deleted users that contain no prompts.
pub async fn delete_orphans(gateway: &Gateway) -> Result<()> {
    let is_empty = || {
        let prompts = prompt::Entity::find().select_only().column(prompt::Column::ConversationId);
        conversation::Column::Id.not_in_subquery(prompts.into_query())
    };
    let orphans = conversation::Entity::find()
        .filter(conversation::Column::OwnerId.not_in_subquery(existing_users()))
        .filter(is_empty())
        .order_by_asc(conversation::Column::Id)
        .limit(ORPHANS_PER_TRANSACTION);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        // The rows are locked, so that no prompt is created in these conversations from here on. The second `is_empty`
        // excludes conversations in which a prompt was created just before.
        let rows = orphans.clone().lock_exclusive().all(&tx).await?;
        conversation::Entity::delete_many()
            .filter(conversation::Column::Id.is_in(rows.iter().map(|row| row.id)))
            .filter(is_empty())
            .exec(&tx)
            .await?;
        tx.commit().await?;
    }
    Ok(())
}
