//! Notifications on the wire.

use std::collections::BTreeMap;

use entity::{Timestamp, notification};
use poem_openapi::{Object, types::Example};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::{example_id, example_time, text::Text};

/// Something to tell a user.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub(super) struct NewNotification {
    /// About what: a dotted name, such as `oauth.refreshed` or `report.ready`.
    #[oai(validator(max_length = 64, pattern = r"^[a-z0-9_]+(\.[a-z0-9_]+)*$"))]
    pub(super) kind: Text,
    /// In words.
    #[oai(validator(min_length = 1, max_length = 4000, pattern = r"^[^\x00]*$"))]
    pub(super) message: Text,
    /// Whose doing it was, such as the name of an OAuth provider.
    #[oai(validator(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub(super) provider: Option<Text>,
    /// Whether it went well, if it could have gone otherwise.
    pub(super) success: Option<bool>,
    /// Whatever else there is to know; at most 16,384 bytes as JSON.
    pub(super) data: Option<BTreeMap<String, Value>>,
}

impl Example for NewNotification {
    fn example() -> Self {
        Self {
            kind: "oauth.refreshed".into(),
            message: "Your connection to GitHub was renewed.".into(),
            provider: Some("github".into()),
            success: Some(true),
            data: Some(BTreeMap::from([("expires_in".to_owned(), Value::from(28_800))])),
        }
    }
}

/// Something that a user was told; also the data of `notification` and `notification.read` events.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct Notification {
    /// Its id. Later ones have greater ids.
    pub(super) id: Uuid,
    /// Who is told.
    pub(super) user_id: Uuid,
    /// About what.
    pub(super) kind: String,
    /// In words.
    pub(super) message: String,
    /// Whose doing it was.
    pub(super) provider: Option<String>,
    /// Whether it went well.
    pub(super) success: Option<bool>,
    /// Whatever else there is to know.
    pub(super) data: BTreeMap<String, Value>,
    /// When it was made.
    pub(super) created_at: OffsetDateTime,
    /// When it was marked as read; absent as long as it was not.
    pub(super) read_at: Option<OffsetDateTime>,
}

impl From<notification::Model> for Notification {
    fn from(row: notification::Model) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind,
            message: row.message,
            provider: row.provider,
            success: row.success,
            data: row.data.members().into_iter().collect(),
            created_at: row.created_at.datetime(),
            read_at: row.read_at.map(Timestamp::datetime),
        }
    }
}

impl Example for Notification {
    fn example() -> Self {
        let new = NewNotification::example();
        Self {
            id: example_id(),
            user_id: example_id(),
            kind: new.kind.0,
            message: new.message.0,
            provider: new.provider.map(|provider| provider.0),
            success: new.success,
            data: new.data.unwrap_or_default(),
            created_at: example_time(),
            read_at: Some(example_time()),
        }
    }
}

/// The first event of a stream: the state at one moment, which its `id` names.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct NotificationSnapshot {
    /// How many are not read.
    pub(super) unread: u64,
    /// The newest of those, newest first, 50 at most.
    pub(super) notifications: Vec<Notification>,
    /// Why the stream starts over: `unknown_cursor` (your cursor is not one of this stream's), `pruned`
    /// (the events after it are no longer kept) or `replaced` (the database was restored from a
    /// backup, and other events have the numbers of those that you saw). Drop what you have and begin
    /// with this state. Absent in every other snapshot.
    pub(super) reset: Option<String>,
}

impl Example for NotificationSnapshot {
    fn example() -> Self {
        let unread = Notification { read_at: None, ..Notification::example() };
        Self { unread: 1, notifications: vec![unread], reset: None }
    }
}

/// What is no longer kept.
#[derive(Object)]
#[oai(example)]
pub(super) struct NotificationsExpired {
    /// The ids of those that were not read, 500 at most.
    pub(super) unread: Vec<Uuid>,
}

impl Example for NotificationsExpired {
    fn example() -> Self {
        Self { unread: vec![example_id()] }
    }
}
