//! Verifies external tokens and reads their claims.

use std::time::Duration;

use entity::{Timestamp, user::Role};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{error::IssuerError, roles};
use crate::{auth::signing::TokenError, config};

/// Difference between the clocks of the issuer and the gateway that a token may start early, in seconds.
const LEEWAY: u64 = 30;
/// Maximum length of `sub` and `sid` in bytes. OpenID Connect Core 1.0, section 2, allows 255 for `sub`.
const MAX_ID: usize = 255;
/// Maximum length of a name for people, in characters.
const MAX_NAME: usize = 256;
/// Values of the `typ` claim, which Keycloak adds, of tokens that are not access tokens.
const OTHER_TOKENS: [&str; 4] = ["id", "refresh", "offline", "logout"];
/// Claims of ID tokens (OpenID Connect Core 1.0, sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// The claims of a verified external token.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// Id of the user at the issuer.
    pub(super) sub: String,
    /// Id of the session at the issuer, or empty.
    pub(super) sid: String,
    /// Time at which the token was issued.
    pub(super) issued_at: Timestamp,
    /// Time at which the token expires.
    pub(super) expires_at: Timestamp,
    /// The role of the token. Absent if the issuer gives none.
    pub(super) role: Option<Role>,
    /// Name of the user, for people.
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

/// The `iss` claim, not verified. It only chooses the checks.
#[expect(clippy::disallowed_methods, reason = "the keys of the issuer verify the token afterwards")]
pub(super) fn unverified_issuer(token: &str) -> Option<String> {
    jsonwebtoken::dangerous::insecure_decode_claims::<Unverified>(token)
        .ok()
        .map(|claims| claims.iss)
}

/// Checks the header, and returns it. Keys that the token itself names (`jku`, `jwk`, `x5u`, `x5c`) are ignored
/// (RFC 8725, section 3.10).
pub(super) fn header(
    token: &str,
    issuer: &config::Issuer,
    algorithms: &[Algorithm],
) -> Result<Header, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
    let typ = header.typ.as_deref().map(media_type);
    // RFC 7515, section 4.1.11: a token with a critical header that the receiver does not know is invalid.
    let is_good = header.crit.is_none()
        && algorithms.contains(&header.alg)
        && typ == Some(media_type(&issuer.token_type));
    if is_good { Ok(header) } else { Err(TokenError::Invalid) }
}

/// A `typ` without the prefix of its media type (RFC 7515, section 4.1.9).
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
}

/// Verifies the signature and the claims.
pub(super) fn verify(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    issuer: &config::Issuer,
) -> Result<Claims, IssuerError> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation);
    let claims = decoded
        .map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::NotYetValid,
            _ => TokenError::Invalid,
        })?
        .claims;
    read(&claims, issuer)
}

fn read(claims: &Map<String, Value>, issuer: &config::Issuer) -> Result<Claims, IssuerError> {
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_ID => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::Invalid),
    };
    let time = |name: &str| {
        // RFC 7519, section 2: the number may have a fraction.
        #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
        let seconds = claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
        seconds.map(Timestamp::from_seconds).ok_or(TokenError::Invalid)
    };
    if is_other_token(claims, issuer) {
        return Err(TokenError::Invalid.into());
    }
    let expires_at = time("exp")?;
    if expires_at <= Timestamp::now() {
        return Err(TokenError::Expired.into());
    }
    let issued_at = time("iat")?;
    // Otherwise such a token would outlast a revocation.
    if issued_at > Timestamp::now() + Duration::from_secs(LEEWAY) {
        return Err(TokenError::NotYetValid.into());
    }
    let name = roles::claim(claims, &issuer.name_claim).and_then(Value::as_str).map(display_name);
    Ok(Claims {
        sub: text("sub")?.filter(|sub| !sub.is_empty()).ok_or(TokenError::Invalid)?,
        sid: text("sid")?.unwrap_or_default(),
        issued_at,
        expires_at,
        role: roles::role(claims, issuer),
        name: name.filter(|name| !name.is_empty()),
    })
}

/// Whether the token is an ID token or a refresh token. With the type `at+jwt`, the header says that it is not.
fn is_other_token(claims: &Map<String, Value>, issuer: &config::Issuer) -> bool {
    if media_type(&issuer.token_type) == "at+jwt" {
        return false;
    }
    let kind = claims.get("typ").and_then(Value::as_str).map(str::to_ascii_lowercase);
    ID_TOKEN_CLAIMS.iter().any(|name| claims.contains_key(*name))
        || kind.is_some_and(|kind| OTHER_TOKENS.contains(&kind.as_str()))
}

/// The name without control characters, cut to [`MAX_NAME`].
fn display_name(name: &str) -> String {
    let printable: String = name.chars().filter(|letter| !letter.is_control()).collect();
    printable.trim().chars().take(MAX_NAME).collect()
}
