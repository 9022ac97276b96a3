//! Every `GET <resource>/stream`: its bytes, its cursors and its lifetime, tested on topologies.

mod bytes;
mod expiring;
mod heartbeats;
mod lifetime;
mod longest_line;
mod resume;
