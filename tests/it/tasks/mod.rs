//! tasks

pub mod artifacts;
pub mod cancel;
pub mod report;
