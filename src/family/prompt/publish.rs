//! Publishes events of a prompt.

use entity::prompt;
use sea_orm::ActiveModelTrait;
use uuid::Uuid;

use super::{
    new_events::{Batch, NewPromptEvents},
    publish_state::{PublishPermission, PublishState},
    rows::{lock, topic, transition},
    schema::PublishedEvents,
};
use crate::{event::Event, family::Result, gateway::Gateway};

/// Publishes all events of a request, or none. `lease_token` is the token of the request.
///
/// Events that change the status lock the prompt's row. All other events are written together with events of other
/// agents. The event log refuses these at the time of writing if the lease was lost or the prompt has ended.
///
/// # Errors
/// - [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the conversation has no prompt with this id.
/// - [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost) if `lease_token` is not the token of the
///   prompt's lease (`None` without a lease), if the lease has expired, or if the prompt has ended.
/// - [`FamilyError::BadInput`](crate::family::FamilyError::BadInput) if the events are not valid.
/// - [`FamilyError::ShuttingDown`](crate::family::FamilyError::ShuttingDown) if the gateway is shutting down.
/// - [`FamilyError::Write`](crate::family::FamilyError::Write) if the write of the events fails.
pub async fn publish(
    gateway: &Gateway,
    (conversation, id): (Uuid, Uuid),
    lease_token: Option<Uuid>,
    events: NewPromptEvents,
) -> Result<PublishedEvents> {
    let state = PublishState::load(gateway, conversation, id).await?;
    let right = state.publish_permission(lease_token, &gateway.clock.read())?;
    let batch = Batch::new(events)?;
    let events = match right {
        _ if batch.terminal_status.is_some() => {
            publish_with_transition(gateway, id, lease_token, batch).await?
        }
        PublishPermission::First => {
            publish_with_transition(gateway, id, lease_token, batch).await?
        }
        PublishPermission::Unclaimed => gateway.hub.publish(topic(id), batch.events).await?,
        PublishPermission::Leased(lease) => {
            // Renewed before the events wait for the writer, so that the lease does not expire in the meantime.
            if lease.is_half_over() {
                lease.renew(gateway, id).await?;
            }
            gateway.hub.publish_under(lease.token, topic(id), batch.events).await?
        }
    };
    let last = events.last().map(|event| event.cursor.to_string()).unwrap_or_default();
    Ok(PublishedEvents { count: events.len(), last })
}

/// Publishes events that may change the status of a prompt.
async fn publish_with_transition(
    gateway: &Gateway,
    id: Uuid,
    lease_token: Option<Uuid>,
    batch: Batch,
) -> Result<Vec<Event>> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let right = PublishState::from(&row).publish_permission(lease_token, &gateway.clock.read())?;
    let status = match (right, batch.terminal_status) {
        (_, Some(terminal)) => Some(terminal),
        (PublishPermission::First, None) => Some(prompt::Status::Processing),
        // Another request published the first event in the meantime.
        (PublishPermission::Unclaimed | PublishPermission::Leased(_), None) => None,
    };
    if let Some(status) = status {
        transition(row, status).update(&tx).await?;
    }
    let events = gateway.hub.log().append(&tx, &topic(id), batch.events).await?;
    gateway.hub.commit(tx, events.clone()).await?;
    Ok(events)
}
