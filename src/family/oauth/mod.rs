//! Grants at upstream OAuth providers, as families use them: resources that require one, access tokens for workers,
//! refreshes, and notifications for the user.

mod hand_out;
mod link;
mod notify;
mod refresh;
mod requirement;

pub use hand_out::{HandedOut, hand_out};
pub use link::{Linked, link, revoke_in_background, unlink};
pub use refresh::refresh_due;
pub use requirement::{check_new, check_topic, page_url, requires};
