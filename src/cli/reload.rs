//! Reloads the configuration on SIGHUP. Only `log.filter` takes effect. The log names the other changed keys, which
//! need a restart. The server itself reloads the TLS certificate.

use streamgate::{config::Values, telemetry::LogFilter};

use super::args::Settings;

/// The only key that takes effect without a restart.
const LOG_FILTER: &str = "log.filter";

/// The configuration in use, and its sources.
pub(crate) struct Reload {
    pub settings: Settings,
    /// All values that were read at the start.
    pub values: Values,
    /// The value of `log.filter` in use.
    pub log_filter: String,
    pub filter: LogFilter,
}

impl Reload {
    /// Reads the configuration again. If it is not valid, nothing changes.
    pub fn run(&mut self) {
        if let Err(error) = self.try_run() {
            tracing::warn!("SIGHUP: the configuration was not reloaded: {error}");
        }
    }

    fn try_run(&mut self) -> anyhow::Result<()> {
        let (config, values) = self.settings.load_values()?;
        let new = config.log.filter;
        if new == self.log_filter {
            tracing::info!("SIGHUP: log.filter: unchanged");
        } else {
            // Logged before and after the change, because either filter may hide the line.
            tracing::info!(from = self.log_filter, to = new, "SIGHUP: log.filter: changing");
            self.filter.set(&new)?;
            tracing::info!(from = self.log_filter, to = new, "SIGHUP: log.filter: changed");
            self.log_filter = new;
        }
        let mut changed = self.values.changed(&values);
        changed.retain(|key| key != LOG_FILTER);
        if !changed.is_empty() {
            tracing::warn!("SIGHUP: changed keys that need a restart: {}", changed.join(", "));
        }
        Ok(())
    }
}
