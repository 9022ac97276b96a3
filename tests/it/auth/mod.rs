//! auth

pub mod access_token;
pub mod login;
pub mod refresh;
