//! The servers that are compared: how each is started, subscribed to and published to.

mod kind;
mod packages;
mod server;

pub(crate) use self::{
    kind::{Credential, Peer},
    packages::{nchan_version, pushpin_version},
    server::{Latency, Server, own_path},
};
