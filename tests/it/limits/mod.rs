//! Slots, quotas and limits of connections.

mod connections;
mod one_slot;
mod quotas;
mod refusals;
mod slots;
mod stalled_client;
