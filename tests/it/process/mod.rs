//! The program as a separate process.

mod command;
mod crash;
mod demo;
mod faults;
mod lines;
mod lock;
mod log;
mod output;
mod reload;
mod resume;
mod shutdown;
mod signals;
mod start;
