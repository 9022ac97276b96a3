//! The rows of mutations and the events that report their changes.

use entity::mutation::{self, State};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, Select,
};
use uuid::Uuid;

use super::schema::Mutation;
use crate::{
    database::Transaction,
    event::NewEvent,
    family::{Result, new_event},
};

/// The unfinished mutations of a topology: those that are neither applied nor failed. Oldest first.
pub(super) fn unfinished(topology: Uuid) -> Select<mutation::Entity> {
    mutation::Entity::find()
        .filter(mutation::Column::TopologyId.eq(topology))
        .filter(mutation::Column::State.is_in([State::Pending, State::Applying]))
        .order_by_asc(mutation::Column::Id)
}

/// The rows of the unfinished mutations of a topology, for a snapshot.
pub(in crate::family::topology) async fn list_unfinished(
    tx: &Transaction,
    topology: Uuid,
) -> std::result::Result<Vec<mutation::Model>, DbErr> {
    unfinished(topology).all(tx).await
}

/// Fails every unfinished mutation of a locked topology. Returns the events that report the failures.
pub(in crate::family::topology) async fn fail_unfinished(
    tx: &Transaction,
    topology: Uuid,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    for row in list_unfinished(tx, topology).await? {
        let mut change = row.into_active_model();
        change.state = Set(State::Failed);
        change.reason = Set(Some(reason.to_owned()));
        change.lease_token = Set(None);
        change.lease_expires_at = Set(None);
        events.push(state_event(&change.update(tx).await?)?);
    }
    Ok(events)
}

/// The event that reports the state of a mutation.
pub(super) fn state_event(row: &mutation::Model) -> Result<NewEvent> {
    let kind = match row.state {
        State::Pending => "mutation.enqueued",
        State::Applying => "mutation.applying",
        State::Applied => "mutation.applied",
        State::Failed => "mutation.failed",
    };
    new_event(kind, &Mutation::from(row.clone()))
}
