//! Access tokens of external issuers.

mod keys;
mod refused;
mod revocation;
mod roles;
mod sessions;
mod users;
