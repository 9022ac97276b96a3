//! Writes, reads and prunes security events.

use std::net::IpAddr;

use entity::{Timestamp, audit_event};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::Value;
use uuid::Uuid;

use super::kind::AuditKind;
use crate::database::Database;

/// A security event to record.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Kind.
    pub kind: AuditKind,
    /// The user that the event is about.
    pub user: Option<Uuid>,
    /// The user that caused the event.
    pub actor: Option<Uuid>,
    /// The login session of the caller.
    pub session: Option<Uuid>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// Further values, as a JSON object. Never a secret.
    pub data: Value,
}

/// The events to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only events of this kind.
    pub kind: Option<String>,
    /// Only events about this user.
    pub user: Option<Uuid>,
    /// Only events before the one with this id.
    pub before: Option<Uuid>,
}

/// The security events in the database.
#[derive(Clone, Debug)]
pub struct AuditLog {
    database: Database,
}

impl AuditLog {
    /// The events in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Records an event.
    pub async fn record(&self, event: AuditEvent) {
        let AuditEvent { kind, user, actor, session, address, data } = event;
        let text = |id: Option<Uuid>| id.map(tracing::field::display);
        // The line also has the address and the user of the request, from its span.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    target: "streamgate::security",
                    kind = kind.name(),
                    target_user = text(user),
                    actor = text(actor),
                    session = text(session),
                    %data,
                    "security event"
                )
            };
        }
        if kind.is_alarming() {
            log!(warn);
        } else {
            log!(info);
        }
        let row = audit_event::Model {
            id: Uuid::now_v7(),
            at: Timestamp::now(),
            kind: kind.name().to_owned(),
            user_id: user,
            actor_id: actor,
            session_id: session,
            address: address.map(|address| address.to_string()),
            data: data.to_string().into(),
        };
        if let Err(error) = row.into_active_model().insert(self.database.writer()).await {
            tracing::error!(%error, kind = kind.name(), "a security event is in this log only");
        }
    }

    /// Up to `limit` events, newest first.
    pub async fn list(
        &self,
        filter: AuditFilter,
        limit: u64,
    ) -> Result<Vec<audit_event::Model>, DbErr> {
        let AuditFilter { kind, user, before } = filter;
        let condition = Condition::all()
            .add_option(kind.map(|kind| audit_event::Column::Kind.eq(kind)))
            .add_option(user.map(|user| audit_event::Column::UserId.eq(user)))
            .add_option(before.map(|before| audit_event::Column::Id.lt(before)));
        audit_event::Entity::find()
            .filter(condition)
            .order_by_desc(audit_event::Column::Id)
            .limit(limit)
            .all(self.database.reader())
            .await
    }

    /// Deletes the events from before `cutoff`. Returns their number.
    pub async fn prune(&self, cutoff: Timestamp) -> Result<u64, DbErr> {
        let old = audit_event::Entity::delete_many().filter(audit_event::Column::At.lt(cutoff));
        Ok(old.exec(self.database.writer()).await?.rows_affected)
    }
}
