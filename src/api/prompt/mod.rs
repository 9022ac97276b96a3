//! Prompts: asked by anybody who is logged in, in a conversation of theirs, answered by agents word
//! by word, and watched by who request.
//!
//! What an agent says goes straight into the prompt's event log, many agents' in one transaction, and
//! no row is touched for it; only a change of status is. Whose words count is decided by the log at
//! the time of writing: a claim fences the topic with its lease's token, and the last event closes
//! it. So nothing follows a `cancelled`, and nobody is interrupted by an agent that has lost its
//! lease.

mod agent;
mod idle;
mod lease;
mod operations;
mod orphan;
mod publish;
mod rows;
mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use entity::prompt;
use poem_openapi::types::Any;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;
use uuid::Uuid;

use super::family::{Resources, State};
use crate::{
    database::Transaction,
    event::{Event, Family, Topic},
    event_log::{EventLog, Most, Retention},
    family::EventKind,
    gateway::Gateway,
    visibility::Resource,
};

pub(super) use agent::Agents;
pub(crate) use operations::Prompts;

use rows::has_ended;
use schema::{PromptEvent, PromptSnapshot, PromptStatusChange};

/// What was said so far in a snapshot, at most: so much that who comes late has the text of most
/// answers.
const SNAPSHOT: Most = Most { events: 1_000, bytes: 1 << 20 };

/// A kind of event with whatever data its publisher gave it.
const fn published(kind: &'static str, description: &'static str) -> EventKind {
    EventKind { kind, description, schema: crate::family::schema::<Any<Value>> }
}

/// The events of this family.
const EVENTS: [EventKind; 9] = [
    EventKind {
        kind: "snapshot",
        description: "The present state and what was said so far: first, unless a cursor could be \
                      resumed from.",
        schema: crate::family::schema::<PromptSnapshot>,
    },
    EventKind {
        kind: "status",
        description: "An agent has claimed the prompt, or has given it back unanswered. Every other \
                      change is told by an event of its own: the first one that is published makes \
                      a queued prompt `processing`, the last one ends it.",
        schema: crate::family::schema::<PromptStatusChange>,
    },
    published("message", "A part of the answer."),
    published("tool_use", "The agent uses a tool."),
    published("tool_result", "What the tool gave."),
    published("usage", "What it cost."),
    published("complete", "The answer is complete: `completed`. The stream ends."),
    published("cancelled", "The prompt is no longer wanted: `cancelled`. The stream ends."),
    published("error", "The prompt was given up: `failed`. The stream ends."),
];

#[async_trait]
impl Resources for Prompts {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(&self, gateway: &Gateway, id: Uuid) -> Result<Option<Resource>, DbErr> {
        let found: Option<(Uuid, Uuid)> = prompt::Entity::find_by_id(id)
            .select_only()
            .columns([prompt::Column::Owner, prompt::Column::ConversationId])
            .into_tuple()
            .one(gateway.database.reader())
            .await?;
        Ok(found.map(|(owner, conversation)| resource(owner, conversation)))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<crate::family::wire::ResetReason>,
    ) -> Result<Option<State>, DbErr> {
        let Some(row) = prompt::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let (events, earlier) = EventLog::newest(tx, &topic(id), SNAPSHOT).await?;
        let terminal = has_ended(row.status);
        let snapshot = PromptSnapshot {
            prompt: row.into(),
            events: events.iter().map(told).collect::<Result<_, _>>()?,
            earlier,
            reset,
        };
        Ok(Some(State::new(&snapshot, terminal)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> Result<bool, DbErr> {
        let ids = prompt::Column::Id.is_in(ids.iter().copied());
        prompt::Entity::delete_many().filter(ids).exec(tx).await?;
        Ok(true)
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> crate::family::Result<()> {
        Ok(orphan::cancel(gateway).await?)
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, _: Retention) -> crate::family::Result<()> {
        idle::end(gateway).await
    }

    async fn end_expired_leases(&self, gateway: &Gateway) -> crate::family::Result<()> {
        lease::end_expired(gateway).await
    }
}

fn told(event: &Event) -> Result<PromptEvent, DbErr> {
    let data = serde_json::from_str(&event.data).map_err(|error| DbErr::Json(error.to_string()))?;
    Ok(PromptEvent {
        id: event.cursor.to_string(),
        kind: event.kind.clone(),
        data: Any(data),
        at: event.at.datetime(),
    })
}

/// The topic of a prompt.
fn topic(id: Uuid) -> Topic {
    Topic::new(Family::Prompt, id)
}

/// A prompt in a conversation.
fn resource(owner: Uuid, conversation: Uuid) -> Resource {
    Resource { parent: Some(conversation), ..Resource::of(owner) }
}
