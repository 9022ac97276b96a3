//! The scenarios. Each starts its servers, measures them in several rounds, and prints a table.

mod all;
mod auth;
mod connect;
mod cores;
mod durable;
mod growth;
pub(crate) mod metric;
mod one_to_one;
mod one_topic;
mod overload;
mod run;

pub(crate) use self::{
    all::run_all,
    run::{Run, Scenario},
};
