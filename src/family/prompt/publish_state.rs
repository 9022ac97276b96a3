//! The right to publish events of a prompt.

use std::time::{Duration, Instant};

use entity::{Timestamp, prompt};
use sea_orm::{ColumnTrait, DerivePartialModel, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use super::status::is_terminal;
use crate::{
    clock::{Deadline, Reading},
    family::{FamilyError, LeaseLost, Result, queue::StoredLease},
    gateway::Gateway,
};

/// The columns of a prompt that decide whether a request may publish.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "prompt::Entity")]
pub(in crate::family) struct PublishState {
    conversation_id: Uuid,
    status: prompt::Status,
    lease_token: Option<Uuid>,
    lease_expires_at: Option<Timestamp>,
    lease_clock: Option<Uuid>,
    lease_seconds: i32,
}

/// The right of a request to publish.
#[derive(Clone, Copy)]
pub(super) enum PublishPermission {
    /// The prompt is queued. The first event makes it `processing`, and no agent can claim it any longer.
    First,
    /// The prompt is answered without a claim. The prompt is never queued again, so no agent can claim it.
    Unclaimed,
    /// The prompt is under this lease.
    Leased(PromptLease),
}

/// A lease that has not expired.
#[derive(Clone, Copy)]
pub(in crate::family) struct PromptLease {
    pub(super) token: Uuid,
    seconds: i32,
    left: Duration,
}

impl PromptLease {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.unsigned_abs().into())
    }

    /// Whether more than half of the lease has passed. Then publishing renews the lease. So the lease does not expire
    /// while the agent publishes, and most publish requests need no renewal.
    pub(super) fn is_half_over(&self) -> bool {
        self.left < self.length() / 2
    }

    /// Renews the lease for its full duration. Returns the new end, or [`LeaseLost::Superseded`] if the lease was lost
    /// in the meantime.
    pub(super) async fn renew(&self, gateway: &Gateway, id: Uuid) -> Result<Timestamp> {
        let Deadline { at: until, clock } = gateway.clock.read().deadline_in(self.length());
        let changed = prompt::Entity::update_many()
            .col_expr(prompt::Column::LeaseExpiresAt, Expr::value(until))
            .col_expr(prompt::Column::LeaseClock, Expr::value(clock))
            .filter(prompt::Column::Id.eq(id))
            .filter(prompt::Column::LeaseToken.eq(self.token))
            .exec(gateway.database.writer())
            .await?;
        if changed.rows_affected == 0 { Err(LeaseLost::Superseded.into()) } else { Ok(until) }
    }
}

impl PublishState {
    /// Reads the state of a prompt in this session. Only for agents, because the visibility is not checked.
    pub(super) async fn load(gateway: &Gateway, conversation: Uuid, id: Uuid) -> Result<Self> {
        let began = Instant::now();
        let query = prompt::Entity::find_by_id(id).into_partial_model::<Self>();
        let found = query.one(gateway.database.reader()).await;
        gateway.telemetry.looked_up("prompt", began.elapsed());
        // Under the path of another session, the prompt is not found.
        let found = found?.filter(|state| state.conversation_id == conversation);
        found.ok_or(FamilyError::NotFound)
    }

    /// The lease of the prompt.
    pub(super) fn lease(&self) -> StoredLease {
        StoredLease::new(self.lease_token, self.lease_expires_at, self.lease_clock)
    }

    /// The right of a request with this lease token to publish.
    pub(super) fn publish_permission(
        &self,
        token: Option<Uuid>,
        now: &Reading,
    ) -> Result<PublishPermission> {
        if is_terminal(self.status) {
            return Err(LeaseLost::Ended.into());
        }
        if token != self.lease_token {
            return Err(match token {
                Some(_) => LeaseLost::Superseded.into(),
                None => LeaseLost::TokenRequired.into(),
            });
        }
        let Some(token) = token else {
            let is_first = self.status == prompt::Status::Queued;
            return Ok(if is_first {
                PublishPermission::First
            } else {
                PublishPermission::Unclaimed
            });
        };
        match self.lease().time_left(now).filter(|left| !left.is_zero()) {
            Some(left) => Ok(PublishPermission::Leased(PromptLease {
                token,
                seconds: self.lease_seconds,
                left,
            })),
            None => Err(LeaseLost::Expired.into()),
        }
    }

    /// The lease of the prompt. Refuses a token that is not the token of this lease, and a lease that has expired.
    pub(in crate::family) fn check_lease(&self, token: Uuid, now: &Reading) -> Result<PromptLease> {
        match self.publish_permission(Some(token), now)? {
            PublishPermission::Leased(lease) => Ok(lease),
            PublishPermission::First | PublishPermission::Unclaimed => {
                Err(LeaseLost::Superseded.into())
            }
        }
    }
}

impl From<&prompt::Model> for PublishState {
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
