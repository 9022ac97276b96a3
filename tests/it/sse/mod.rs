//! Every `GET <resource>/stream`: its bytes, its cursors and its life, tried on topologies.

mod bytes;
mod heartbeats;
mod lifetime;
mod resume;
