//! Prompts: users create them in a conversation, agents publish the answers in parts, and the owners watch them.
//!
//! Agents publish events directly into the event log. One transaction writes the events of many agents. An event does
//! not change the row of the prompt, unless it is a transition. The event log accepts or refuses events when it writes
//! them. A claim fences the topic with the token of its lease, and the last event closes the topic. So no event follows
//! `cancelled`, and an agent that lost its lease cannot publish.

mod cancel;
mod claim;
mod create;
mod events;
mod idle;
mod lease;
mod list;
mod new_events;
mod orphans;
mod publish;
pub(super) mod publish_state;
mod release;
mod renew;
mod resource;
mod rows;
mod schema;
mod status;

pub use cancel::cancel;
pub use claim::claim;
pub use create::create;
pub use list::{find_in_conversation, get, list};
pub use new_events::{NewPromptEvent, NewPromptEvents};
pub use publish::publish;
pub use release::release;
pub use renew::renew;
pub use resource::PromptFamily;
pub use rows::topic;
pub use schema::{
    ClaimPrompts, ClaimedPrompt, NewPrompt, Prompt, PromptLease, PublishedEvents,
    RenewedPromptLease, StreamTokenOptions,
};
