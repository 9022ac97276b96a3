//! The command line and its commands.

mod args;
mod demo;
mod execute;
mod output;
mod reload;
mod serve;
mod signals;
mod tunnel;
mod user;

pub(crate) use args::{Cli, Command};
pub(crate) use execute::execute;
pub(crate) use output::print_error;
