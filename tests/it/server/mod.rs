//! server

pub mod early;
pub mod gate;
pub mod leaving;
pub mod limit;
pub mod machine;
pub mod protocol;
pub mod shutdown;
pub mod tls;
pub mod unread;
pub mod waiting;
