//! The program `streamgate`: runs one command of the command line.

mod cli;

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use cli::{Cli, Command, execute, print_error};

/// When thousands of connections have closed, jemalloc returns free memory to the system. glibc keeps nearly all of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A runtime on all cores, or on one thread for the tunnel client: it only passes messages on, and would lose more time
/// with the wake-up of other threads than it gains.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::Tunnel(_) => Builder::new_current_thread().enable_all().build(),
        _ => Runtime::new(),
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = runtime(&command).context("cannot start the runtime").and_then(|runtime| {
        let done = runtime.block_on(execute(command));
        // Does not wait for blocking tasks, because a task may read a file from a mount that hangs.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format!("streamgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
