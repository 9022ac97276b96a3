//! Captures log lines.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use streamgate::telemetry::json_lines;
use tracing_subscriber::{
    filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Captures log lines.
#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures the log of this thread. The server also runs on this thread.
    pub fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let lines = json_lines(move || log.clone());
        tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).set_default()
    }

    /// The captured lines.
    pub fn lines(&self) -> Vec<Value> {
        let log = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8");
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
