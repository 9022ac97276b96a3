//! Notifications on the wire.

use entity::{Timestamp, notification};
use poem_openapi::{Object, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::family::{
    count_with_size,
    wire::{AnyObject, ResetReason, Text, example_id, example_object, example_time},
};

/// A notification to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
pub struct NewNotification {
    /// Kind of the notification: a dotted name of at most 64 characters, such as `oauth.refreshed` or `report.ready`.
    #[oai(validator(max_length = 64, pattern = r"^[a-z0-9_]+(\.[a-z0-9_]+)*$"))]
    pub kind: Text,
    /// Text for the user, 1 to 4,000 characters.
    #[oai(validator(min_length = 1, max_length = 4000, pattern = r"^[^\x00]*$"))]
    pub message: Text,
    /// The system that the notification is about, such as an OAuth provider: 1 to 64 characters.
    #[oai(validator(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub provider: Option<Text>,
    /// Whether the reported action succeeded. Absent if the notification reports no action.
    pub success: Option<bool>,
    /// Further data for programs, at most 16,384 bytes as JSON. The default is an empty object.
    pub data: Option<AnyObject>,
}

impl Example for NewNotification {
    fn example() -> Self {
        Self {
            kind: "oauth.refreshed".into(),
            message: "Your connection to GitHub was renewed.".into(),
            provider: Some("github".into()),
            success: Some(true),
            data: Some(example_object("expires_in", 28_800)),
        }
    }
}

/// A notification for a user. Also the data of `notification` and `notification.read` events.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Notification {
    /// Notification id. Later notifications have greater ids.
    pub id: Uuid,
    /// Id of the user that the notification is for.
    pub user_id: Uuid,
    /// Kind of the notification: a dotted name, such as `oauth.refreshed`.
    pub kind: String,
    /// Text for the user.
    pub message: String,
    /// The system that the notification is about, such as an OAuth provider. Absent if there is none.
    pub provider: Option<String>,
    /// Whether the reported action succeeded. Absent if the notification reports no action.
    pub success: Option<bool>,
    /// Further data for programs. Empty if there is none.
    pub data: AnyObject,
    /// Time of creation, UTC.
    pub created_at: OffsetDateTime,
    /// Time at which the user marked the notification as read, UTC. Absent before.
    pub read_at: Option<OffsetDateTime>,
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
            data: AnyObject(row.data),
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

/// The data of a `snapshot` event: the unread notifications after all events up to the event's `id`.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct NotificationSnapshot {
    /// Number of all unread notifications. Can be greater than the length of `notifications`.
    pub unread: u64,
    /// The newest unread notifications, newest first, at most 50, and those that fit into 500,000 bytes of JSON. If
    /// there are fewer than `unread`, the operation `List notifications` returns the others.
    pub notifications: Vec<Notification>,
    /// Reason why the stream starts over. Absent if it does not start over.
    pub reset: Option<ResetReason>,
}

impl Example for NotificationSnapshot {
    fn example() -> Self {
        let unread = Notification { read_at: None, ..Notification::example() };
        Self { unread: 1, notifications: vec![unread], reset: None }
    }
}

impl NotificationSnapshot {
    /// Leaves the oldest notifications out, so that at least `bytes` bytes are removed.
    pub(super) fn shorten(&mut self, bytes: usize) -> bool {
        let count = count_with_size(self.notifications.iter().rev(), bytes);
        self.notifications.truncate(self.notifications.len() - count);
        count > 0
    }
}

/// The data of a `notification.expired` event: unread notifications were deleted because they were older than the
/// retention.
#[derive(Object)]
#[oai(example)]
pub struct NotificationsExpired {
    /// Ids of the deleted unread notifications, 1 to 500.
    pub unread: Vec<Uuid>,
}

impl Example for NotificationsExpired {
    fn example() -> Self {
        Self { unread: vec![example_id()] }
    }
}
