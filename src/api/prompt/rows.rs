//! Prompts' rows: finding and locking them, their changes of status, who may publish.

use std::time::{Duration, Instant};

use entity::{Timestamp, prompt};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, DerivePartialModel, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::{schema::PromptStatusChange, topic};
use crate::{
    api::{
        family::{self, new_event},
        problem::{Problem, Result},
    },
    auth::login_session::Principal,
    clock::{Deadline, Reading},
    database::Transaction,
    event::{NewEvent, Topic},
    event_log::Refused,
    gateway::Gateway,
};

/// Whether nothing can happen to a prompt of this status.
pub(super) fn has_ended(status: prompt::Status) -> bool {
    !UNFINISHED.contains(&status)
}

/// The statuses of prompts that have not ended.
pub(super) const UNFINISHED: [prompt::Status; 2] =
    [prompt::Status::Queued, prompt::Status::Processing];

/// A prompt that is asked for under another session's path is not there.
fn is_in(conversation: Option<Uuid>, session: Uuid) -> Result<()> {
    if conversation == Some(session) { Ok(()) } else { Err(Problem::not_found()) }
}

/// The topic of a prompt that this caller may see in this session, or 404.
pub(super) async fn seen(
    gateway: &Gateway,
    principal: &Principal,
    session: Uuid,
    id: Uuid,
) -> Result<Topic> {
    let topic = topic(id);
    let resource = family::exists(gateway, principal, &topic).await?;
    is_in(resource.parent, session)?;
    Ok(topic)
}

/// What decides who may publish.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "prompt::Entity")]
pub(super) struct Standing {
    conversation_id: Uuid,
    status: prompt::Status,
    lease_token: Option<Uuid>,
    lease_expires_at: Option<Timestamp>,
    lease_clock: Option<Uuid>,
    lease_seconds: i32,
}

/// In which way somebody may publish.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// As the first: with that the prompt is being processed, by whoever publishes.
    First,
    /// Nobody has claimed it, and nobody can any more: what is processed without a lease is never
    /// queued again.
    Open,
    /// Under a lease.
    Under(Lease),
}

/// A lease that holds.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) token: Uuid,
    seconds: i32,
    left: Duration,
}

impl Lease {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.unsigned_abs().into())
    }

    /// Whether it is time to extend it: seldom enough to be no burden, early enough to be in time.
    pub(super) fn is_half_over(&self) -> bool {
        self.left < self.length() / 2
    }

    /// Extends it by its length from now, unless it has been lost meanwhile. Returns until when it
    /// holds.
    pub(super) async fn extend(&self, gateway: &Gateway, id: Uuid) -> Result<Timestamp> {
        let Deadline { at: until, clock } = gateway.clock.read().after(self.length());
        let changed = prompt::Entity::update_many()
            .col_expr(prompt::Column::LeaseExpiresAt, Expr::value(until))
            .col_expr(prompt::Column::LeaseClock, Expr::value(clock))
            .filter(prompt::Column::Id.eq(id))
            .filter(prompt::Column::LeaseToken.eq(self.token))
            .exec(gateway.database.writer())
            .await?;
        if changed.rows_affected == 0 { Err(Refused::Fenced.into()) } else { Ok(until) }
    }
}

impl Standing {
    /// How the prompt of this session stands, or 404. For agents, who see all prompts.
    pub(super) async fn of(gateway: &Gateway, session: Uuid, id: Uuid) -> Result<Self> {
        let began = Instant::now();
        let query = prompt::Entity::find_by_id(id).into_partial_model::<Self>();
        let found = query.one(gateway.database.reader()).await;
        gateway.telemetry.looked_up("prompt", began.elapsed());
        let standing = found?.ok_or_else(Problem::not_found)?;
        is_in(Some(standing.conversation_id), session)?;
        Ok(standing)
    }

    /// How long its lease still holds, if it is under one.
    pub(super) fn left(&self, now: &Reading) -> Option<Duration> {
        self.lease_expires_at.map(|at| now.left(Deadline { at, clock: self.lease_clock }))
    }

    /// How who shows this token may publish; 409 if not at all.
    pub(super) fn admit(&self, token: Option<Uuid>, now: &Reading) -> Result<Way> {
        if has_ended(self.status) {
            return Err(Refused::Closed.into());
        }
        if token != self.lease_token {
            return Err(match token {
                Some(_) => Refused::Fenced.into(),
                None => Problem::conflict("it is claimed: only its newest lease's token will do"),
            });
        }
        let Some(token) = token else {
            let is_first = self.status == prompt::Status::Queued;
            return Ok(if is_first { Way::First } else { Way::Open });
        };
        match self.left(now).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Way::Under(Lease { token, seconds: self.lease_seconds, left })),
            None => Err(Problem::conflict("the lease has run out")),
        }
    }

    /// The same where only a lease will do.
    pub(super) fn lease(&self, token: Uuid, now: &Reading) -> Result<Lease> {
        match self.admit(Some(token), now)? {
            Way::Under(lease) => Ok(lease),
            Way::First | Way::Open => Err(Refused::Fenced.into()),
        }
    }
}

impl From<&prompt::Model> for Standing {
    fn from(row: &prompt::Model) -> Self {
        Self {
            conversation_id: row.conversation_id,
            status: row.status,
            lease_token: row.lease_token,
            lease_expires_at: row.lease_expires_at,
            lease_clock: row.lease_clock,
            lease_seconds: row.lease_seconds,
        }
    }
}

/// The prompt, locked until the transaction ends, or 404. Everything that changes its status locks
/// the row first and then the log, so no two changes can block each other.
pub(super) async fn lock(tx: &Transaction, id: Uuid) -> Result<prompt::Model> {
    let row = prompt::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    row.ok_or_else(Problem::not_found)
}

/// Those that wait, oldest first.
pub(super) fn queued() -> sea_orm::Select<prompt::Entity> {
    prompt::Entity::find()
        .filter(prompt::Column::Status.eq(prompt::Status::Queued))
        .order_by_asc(prompt::Column::Id)
}

/// A locked prompt in another status, without a lease.
pub(super) fn in_status(row: prompt::Model, status: prompt::Status) -> prompt::ActiveModel {
    let now = Timestamp::now();
    let mut change = row.into_active_model();
    change.status = Set(status);
    change.updated_at = Set(now);
    change.completed_at = Set(has_ended(status).then_some(now));
    change.lease_token = Set(None);
    change.lease_expires_at = Set(None);
    change
}

/// The event that tells of a change of status that no other event tells of.
pub(super) fn status_event(row: &prompt::Model) -> Result<NewEvent> {
    let change = PromptStatusChange {
        status: row.status.into(),
        attempt: row.attempt,
        at: row.updated_at.datetime(),
    };
    Ok(new_event("status", &change)?)
}

/// Takes a locked prompt's lease back: whoever held it cannot publish any more. Returns whether it has
/// published anything.
pub(super) async fn revoke(
    gateway: &Gateway,
    tx: &Transaction,
    row: &prompt::Model,
) -> std::result::Result<bool, DbErr> {
    let (log, topic) = (gateway.hub.log(), topic(row.id));
    // First, because it locks the log: nothing is added to it from here on.
    log.fence(tx, &topic, None).await?;
    Ok(log.position(tx, &topic).await?.seq > row.claim_seq)
}
