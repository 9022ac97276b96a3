//! faults

pub mod load;
pub mod postgres;
pub mod record;
pub mod run;
pub mod sqlite;
