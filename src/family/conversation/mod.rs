//! Conversations: users create prompts in them. On the wire they are called sessions. A conversation belongs to the user
//! that created it, and is visible to that user and to administrators.

mod create;
mod list;
mod orphans;
mod schema;

pub use create::create;
pub use list::{find, get, list};
pub use orphans::delete_orphans;
pub use schema::{NewSession, Session};
