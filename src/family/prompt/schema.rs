//! Prompts on the wire.

use entity::{Timestamp, prompt};
use poem_openapi::{Object, types::Example};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::{
    count_with_size,
    oauth::requires,
    wire::{AnyJson, ResetReason, Text, example_id, example_time, wire_enum},
};

wire_enum! {
    /// Status of a prompt.
    pub PromptStatus <=> prompt::Status {
        /// Waiting for an agent.
        Queued,
        /// Claimed by an agent, or being answered without a claim.
        Processing,
        /// The answer is complete.
        Completed,
        /// An agent published `error`, or the answer stopped: the lease expired, or no event came for too long.
        Failed,
        /// Cancelled on request or by the agent, or because the owner was deleted.
        Cancelled,
    }
}

/// A prompt to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewPrompt {
    /// Text of the prompt: at least 1 character, at most 65,536 bytes in UTF-8.
    #[oai(validator(min_length = 1, max_length = 65_536, pattern = r"^[^\x00]*$"))]
    pub prompt: Text,
    /// Names of the OAuth providers at which the owner must have a grant, at most 8. Without a valid grant, the response
    /// is 401 with an `authorization_url`, also when the stream is opened.
    #[oai(validator(max_items = 8))]
    pub requires: Option<Vec<String>>,
}

impl Example for NewPrompt {
    fn example() -> Self {
        Self { prompt: "Which tasks must be done before the move?".into(), requires: None }
    }
}

/// A prompt.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Prompt {
    /// Prompt id.
    pub id: Uuid,
    /// Id of the session that contains the prompt.
    pub session_id: Uuid,
    /// Id of the user that the session belongs to.
    pub owner: Uuid,
    /// Text of the prompt.
    pub prompt: String,
    /// Names of the OAuth providers at which the owner must have a grant. Absent if there are none.
    pub requires: Option<Vec<String>>,
    /// Status of the prompt.
    pub status: PromptStatus,
    /// Number of claims so far. 0 before the first claim.
    pub attempt: i32,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
    /// Time of the last change of the status, UTC.
    pub updated_at: OffsetDateTime,
    /// Time at which the prompt reached a terminal status, UTC. Absent before.
    pub completed_at: Option<OffsetDateTime>,
}

impl From<prompt::Model> for Prompt {
    fn from(row: prompt::Model) -> Self {
        Self {
            id: row.id,
            session_id: row.conversation_id,
            owner: row.owner_id,
            prompt: row.text,
            requires: requires(row.requires.as_ref()),
            status: row.status.into(),
            attempt: row.attempt,
            created_at: row.created_at.datetime(),
            updated_at: row.updated_at.datetime(),
            completed_at: row.completed_at.map(Timestamp::datetime),
        }
    }
}

impl Example for Prompt {
    fn example() -> Self {
        Self {
            id: example_id(),
            session_id: example_id(),
            owner: example_id(),
            prompt: "Which tasks must be done before the move?".to_owned(),
            requires: Some(vec!["github".to_owned()]),
            status: PromptStatus::Processing,
            attempt: 1,
            created_at: example_time(),
            updated_at: example_time(),
            completed_at: None,
        }
    }
}

/// A change of a prompt's status that no published event reports: the data of a `status` event.
#[derive(Object)]
#[oai(example)]
pub struct PromptStatusChange {
    /// Status after the change.
    pub status: PromptStatus,
    /// Number of claims so far. 0 before the first claim.
    pub attempt: i32,
    /// Time of the change, UTC.
    pub at: OffsetDateTime,
}

impl Example for PromptStatusChange {
    fn example() -> Self {
        Self { status: PromptStatus::Processing, attempt: 1, at: example_time() }
    }
}

/// An event in a snapshot.
#[derive(Object)]
#[oai(example)]
pub struct PromptEvent {
    /// Cursor of the event: its `id` in the stream.
    pub id: String,
    /// Kind of the event, such as `message`.
    pub kind: String,
    /// Data of the event: the same JSON as in the stream.
    pub data: AnyJson,
    /// Time at which the event was written, UTC.
    pub at: OffsetDateTime,
}

impl Example for PromptEvent {
    fn example() -> Self {
        Self {
            id: "2f1a3b9c-42-5d8e01f7".to_owned(),
            kind: "message".to_owned(),
            data: AnyJson::from(&json!({ "text": "First, " })),
            at: example_time(),
        }
    }
}

