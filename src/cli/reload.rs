//! Reloads the configuration on SIGHUP. Only `log.filter` takes effect. The server reloads the TLS certificate itself.
//! The log names the other changed keys, which need a restart.

use streamgate::{config::Values, telemetry::LogFilter};

use super::args::Settings;

/// The key that takes effect without a restart.
const LOG_FILTER: &str = "log.filter";

/// The configuration in use, and its sources.
pub(crate) struct Reload {
    pub settings: Settings,
    /// All values at the start.
    pub values: Values,
    /// The filter in use.
    pub log_filter: String,
    pub filter: LogFilter,
}

impl Reload {
    /// Reads the configuration again. An invalid configuration changes nothing.
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
            // Logged twice, because either filter may hide this line.
            tracing::info!(from = self.log_filter, to = new, "SIGHUP: log.filter: changing");
            self.filter.set(&new)?;
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
