//! Authenticates callers by tokens of external issuers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{Timestamp, user::Role};
use jsonwebtoken::Algorithm;
use prometheus_client::metrics::counter::Counter;
use url::Url;
use uuid::Uuid;

use super::{
    claims::{self, Claims},
    error::IssuerError,
    keys::{KeySource, Keys},
    user,
};
use crate::{
    auth::{
        login_session::{Ended, IssuerToken, LoginSessions, Principal, SessionError},
        signing::TokenError,
    },
    cache::Cache,
    clock::Clock,
    config,
    database::Database,
    http_client::{DocumentError, HttpClient, HttpError, Network},
    secret::{self, Hash},
};

/// Maximum number of tokens in the cache.
const CAPACITY: usize = 100_000;
/// Time in which a verified token is not verified again. A key that the issuer has removed is refused after this time.
const LIFE: Duration = Duration::from_mins(5);

/// The external issuers of the configuration.
pub struct Issuers {
    configured: Vec<Issuer>,
    database: Database,
    /// Verified tokens by their SHA-256. The tokens themselves are not kept in memory.
    verified: Cache<Hash, Verified>,
}

struct Issuer {
    config: config::Issuer,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
}

/// A verified token.
#[derive(Clone)]
struct Verified {
    claims: Arc<Claims>,
    role: Role,
    /// Ids of the user and of the login session, after the first request with the token.
    admitted: Option<(Uuid, Uuid)>,
}

/// The caller that a token of an external issuer proves.
#[derive(Debug)]
pub struct ExternalCaller {
    /// The caller.
    pub principal: Principal,
    /// Duration of the check of the login session.
    pub validation: Duration,
    /// Whether the user was created now.
    pub is_new: bool,
    /// Whether the role of the login session was changed. The caller of this function tells the other gateways.
    pub has_new_role: bool,
}

impl Issuers {
    /// Creates the issuers. Their keys are fetched by [`Issuers::checks`], and at the first use. The counters count the hits
    /// and misses of the cache of verified tokens.
    ///
    /// # Errors
    /// [`HttpError::Transport`] if the root certificates of the system cannot be loaded.
    pub fn new(
        configured: &[config::Issuer],
        database: Database,
        counters: [Counter; 2],
        clock: &Arc<Clock>,
    ) -> Result<Self, HttpError> {
        let issuers = configured.iter().map(|config| Issuer::new(config.clone(), clock));
        Ok(Self {
            configured: issuers.collect::<Result<_, _>>()?,
            database,
            verified: Cache::new(LIFE, CAPACITY, counters, clock),
        })
    }

    /// Whether an issuer with this `iss` is configured.
    #[must_use]
    pub fn is_configured(&self, issuer: &str) -> bool {
        self.configured.iter().any(|known| known.config.issuer == issuer)
    }

    /// Whether the token names an external issuer. Verifies nothing.
    #[must_use]
    pub fn is_external(&self, token: &str) -> bool {
        self.issuer(token).is_some()
    }

    /// The check of each issuer, with its `iss`. A check fetches the keys.
    pub fn checks(
        &self,
    ) -> impl Iterator<Item = (&str, impl Future<Output = Result<(), DocumentError>>)> {
        self.configured.iter().map(|issuer| (issuer.config.issuer.as_str(), issuer.keys.check()))
    }

    /// Verifies a token. Does not check its login session.
    pub async fn verify(&self, token: &str) -> Result<(), IssuerError> {
        self.verified(token).await.map(drop)
    }

    /// The caller of a token. The first request of a token finds or creates its user and its login session.
    pub async fn authenticate(
        &self,
        token: &str,
        sessions: &LoginSessions,
    ) -> Result<ExternalCaller, IssuerError> {
        let (issuer, hash, verified) = self.verified(token).await?;
        if let Some((user, session)) = verified.admitted {
            let began = Instant::now();
            match sessions.validate(session, user).await {
                Ok(principal) => {
                    return Ok(ExternalCaller {
                        principal: verified.limit(principal)?,
                        validation: began.elapsed(),
                        is_new: false,
                        has_new_role: false,
                    });
                }
                // The user or the session may have been deleted, and may exist again.
                Err(SessionError::Ended(Ended::Revoked | Ended::Expired)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lookup = self.verified.start_lookup();
        let claims = &verified.claims;
        let found = user::find_or_create(&self.database, &issuer.config, claims).await?;
        let (user, is_new) = found.ok_or(IssuerError::UnknownUser)?;
        let token = IssuerToken {
            user: user.id,
            issuer: &issuer.config.issuer,
            sid: &claims.sid,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            role: verified.role,
        };
        let (session, has_new_role) = sessions.admit(&token).await?;
        let began = Instant::now();
        let principal = verified.limit(sessions.validate(session, user.id).await?)?;
        let validation = began.elapsed();
        let admitted = Some((user.id, session));
        self.verified.insert(hash, Verified { admitted, ..verified }, lookup);
        Ok(ExternalCaller { principal, validation, is_new, has_new_role })
    }

    async fn verified(&self, token: &str) -> Result<(&Issuer, Hash, Verified), IssuerError> {
        let issuer = self.issuer(token).ok_or(TokenError::Invalid)?;
        let hash = secret::hash(token);
        let now = Timestamp::now();
        let lookup = match self.verified.get(&hash, |known| known.claims.expires_at > now) {
            Ok(verified) => return Ok((issuer, hash, verified)),
            Err(lookup) => lookup,
        };
        let header = claims::header(token, &issuer.config, &issuer.algorithms)?;
        let key = issuer.keys.find(header.kid.as_deref(), header.alg).await?;
        let claims = claims::verify(token, header.alg, &key, &issuer.config)?;
        let role = claims.role.ok_or(IssuerError::NoRole)?;
        let verified = Verified { claims: Arc::new(claims), role, admitted: None };
        self.verified.insert(hash, verified.clone(), lookup);
        Ok((issuer, hash, verified))
    }

    fn issuer(&self, token: &str) -> Option<&Issuer> {
        if self.configured.is_empty() {
            return None;
        }
        let name = claims::unverified_issuer(token)?;
        self.configured.iter().find(|issuer| issuer.config.issuer == name)
    }
}

impl Issuer {
    fn new(config: config::Issuer, clock: &Arc<Clock>) -> Result<Self, HttpError> {
        let network = if config.private_network { Network::Private } else { Network::Public };
        let url = |text: &str| text.parse::<Url>().expect("the configuration was checked");
        let source = match (&config.jwks_url, &config.discovery_url) {
            (Some(keys), _) => KeySource::Jwks(url(keys)),
            (None, discovery) => {
                let base = config.issuer.trim_end_matches('/');
                let default = format!("{base}/.well-known/openid-configuration");
                KeySource::Discovery {
                    url: url(discovery.as_deref().unwrap_or(&default)),
                    issuer: config.issuer.clone(),
                }
            }
        };
        let algorithms = config.algorithms.iter().filter_map(|name| name.parse().ok()).collect();
        let keys = Arc::new(Keys::new(source, HttpClient::new(network)?, clock));
        Ok(Self { config, algorithms, keys })
    }
}

impl Verified {
    /// The principal with at most the role of this token. Refuses a token from before the last revocation.
    fn limit(&self, principal: Principal) -> Result<Principal, SessionError> {
        principal.limited(self.role, self.claims.issued_at).ok_or_else(|| Ended::Revoked.into())
    }
}
