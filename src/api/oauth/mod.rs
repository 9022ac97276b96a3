//! Grants at upstream OAuth providers over HTTP. `pages.rs` has the pages that a browser opens.

mod cookie;
mod grants;
mod html;
mod pages;
mod schema;

pub(super) use grants::GrantsApi;
pub(super) use pages::PagesApi;
pub(super) use schema::OauthGrant;
