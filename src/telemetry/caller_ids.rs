//! The ids that a caller gives to a request, for log lines.

/// The ids that a caller gives to a request. Their form is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerIds {
    /// The caller's own id of the request.
    pub correlation_id: Option<Box<str>>,
    /// The id of the trace that the request belongs to (W3C Trace Context).
    pub trace_id: Option<Box<str>>,
}
