//! Two gateways on one database.

mod events;
mod sessions;
