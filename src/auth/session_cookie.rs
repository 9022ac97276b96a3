//! The value of the session cookie: a JWT that names a login session.
//!
//! The value has its own key, `typ` and audience. So it is never accepted as an access token or as a stream token, and
//! neither of these as a cookie. Its session ends earlier if it is not used, see
//! [`LoginSessions::extend`](super::login_session::LoginSessions::extend).

use std::path::Path;

use entity::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::signing::{KeyError, TokenError, load_secret, sign, validation, verify};

/// `typ` of the value of a cookie.
const COOKIE_TYPE: &str = "cookie+jwt";

/// The claims of a cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CookieClaims {
    /// Id of the user.
    pub sub: Uuid,
    /// Id of the login session.
    pub sid: Uuid,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

impl CookieClaims {
    /// Time at which the value was signed.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.iat)
    }
}

/// Signs and verifies the values of cookies.
pub struct SessionCookies {
    issuer: String,
    audience: String,
    key: EncodingKey,
    verifier: DecodingKey,
    validation: Validation,
}

impl SessionCookies {
    /// Loads the key from `data_dir/keys`. Creates a missing one, readable only by the user of the process.
    ///
    /// # Errors
    /// - [`KeyError::File`] if the key cannot be read or written.
    /// - [`KeyError::Content`] if the file has less than 32 bytes.
    pub fn load(data_dir: &Path, issuer: &str, audience: &str) -> Result<Self, KeyError> {
        let secret = load_secret(&data_dir.join("keys/cookie.secret"))?;
        let audience = format!("{audience}/cookies");
        Ok(Self {
            key: EncodingKey::from_secret(&secret),
            verifier: DecodingKey::from_secret(&secret),
            validation: validation(Algorithm::HS256, issuer, &audience),
            issuer: issuer.to_owned(),
            audience,
        })
    }

    /// Signs the value of a cookie that is valid until `ends_at`.
    #[must_use]
    pub fn sign(&self, user: Uuid, session: Uuid, ends_at: Timestamp) -> String {
        let claims = CookieClaims {
            sub: user,
            sid: session,
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            iat: Timestamp::now().seconds(),
            exp: ends_at.seconds(),
        };
        let header = Header { typ: Some(COOKIE_TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        sign(&header, &claims, &self.key)
    }

    /// Verifies the value of a cookie.
    pub fn verify(&self, value: &str) -> Result<CookieClaims, TokenError> {
        verify(value, COOKIE_TYPE, &self.verifier, &self.validation)
    }
}