/// The data of a `snapshot` event: the prompt after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct PromptSnapshot {
    /// The prompt.
    pub prompt: Prompt,
    /// The newest events, oldest first. At most 1,000, and those that fit with the prompt into 500,000 bytes of JSON.
    pub events: Vec<PromptEvent>,
    /// Whether the prompt had earlier events, which this snapshot does not contain. The operation `List prompt events`
    /// returns those that were not pruned.
    pub earlier: bool,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for PromptSnapshot {
    fn example() -> Self {
        Self {
            prompt: Prompt::example(),
            events: vec![PromptEvent::example()],
            earlier: true,
            reset: None,
        }
    }
}

impl PromptSnapshot {
    /// Leaves the oldest events out, so that at least `bytes` bytes are removed.
    pub(super) fn shorten(&mut self, bytes: usize) -> bool {
        let count = count_with_size(self.events.iter(), bytes);
        self.events.drain(..count);
        self.earlier = true;
        count > 0
    }
}

/// A request to claim prompts.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct ClaimPrompts {
    /// Duration of the lease after the claim and each renewal, in seconds, from 1 to 3,600. The default is 60.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub lease_seconds: Option<u32>,
    /// Maximum number of prompts, from 1 to 50. The default is 1.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub max: Option<u64>,
    /// Maximum time to wait for a prompt if none can be claimed, in seconds, from 0 to 60. The default is 0. A prompt
    /// that is created through another gateway is found with the next heartbeat.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub wait_seconds: Option<u64>,
}

impl Example for ClaimPrompts {
    fn example() -> Self {
        Self { lease_seconds: Some(60), max: Some(1), wait_seconds: Some(0) }
    }
}

/// A prompt under a lease.
#[derive(Object)]
#[oai(example)]
pub struct ClaimedPrompt {
    /// The prompt.
    pub prompt: Prompt,
    /// Number of claims so far, this one included.
    pub attempt: i32,
    /// Lease token of the claim. Send it in the header `Lease-Token` of every publish request, and in the body of a
    /// renewal or release.
    pub lease_token: Uuid,
    /// Time at which the lease expires without a renewal, UTC. Then the prompt is queued again, or fails if an event
    /// was published under the lease.
    pub lease_expires_at: OffsetDateTime,
}

impl Example for ClaimedPrompt {
    fn example() -> Self {
        Self {
            prompt: Prompt::example(),
            attempt: 1,
            lease_token: example_id(),
            lease_expires_at: example_time(),
        }
    }
}

/// The lease of a claimed prompt, to renew or release.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct PromptLease {
    /// Lease token of the claim.
    pub lease_token: Uuid,
}

impl Example for PromptLease {
    fn example() -> Self {
        Self { lease_token: example_id() }
    }
}

/// A renewed lease.
#[derive(Object)]
#[oai(example)]
pub struct RenewedPromptLease {
    /// New time at which the lease expires, UTC.
    pub lease_expires_at: OffsetDateTime,
}

impl Example for RenewedPromptLease {
    fn example() -> Self {
        Self { lease_expires_at: example_time() }
    }
}

/// Options of a stream token.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
pub struct StreamTokenOptions {
    /// Lifetime of the token, in seconds, from 30 to 300. The default is `tokens.stream_seconds` of the configuration.
    /// An open stream stays open after the token expires.
    #[oai(validator(minimum(value = "30"), maximum(value = "300")))]
    pub ttl_seconds: Option<u64>,
    /// Whether the token opens a stream only once. The next request with it gets 401, so `EventSource` cannot reconnect.
    /// The default is false.
    pub single_use: Option<bool>,
}

impl Example for StreamTokenOptions {
    fn example() -> Self {
        Self { ttl_seconds: Some(120), single_use: Some(false) }
    }
}

/// The events that a request published.
#[derive(Object)]
#[oai(example)]
pub struct PublishedEvents {
    /// Number of published events, from 1 to 1,000.
    pub count: usize,
    /// Cursor of the last published event.
    pub last: String,
}

impl Example for PublishedEvents {
    fn example() -> Self {
        Self { count: 1, last: "2f1a3b9c-42-5d8e01f7".to_owned() }
    }
}
