//! `/v1/oauth/...`: accounts at upstream providers.

mod link;
mod refresh;
mod refused;
mod work;
