//! Access tokens of external issuers (OpenID Connect providers and OAuth 2.0 authorization servers).
//!
//! The configuration names the issuers. A token is accepted if its issuer signed it for this gateway as an access token
//! (RFC 9068). Each user of an issuer is keyed by (issuer, `sub`), and is never matched to another user by a name. Each
//! (issuer, `sub`, `sid`) has a login session. So stream tokens, limits and revocation work as for a login.
//!
//! The keys of an issuer are cached. If the issuer cannot be reached, tokens that known keys have signed stay valid.

mod claims;
mod error;
mod issuers;
mod keys;
mod roles;
mod user;

pub use error::IssuerError;
pub use issuers::{ExternalCaller, Issuers};
