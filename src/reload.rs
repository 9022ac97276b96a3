//! What SIGHUP reads again while the service runs: the log filter, here, and the TLS certificate, in
//! the server. Everything else needs a restart, and is named in the log if it has changed.

use streamgate::{config::Values, telemetry::Logging};

use super::Settings;

/// The one key that takes effect without a restart.
const LOG_FILTER: &str = "log.filter";

/// What is in force, and where it came from.
pub(crate) struct Reload {
    pub settings: Settings,
    /// As they were at the start.
    pub values: Values,
    /// As it is now.
    pub log_filter: String,
    pub logging: Logging,
}

impl Reload {
    /// Reads the configuration again. One that cannot be used changes nothing.
    pub fn run(&mut self) {
        if let Err(error) = self.try_run() {
            tracing::warn!("SIGHUP: the configuration stays as it is: {error}");
        }
    }

    fn try_run(&mut self) -> anyhow::Result<()> {
        let (config, values) = self.settings.load_values()?;
        let new = config.log.filter;
        if new == self.log_filter {
            tracing::info!("SIGHUP: log.filter: unchanged");
        } else {
            // Before and after: either filter may let no such line through.
            tracing::info!(from = self.log_filter, to = new, "SIGHUP: log.filter: changing");
            self.logging.set_filter(&new)?;
            tracing::info!(from = self.log_filter, to = new, "SIGHUP: log.filter: changed");
            self.log_filter = new;
        }
        let mut changed = self.values.changed(&values);
        changed.retain(|key| key != LOG_FILTER);
        if !changed.is_empty() {
            tracing::warn!("SIGHUP: changed, and in force after a restart: {}", changed.join(", "));
        }
        Ok(())
    }
}
