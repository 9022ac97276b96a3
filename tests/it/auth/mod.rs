//! `/v1/auth/...`: logging in and out, and the tokens of a login session.

mod access_token;
mod cookie;
mod issuer;
mod login;
mod logout;
mod me;
mod password;
mod proxy;
mod refresh;
