//! Who calls: users and their passwords, login sessions, and the tokens that stand for them.

pub mod login_session;
pub mod password;
pub mod token;
pub mod user;
