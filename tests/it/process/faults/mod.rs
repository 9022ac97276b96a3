//! Real faults under the database, while clients use the gateway.

mod load;
mod postgres;
mod record;
mod run;
mod sqlite;
