//! Commits a change of a resource and its events in one transaction.

use poem_openapi::types::ToJSON;

use super::error::Result;
use crate::{
    database::Transaction,
    event::{NewEvent, Topic},
    gateway::Gateway,
};

/// Appends the events of a change to the topic's log, commits both, and delivers the events.
///
/// # Errors
/// [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost) if the last event of the topic has been written.
pub async fn commit(
    gateway: &Gateway,
    tx: Transaction,
    topic: &Topic,
    events: Vec<NewEvent>,
) -> Result<()> {
    let events = gateway.hub.log().append(&tx, topic, events).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}

/// Creates an event. `kind` is one of the kinds of the family.
///
/// # Errors
/// [`FamilyError::EventKind`](crate::family::FamilyError::EventKind) if `kind` is not a valid name.
pub fn new_event(kind: &str, data: &impl ToJSON) -> Result<NewEvent> {
    Ok(NewEvent::new(kind, &data.to_json())?)
}
