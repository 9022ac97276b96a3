//! Conversations: users create prompts in them. On the wire, a conversation is called a session. A conversation belongs
//! to the user that created it. Only that user and administrators may see it.

mod create;
mod list;
mod orphans;
mod schema;

pub use create::create;
pub use list::{find, get, list};
pub use orphans::delete_orphans;
pub use schema::{Conversation, NewConversation};
