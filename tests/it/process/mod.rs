//! process

pub mod command;
pub mod crash;
pub mod demo;
pub mod faults;
pub mod lock;
pub mod log;
pub mod reload;
pub mod shutdown;
pub mod signals;
pub mod start;
pub mod unread;
