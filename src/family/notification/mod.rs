//! Notifications: messages of agents, operators and administrators to a user. No other user may see them, not even an
//! administrator.
//!
//! All notifications of a user share one topic, which has the user's id.

mod create;
mod events;
mod list;
mod mark_read;
mod resource;
mod rows;
mod schema;
mod sweep;

pub use create::create;
pub use list::list;
pub use mark_read::mark_read;
pub use resource::NotificationFamily;
pub use rows::topic;
pub use schema::{NewNotification, Notification};
pub use sweep::delete_logs;
