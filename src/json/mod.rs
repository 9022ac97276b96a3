//! JSON that the gateway relays, and the one pass that checks it.

mod error;
mod parse;
mod relay;

pub use error::JsonError;
pub use parse::{MAX_DEPTH, parse};
pub use relay::{Relayed, embed, is_embedded, is_integer, text, without_embedded};
