//! Wire types that several families share, and tools with which a family defines its own wire types.

mod example;
mod json;
mod json_rpc;

mod page;
mod reset_reason;
mod text;
mod wire_enum;

pub use example::{example_id, example_object, example_time};
pub use json::{AnyJson, AnyObject, json_object, json_value};
pub use json_rpc::Message;
pub use page::{PAGE_BYTES, Page, page_limit};
pub use reset_reason::ResetReason;
pub use text::Text;
pub(crate) use wire_enum::wire_enum;
