//! Prompts: users create them in a conversation, agents answer them piece by piece, and their owners watch.
//!
//! Events of an answer go straight into the prompt's event log, those of many agents in one transaction. They touch no
//! row of the prompt; only a transition does. The event log decides at the time of writing whether events are accepted.
//! A claim fences the topic with the token of its lease, and the last event closes it. So no event follows a
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
mod publish_state;
mod release;
mod renew;
mod resource;
mod rows;
mod schema;
mod status;

pub use cancel::cancel;
pub use claim::claim;
pub use create::create;
pub use list::{find_in_session, get, list};
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
