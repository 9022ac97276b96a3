//! The program `streamgate`: runs one command of the command line.

mod cli;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;

use cli::{Cli, execute, print_error};

/// When thousands of connections have closed, jemalloc returns free memory to the system. glibc keeps nearly all of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = Runtime::new().context("cannot start the runtime").and_then(|runtime| {
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
