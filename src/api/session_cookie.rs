//! The session cookie in headers (RFC 6265bis).

use entity::Timestamp;
use poem::http::{HeaderMap, header};

use super::{middleware::RequestInfo, problem::Problem};

/// The value of a cookie. With two cookies of this name, the first one, which is the more specific one (section 5.8.3).
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// `Set-Cookie` for a login session that ends at `ends_at`.
///
/// - `HttpOnly`: no script of the page can read the value.
/// - `SameSite=Lax`: pages of other sites do not send it, except when a user follows a link.
/// - No `Domain`: no other host gets it.
pub(super) fn set(name: &str, value: &str, ends_at: Timestamp) -> String {
    let seconds = ends_at.since(Timestamp::now()).as_secs();
    format!("{name}={value}; Max-Age={seconds}{}", attributes(name))
}

/// `Set-Cookie` that removes the cookie.
pub(super) fn remove(name: &str) -> String {
    format!("{name}=; Max-Age=0{}", attributes(name))
}

/// The refusal, with a header that removes the cookie.
pub(super) fn removed_by(problem: Problem, info: &RequestInfo) -> Problem {
    match info.cookie_name {
        Some(name) => problem.header(header::SET_COOKIE, &remove(name)),
        None => problem,
    }
}

fn attributes(name: &str) -> String {
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    format!("; Path=/; HttpOnly; SameSite=Lax{secure}")
}
