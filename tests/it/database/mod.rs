//! database

pub mod migrations;
