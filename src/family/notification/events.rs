//! The events of the family.

use super::schema::{Notification, NotificationSnapshot, NotificationsExpired};
use crate::family::{EventKind, schema};

/// Every kind of event that a stream of notifications can send.
pub(super) const EVENTS: [EventKind; 4] = [
    EventKind {
        kind: "snapshot",
        description: "The unread notifications. The first event, unless the stream resumes after a \
                      cursor.",
        schema: schema::<NotificationSnapshot>,
    },
    EventKind {
        kind: "notification",
        description: "A new notification for the user. `kind` in the data names its subject.",
        schema: schema::<Notification>,
    },
    EventKind {
        kind: "notification.read",
        description: "A notification was marked as read. The number of unread notifications falls by \
                      one.",
        schema: schema::<Notification>,
    },
    EventKind {
        kind: "notification.expired",
        description: "Unread notifications were deleted because they were older than the retention.",
        schema: schema::<NotificationsExpired>,
    },
];
