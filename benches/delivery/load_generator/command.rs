//! Commands that the load generator reads from standard input, and its replies: one JSON text a line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{histogram::Times, publisher::Form, subscriber::Ready};

/// A command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Open streams in addition to those already open.
    Open(Open),
    /// Publish, and wait until every subscriber has received everything.
    Publish(Publish),
    /// Close all streams.
    Close,
}

/// The reply to a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Opened(Opened),
    Published(Published),
    Closed,
    Failed(String),
}

/// Streams to open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) address: SocketAddr,
    /// A file with lines `TOPIC TAB PATH TAB AUTHORIZATION`. The last field can be empty.
    pub(crate) streams: PathBuf,
    /// Lines to skip at the beginning of the file.
    pub(crate) skip: usize,
    pub(crate) count: usize,
    pub(crate) ready: Ready,
    /// Maximum number of streams that are being opened at the same time.
    pub(crate) in_flight: usize,
    /// Time limit for all of them.
    pub(crate) limit: Duration,
}

/// The result of [`Open`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) streams: usize,
    pub(crate) seconds: f64,
    /// Error of the first stream that failed.
    pub(crate) error: Option<String>,
    /// Share of the time in which the load generator was busy, 0 to 1.
    pub(crate) busy: f64,
}

/// Events to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// For [`Form::Events`], one line `PATH TAB AUTHORIZATION` per topic, used instead of `path`.
    /// Otherwise empty.
    pub(crate) paths: Vec<String>,
    pub(crate) form: Form,
    /// Number of requests.
    pub(crate) count: usize,
    /// Requests per second. If absent, each request is sent when an earlier one is acknowledged.
    pub(crate) per_second: Option<f64>,
    /// Maximum number of requests that wait for their responses at the same time.
    pub(crate) in_flight: usize,
    /// Request number `i` goes to topic `first_topic + i % topics`.
    pub(crate) first_topic: usize,
    pub(crate) topics: usize,
    /// Time limit for all requests and deliveries.
    pub(crate) limit: Duration,
}

/// The result of [`Publish`]. All times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Number of requests that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Time from the first request to the last acknowledgement.
    pub(crate) publish_seconds: f64,
    /// Number of deliveries.
    pub(crate) delivered: u64,
    /// Number of deliveries that were expected.
    pub(crate) expected: u64,
    /// Time from the first request to the last delivery.
    pub(crate) delivery_seconds: f64,
    /// Time from the moment at which the last request was due to the last delivery.
    pub(crate) lag: f64,
    /// Number of streams that have ended.
    pub(crate) ended: usize,
    /// Time from a request to a delivery.
    pub(crate) latency: Times,
    /// Time from the moment at which a request was due to its acknowledgement.
    pub(crate) publish_latency: Times,
    /// Share of the time in which the load generator was busy, 0 to 1.
    pub(crate) busy: f64,
    /// Error of the request that failed and ended the measurement.
    pub(crate) error: Option<String>,
}
