//! Prompts on the wire.

use entity::{Timestamp, prompt};
use poem_openapi::{
    Object,
    types::{Any, Example},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{example_id, example_time, mirror, text::Text};

mirror! {
    /// How far a prompt has come.
    pub(super) PromptStatus <=> prompt::Status { Queued, Processing, Completed, Failed, Cancelled }
}

/// A prompt to be answered.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewPrompt {
    /// What is asked; at most 65,536 bytes.
    #[oai(validator(min_length = 1, max_length = 65_536, pattern = r"^[^\x00]*$"))]
    pub(super) prompt: Text,
}

impl Example for NewPrompt {
    fn example() -> Self {
        Self { prompt: "What is there to do before the move?".into() }
    }
}

/// A prompt.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
#[expect(clippy::struct_field_names, reason = "the contract names it so")]
pub(super) struct Prompt {
    /// Its id.
    pub(super) id: Uuid,
    /// The session that it is asked in.
    pub(super) session_id: Uuid,
    /// Whose session that is.
    pub(super) owner: Uuid,
    /// What is request.
    pub(super) prompt: String,
    /// How far it has come.
    pub(super) status: PromptStatus,
    /// How often it was claimed.
    pub(super) attempt: i32,
    /// When it was request.
    pub(super) created_at: OffsetDateTime,
    /// When its status changed.
    pub(super) updated_at: OffsetDateTime,
    /// When it ended.
    pub(super) completed_at: Option<OffsetDateTime>,
}

impl From<prompt::Model> for Prompt {
    fn from(row: prompt::Model) -> Self {
        Self {
            id: row.id,
            session_id: row.conversation_id,
            owner: row.owner,
            prompt: row.text,
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
            prompt: "What is there to do before the move?".to_owned(),
            status: PromptStatus::Processing,
            attempt: 1,
            created_at: example_time(),
            updated_at: example_time(),
            completed_at: None,
        }
    }
}

/// A change of a prompt's status that no other event tells: the data of a `status` event.
#[derive(Object)]
#[oai(example)]
pub(super) struct PromptStatusChange {
    /// What it became.
    pub(super) status: PromptStatus,
    /// How often it has been claimed.
    pub(super) attempt: i32,
    /// When.
    pub(super) at: OffsetDateTime,
}

impl Example for PromptStatusChange {
    fn example() -> Self {
        Self { status: PromptStatus::Processing, attempt: 1, at: example_time() }
    }
}

/// An event in a snapshot.
#[derive(Object)]
#[oai(example)]
pub(super) struct PromptEvent {
    /// Its cursor.
    pub(super) id: String,
    /// What happened.
    pub(super) kind: String,
    /// With what; the same JSON as in the stream.
    pub(super) data: Any<Value>,
    /// When.
    pub(super) at: OffsetDateTime,
}

impl Example for PromptEvent {
    fn example() -> Self {
        Self {
            id: "2f1a3b9c-42-5d8e01f7".to_owned(),
            kind: "message".to_owned(),
            data: Any(json!({ "text": "First, " })),
            at: example_time(),
        }
    }
}

/// The first event of a stream: the state at one moment, which its `id` names.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct PromptSnapshot {
    /// The prompt.
    pub(super) prompt: Prompt,
    /// The newest events until then, in order: at most 1,000, and 1 MiB of data.
    pub(super) events: Vec<PromptEvent>,
    /// Whether there were others before them. Those that are still kept are on the event page.
    pub(super) earlier: bool,
    /// Why the stream starts over: `unknown_cursor` (your cursor is not one of this stream's), `pruned`
    /// (the events after it are no longer kept) or `replaced` (the database was restored from a
    /// backup, and other events have the numbers of those that you saw). Drop what you have and begin
    /// with this state. Absent in every other snapshot.
    pub(super) reset: Option<crate::family::wire::ResetReason>,
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

/// What an agent asks for.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct ClaimPrompts {
    /// How long each claim is to hold; 60 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    pub(super) lease_seconds: Option<u32>,
    /// How many at most; 1 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    pub(super) max: Option<u64>,
    /// How long to wait when there is nothing to do, in seconds; 0 if absent. Work that comes through
    /// another gateway on the same database is found one heartbeat later at the latest.
    #[oai(validator(minimum(value = "0"), maximum(value = "60")))]
    pub(super) wait_seconds: Option<u64>,
}

impl Example for ClaimPrompts {
    fn example() -> Self {
        Self { lease_seconds: Some(60), max: Some(1), wait_seconds: Some(0) }
    }
}

/// A prompt under a lease.
#[derive(Object)]
#[oai(example)]
pub(super) struct ClaimedPrompt {
    /// The prompt.
    pub(super) prompt: Prompt,
    /// How often it has been claimed, this time included.
    pub(super) attempt: i32,
    /// To be shown with all that is published, as `Lease-Token`.
    pub(super) lease_token: Uuid,
    /// Until when the claim holds. After that the prompt is queued again, or, if anything was
    /// published, has failed.
    pub(super) lease_expires_at: OffsetDateTime,
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

/// The lease under which an agent works.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct PromptLease {
    /// The token of the claim.
    pub(super) lease_token: Uuid,
}

impl Example for PromptLease {
    fn example() -> Self {
        Self { lease_token: example_id() }
    }
}

/// A lease that goes on.
#[derive(Object)]
#[oai(example)]
pub(super) struct ExtendedPromptLease {
    /// Until when the claim holds now.
    pub(super) lease_expires_at: OffsetDateTime,
}

impl Example for ExtendedPromptLease {
    fn example() -> Self {
        Self { lease_expires_at: example_time() }
    }
}

/// How long a token is to be good.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct StreamTokenLife {
    /// How long the token is good for opening, in seconds; `tokens.stream_seconds` of the
    /// configuration if absent. A stream that is open stays open.
    #[oai(validator(minimum(value = "30"), maximum(value = "300")))]
    pub(super) ttl_seconds: Option<u64>,
}

impl Example for StreamTokenLife {
    fn example() -> Self {
        Self { ttl_seconds: Some(120) }
    }
}
