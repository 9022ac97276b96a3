//! support

pub mod app;
pub mod process;
pub mod rebuilt;
pub mod sse;
pub mod time;
