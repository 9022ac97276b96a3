//! The metrics of the process, under the names that all Prometheus clients use.

use std::fmt;

use procfs::{
    ProcResult,
    process::{LimitValue, Process},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Reads the metrics from `/proc` when they are rendered. If `/proc` cannot be read, there are none.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

/// The values at one time.
struct Sample {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_descriptors: u64,
    max_descriptors: f64,
    threads: i64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "a process does not live for 2^53 clock ticks")]
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
        Ok(Self {
            cpu_seconds: seconds(stat.utime + stat.stime),
            start_seconds: procfs::boot_time_secs()? as f64 + seconds(stat.starttime),
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            open_descriptors: process.fd_count()? as u64,
            max_descriptors: match process.limits()?.max_open_files.soft_limit {
                LimitValue::Unlimited => f64::INFINITY,
                LimitValue::Value(limit) => limit as f64,
            },
            threads: stat.num_threads,
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(sample) = Sample::read() else { return Ok(()) };
        let mut metric = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let cpu = ConstCounter::new(sample.cpu_seconds);
        metric("process_cpu", "Total user and system CPU time spent", seconds, &cpu)?;
        let start = ConstGauge::new(sample.start_seconds);
        let help = "Unix time at which the process started";
        metric("process_start_time", help, seconds, &start)?;
        let resident = ConstGauge::new(sample.resident_bytes);
        metric("process_resident_memory", "Resident memory size", bytes, &resident)?;
        let virtual_size = ConstGauge::new(sample.virtual_bytes);
        metric("process_virtual_memory", "Virtual memory size", bytes, &virtual_size)?;
        let open = ConstGauge::new(sample.open_descriptors);
        metric("process_open_fds", "Number of open file descriptors", None, &open)?;
        let max = ConstGauge::new(sample.max_descriptors);
        metric("process_max_fds", "Maximum number of open file descriptors", None, &max)?;
        let threads = ConstGauge::new(sample.threads);
        metric("process_threads", "Number of threads", None, &threads)
    }
}
