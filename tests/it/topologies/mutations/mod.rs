//! `/v1/topologies/{id}/mutations`.

mod claim;
mod create;
mod lease;
mod report;
