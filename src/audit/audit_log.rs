//! Writes, reads and prunes security events.

use std::{fmt::Write, net::IpAddr};

use entity::{Timestamp, audit_event};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::Value;
use uuid::Uuid;

use super::kind::AuditKind;
use crate::database::Database;

/// Maximum number of refused logins that a sweep keeps. Callers without a credential cause these events, so without a
/// maximum they could fill the disk. The log has all of them.
pub const MAX_REFUSED_LOGINS: u64 = 100_000;

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
        let shown = ascii(&data);
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
                    data = shown,
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

    /// Deletes the events from before `cutoff`, and refused logins beyond the newest `refused_logins`. Returns their number.
    pub async fn prune(&self, cutoff: Timestamp, refused_logins: u64) -> Result<u64, DbErr> {
        let old = audit_event::Entity::delete_many().filter(audit_event::Column::At.lt(cutoff));
        let old = old.exec(self.database.writer()).await?.rows_affected;
        let is_refused = audit_event::Column::Kind.eq(AuditKind::LoginFailed.name());
        let newest_beyond: Option<Uuid> = audit_event::Entity::find()
            .filter(is_refused.clone())
            .order_by_desc(audit_event::Column::Id)
            .offset(refused_logins)
            .limit(1)
            .select_only()
            .column(audit_event::Column::Id)
            .into_tuple()
            .one(self.database.reader())
            .await?;
        let Some(newest_beyond) = newest_beyond else { return Ok(old) };
        let beyond = audit_event::Entity::delete_many()
            .filter(is_refused)
            .filter(audit_event::Column::Id.lte(newest_beyond));
        Ok(old + beyond.exec(self.database.writer()).await?.rows_affected)
    }
}

/// JSON in ASCII. A name can have characters that control a terminal, or that reverse the direction of a line.
fn ascii(data: &Value) -> String {
    let mut text = String::new();
    for letter in data.to_string().chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_in_the_log_is_ascii_json() {
        let data = json!({ "name": "a\u{9b}31m\u{202e}\u{1f600}é\n" });
        let text = ascii(&data);
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), data);
    }
}
