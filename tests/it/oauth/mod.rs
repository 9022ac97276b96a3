//! `/v1/oauth/...`: accounts at upstream providers.

mod crash;
mod link;
mod races;
mod refresh;
mod refused;
mod work;
