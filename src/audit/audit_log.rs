//! Writes, reads and prunes security events.

use std::{collections::VecDeque, fmt::Write, net::IpAddr};

use entity::{Timestamp, audit_event};
use parking_lot::Mutex;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, sea_query::OnConflict,
};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::kind::AuditKind;
use crate::{
    database::{Database, Failure},
    json,
};

/// Maximum number of events that a sweep keeps, of the kinds that callers can cause at any rate. Without a maximum they
/// could fill the disk. The log has all of them.
pub const MOST_KEPT: [(AuditKind, u64); 2] =
    [(AuditKind::LoginFailed, 100_000), (AuditKind::ToolCalled, 1_000_000)];

/// Maximum number of events that wait to be written in the background.
const MAX_WAITING: usize = 10_000;

/// The line of the log for an event that the database does not have.
const IN_LOG_ONLY: &str = "a security event is in this log only";

/// Maximum number of events in one transaction.
const BATCH: usize = 512;

/// Maximum number of events in one statement. A larger statement would keep a thread of the runtime busy for milliseconds,
/// and calls would wait for it.
const ROWS: usize = 32;

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
#[derive(Debug)]
pub struct AuditLog {
    database: Database,
    /// The events to write in the background, oldest first.
    waiting: Mutex<VecDeque<audit_event::Model>>,
    added: Notify,
}

impl AuditLog {
    /// The events in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, waiting: Mutex::default(), added: Notify::new() }
    }

    /// Records an event.
    pub async fn record(&self, event: AuditEvent) {
        let (kind, row) = log(event);
        if let Err(error) = row.into_active_model().insert(self.database.writer()).await {
            tracing::error!(%error, kind = kind.name(), "{IN_LOG_ONLY}");
        }
    }

    /// Records an event without waiting for the database. Many events are written in one transaction.
    pub fn record_in_background(&self, event: AuditEvent) {
        let (kind, row) = log(event);
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MAX_WAITING {
            tracing::error!(kind = kind.name(), "{IN_LOG_ONLY}");
            return;
        }
        waiting.push_back(row);
        self.added.notify_one();
    }

    /// Completes when an event waits to be written.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    /// Writes the events that wait. Those that are added meanwhile wait for the next call: under load, a few of them would
    /// need a transaction again and again. If the database fails, all go on waiting. An event that the database refuses is
    /// in the log only.
    pub async fn write_waiting(&self) -> Result<(), DbErr> {
        let mut left = self.waiting.lock().len();
        let mut batch_size = BATCH;
        while left > 0 {
            let next = batch_size.min(left);
            let batch: Vec<_> = self.waiting.lock().iter().take(next).cloned().collect();
            let (written, kind) = (batch.len(), batch.first().map(|row| row.kind.clone()));
            match self.insert(batch).await {
                Ok(()) => batch_size = BATCH,
                // One of them cannot be written. The others can.
                Err(error) if Failure::from_error(&error) == Failure::Refused && written > 1 => {
                    batch_size = 1;
                    continue;
                }
                Err(error) if Failure::from_error(&error) == Failure::Refused => {
                    tracing::error!(%error, kind, "{IN_LOG_ONLY}");
                }
                Err(error) => {
                    self.added.notify_one();
                    return Err(error);
                }
            }
            self.waiting.lock().drain(..written);
            left -= written;
        }
        Ok(())
    }

    /// Writes events. Those that are there already stay: a write can succeed although its caller learns nothing of it.
    async fn insert(&self, rows: Vec<audit_event::Model>) -> Result<(), DbErr> {
        let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
        let keep = OnConflict::column(audit_event::Column::Id).do_nothing().to_owned();
        let tx = self.database.begin_write().await?;
        while rows.peek().is_some() {
            let statement = audit_event::Entity::insert_many(rows.by_ref().take(ROWS));
            match statement.on_conflict(keep.clone()).exec_without_returning(&tx).await {
                Ok(_) | Err(DbErr::RecordNotInserted) => {}
                Err(error) => return Err(error),
            }
        }
        tx.commit().await
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

    /// Deletes the events from before `cutoff`, and those of the kinds in `most` beyond the newest of this number. Returns
    /// how many it has deleted.
    pub async fn prune(&self, cutoff: Timestamp, most: &[(AuditKind, u64)]) -> Result<u64, DbErr> {
        let old = audit_event::Entity::delete_many().filter(audit_event::Column::At.lt(cutoff));
        let mut deleted = old.exec(self.database.writer()).await?.rows_affected;
        for (kind, most) in most {
            let is_of_kind = audit_event::Column::Kind.eq(kind.name());
            let newest_beyond: Option<Uuid> = audit_event::Entity::find()
                .filter(is_of_kind.clone())
                .order_by_desc(audit_event::Column::Id)
                .offset(*most)
                .limit(1)
                .select_only()
                .column(audit_event::Column::Id)
                .into_tuple()
                .one(self.database.reader())
                .await?;
            let Some(newest_beyond) = newest_beyond else { continue };
            let beyond = audit_event::Entity::delete_many()
                .filter(is_of_kind)
                .filter(audit_event::Column::Id.lte(newest_beyond));
            deleted += beyond.exec(self.database.writer()).await?.rows_affected;
        }
        Ok(deleted)
    }
}

/// Writes the log line of an event. Returns its row.
fn log(event: AuditEvent) -> (AuditKind, audit_event::Model) {
    let AuditEvent { kind, user, actor, session, address, data } = event;
    let data = json::text(&data);
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
        data: data.into(),
    };
    (kind, row)
}

/// JSON in ASCII. A name can have characters that control a terminal, or that reverse the direction of a line.
fn ascii(data: &str) -> String {
    let mut text = String::with_capacity(data.len());
    for letter in data.chars() {
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
        let text = ascii(&data.to_string());
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), data);
    }
}
