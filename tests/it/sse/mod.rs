//! sse

pub mod resume;
