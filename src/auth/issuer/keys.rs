//! The keys of an external issuer (RFC 7517), cached.
//!
//! | when | what happens |
//! |---|---|
//! | a key is known | it is used |
//! | a key is not known | the keys are fetched, one fetch at a time, at most one in [`FETCH_INTERVAL`] |
//! | the issuer is checked, at the start and with every heartbeat | the keys are fetched, so that a removed key is refused |
//! | a fetch fails | the known keys stay in use |

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::error::IssuerError;
use crate::{
    auth::signing::TokenError,
    clock::Clock,
    http_client::{DocumentError, HttpClient},
};

/// Minimum time between two fetches because of unknown keys. A caller with random key ids cannot make the gateway call the
/// issuer more often.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum number of keys of an issuer.
const MAX_KEYS: usize = 100;

/// The place of the keys.
#[derive(Clone, Debug)]
pub(super) enum KeySource {
    /// URL of a discovery document (OpenID Connect Discovery 1.0, section 4), which names the URL of the keys.
    Discovery { url: Url, issuer: String },
    /// URL of the keys.
    Jwks(Url),
}

/// The cached keys of an issuer.
pub(super) struct Keys {
    source: KeySource,
    client: HttpClient,
    clock: Arc<Clock>,
    known: Mutex<Known>,
    /// Held during a fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Jwk>,
    /// Failure of the last fetch.
    failure: Option<DocumentError>,
    /// Uptime of the last fetch because of an unknown key.
    searched_at: Option<Duration>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(source: KeySource, client: HttpClient, clock: &Arc<Clock>) -> Self {
        Self {
            source,
            client,
            clock: Arc::clone(clock),
            known: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The key with this id that fits the algorithm. Without an id, the only key that fits.
    ///
    /// # Errors
    /// - [`IssuerError::Token`] if the issuer has no such key.
    /// - [`IssuerError::Unreachable`] if the key is not known and the last fetch failed.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, IssuerError> {
        if let Some(key) = self.known().find(kid, algorithm) {
            return Ok(key);
        }
        let _fetching = self.fetching.lock().await;
        // Another request may have fetched the keys in the meantime.
        if let Some(key) = self.known().find(kid, algorithm) {
            return Ok(key);
        }
        if self.may_search() {
            // The result is in `known`.
            let _ = self.fetch().await;
        }
        let known = self.known();
        match (known.find(kid, algorithm), known.failure) {
            (Some(key), _) => Ok(key),
            (None, Some(failure)) => Err(failure.into()),
            (None, None) => Err(TokenError::Invalid.into()),
        }
    }

    /// Fetches the keys.
    pub(super) async fn check(&self) -> Result<(), DocumentError> {
        let _fetching = self.fetching.lock().await;
        self.fetch().await
    }

    /// Whether the keys may be fetched because of an unknown key. If so, records that they are.
    fn may_search(&self) -> bool {
        let now = self.clock.uptime();
        let mut known = self.known();
        let may = known.searched_at.is_none_or(|at| now.saturating_sub(at) >= FETCH_INTERVAL);
        if may {
            known.searched_at = Some(now);
        }
        may
    }

    /// Fetches the keys. Keeps the known ones if this fails.
    async fn fetch(&self) -> Result<(), DocumentError> {
        let fetched = self.download().await;
        let mut known = self.known();
        known.failure = fetched.as_ref().err().copied();
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), source = ?self.source, "fetched the keys of an issuer");
                known.keys = keys;
                Ok(())
            }
            Err(failure) => {
                tracing::debug!(error = %failure, source = ?self.source, "the keys of an issuer were not fetched");
                Err(failure)
            }
        }
    }

    async fn download(&self) -> Result<Vec<Jwk>, DocumentError> {
        let url = match &self.source {
            KeySource::Jwks(url) => url.clone(),
            KeySource::Discovery { url, issuer } => {
                let found: Discovery = self.client.get_json(url).await?;
                // Section 4.3: otherwise one issuer could name the keys of another.
                if found.issuer != *issuer {
                    return Err(DocumentError::OtherIssuer);
                }
                found.jwks_uri.parse().map_err(|_| DocumentError::Content)?
            }
        };
        let set: KeySet = self.client.get_json(&url).await?;
        // Keys of an unknown type do not make the others useless (RFC 7517, section 5).
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.take(MAX_KEYS).collect())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The lock is held for single assignments only, so a panic elsewhere leaves no half change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let has_id = |key: &&Jwk| kid.is_none() || key.common.key_id.as_deref() == kid;
        let mut fitting = self.keys.iter().filter(has_id).filter(|key| fits(key, algorithm));
        let key = fitting.next()?;
        // Without an id, two keys would be a guess.
        if kid.is_none() && fitting.next().is_some() {
            return None;
        }
        DecodingKey::from_jwk(key).ok()
    }
}

/// Whether the key may verify signatures of this algorithm (RFC 7517, sections 4.1 to 4.4; RFC 8725, section 3.1).
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let has_type = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), RS256 | RS384 | RS512 | PS256 | PS384 | PS512) => true,
        (AlgorithmParameters::EllipticCurve(key), ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let common = &key.common;
    let for_signatures =
        common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let may_verify = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let has_algorithm = common
        .key_algorithm
        .is_none_or(|own| own.to_string().parse::<Algorithm>().is_ok_and(|own| own == algorithm));
    has_type && for_signatures && may_verify && has_algorithm
}
