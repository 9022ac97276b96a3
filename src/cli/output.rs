//! Standard output and standard error.

use std::{
    io::{ErrorKind, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longest wait for a reader of standard error at the end of the process.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes a line to standard output, for the user or for the program that started this one. The log goes to standard
/// error.
pub(crate) fn print_line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a line like [`print_line`]. It is not an error if the reader stops early (`| head`).
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match print_line(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Writes a line to standard error. Ignores errors, and waits at most [`LAST_WRITE_TIMEOUT`] for the reader.
pub(crate) fn print_error(text: String) {
    let (done, written) = mpsc::channel();
    thread::spawn(move || {
        let _ = writeln!(std::io::stderr(), "{text}");
        done.send(())
    });
    let _ = written.recv_timeout(LAST_WRITE_TIMEOUT);
}
