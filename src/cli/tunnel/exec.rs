//! Starts the command of an MCP server so that it cannot outlive this program.

use std::{convert::Infallible, os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use rustix::process::{Signal, set_parent_process_death_signal};

/// Replaces this process by the command. The kernel ends the command when the program that started it is gone, even by
/// SIGKILL.
pub(crate) fn exec(command: &[String]) -> anyhow::Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie the command to this program")?;
    let (program, arguments) = command.split_first().context("no command")?;
    Err(Command::new(program).args(arguments).exec()).context(format!("cannot start {program}"))
}
