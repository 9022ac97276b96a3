//! streamgate itself, with a second listener through which the benchmark publishes and gets tokens.
//!
//! The streams pass through the whole gateway: authentication, limits, visibility, snapshot. Events published with
//! `/publish` skip the database, because the benchmark measures what follows the commit. Events published with
//! `/durable` are committed. Agents publish on prompts over the API.

mod auth;
mod control;
mod rows;
mod serve;
mod upstream;
mod variant;

pub(crate) use self::{
    rows::TOPICS,
    serve::serve,
    variant::{OAUTH, POSTGRES, REACTORS, VARIANTS, postgres_url},
};
