//! The command loop of the load generator.

use std::{
    io::{Write, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use super::{
    command::{Command, Reply},
    generator::LoadGenerator,
};

/// Executes commands from standard input until the input ends.
pub(crate) fn run() -> anyhow::Result<()> {
    let (sender, lines) = mpsc::channel();
    let stopped = Arc::new(AtomicBool::new(false));
    let is_stopped = Arc::clone(&stopped);
    // Read in a thread, so that the end of input also ends a command that is being executed.
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        is_stopped.store(true, Ordering::Relaxed);
    });
    let mut generator = LoadGenerator::new(stopped)?;
    for line in lines {
        let reply = match serde_json::from_str(&line)? {
            Command::Open(open) => generator.open(&open).map(Reply::Opened),
            Command::Publish(publish) => generator.publish(&publish).map(Reply::Published),
            Command::Close => {
                generator.subscribers.clear();
                Ok(Reply::Closed)
            }
        };
        let reply = reply.unwrap_or_else(|error| Reply::Failed(format!("{error:#}")));
        writeln!(stdout(), "{}", serde_json::to_string(&reply)?)?;
    }
    Ok(())
}
