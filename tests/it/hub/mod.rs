//! Delivery: from a published event to the sockets of all subscribers.

mod catch_up;
mod delivery_paths;
mod order;
mod overflow;
mod publish;
mod slow_clients;
