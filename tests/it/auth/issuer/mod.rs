//! Access tokens of external issuers.

mod keys;
mod refused;
mod roles;
mod sessions;
mod users;
