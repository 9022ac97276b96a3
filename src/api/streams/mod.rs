//! Streams over HTTP: the parameters, the response and the control events that all families share, the
//! pages of events, and the stream of several topics.

mod control_events;
mod event_page;
mod open;
mod parameters;
mod resources;
mod response;
mod resume_token;
mod route;
mod topic_name;
mod topics;

pub(super) use control_events::{CONTROL_EVENTS, DROPPED};
pub(super) use event_page::{Events, events};
pub(super) use open::open_topic;
pub(super) use parameters::{Parameters, documented_parameters, register_parameters};
pub(super) use resources::{
    McpSessionStreamsApi, NotificationStreamsApi, TaskStreamsApi, TopologyStreamsApi,
    TunnelStreamsApi,
};
pub(super) use response::{EVENT_STREAM, StreamResponse, set_stream_headers};
pub(super) use route::{family_of_path, stream_operation, stream_path};
pub(super) use topic_name::TopicName;
pub(super) use topics::{StreamsApi, TOPIC_CLOSED};
