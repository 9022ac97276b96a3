//! The program `streamgate`.

mod cli;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;

use cli::{Cli, complain, execute};

/// jemalloc returns free memory to the system. glibc keeps nearly all of it after thousands of connections have closed.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = Runtime::new().context("cannot start the runtime").and_then(|runtime| {
        let done = runtime.block_on(execute(command));
        // Does not wait for blocking tasks: one may read a file from a mount that hangs.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format!("streamgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
