//! Commits a change of a resource and its events in one transaction.

use poem_openapi::types::ToJSON;

use super::error::{FamilyError, Result};
use crate::{
    database::Transaction,
    event::{MAX_DATA, NewEvent, Topic},
    gateway::Gateway,
    json::Relayed,
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
/// - [`FamilyError::EventKind`] if `kind` is not a valid name.
/// - [`FamilyError::BadInput`] if the data has more than [`MAX_DATA`] bytes as JSON.
pub fn new_event(kind: &str, data: &impl ToJSON) -> Result<NewEvent> {
    let event = NewEvent::new(kind, &Relayed(&data.to_json().unwrap_or_default()))?;
    if event.data.len() > MAX_DATA {
        let reason = format!("the event would have more than {MAX_DATA} bytes as JSON");
        return Err(FamilyError::bad_input("data", reason));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_with_more_bytes_than_a_client_reads_is_refused() {
        let quotes = 2;
        assert!(new_event("note", &"x".repeat(MAX_DATA - quotes)).is_ok());
        // Each U+2028 becomes an escape of six bytes.
        for text in ["x".repeat(MAX_DATA - quotes + 1), "\u{2028}".repeat(MAX_DATA / 6 + 1)] {
            let refused = new_event("note", &text).expect_err("a refusal").to_string();
            assert!(refused.contains("500000 bytes"), "{refused}");
        }
    }
}
