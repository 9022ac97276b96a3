//! Everything, from the outside: a real server each, requests over real sockets.

mod abuse;
mod access_token;
mod app;
mod auth;
mod cache;
mod cluster;
mod config;
mod database;
mod delivery;
mod document;
mod head;
mod house;
mod hub;
mod limit;
mod mutation;
mod problem;
mod process;
mod quota;
mod revocation;
mod server;
mod sse;
mod stream;
mod telemetry;
mod topology;
mod user;
mod walk;
