//! The accept loop.

mod disconnect;
mod early;
mod gate;
mod http;
mod limits;
mod machine;
mod protocol;
mod shutdown;
mod slow_readers;
mod timeouts;
mod tls;
