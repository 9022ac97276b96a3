//! The keys of an external issuer (RFC 7517), cached.
//!
//! | when | what happens |
//! |---|---|
//! | a key is known | it is used. If the keys are older than [`MAX_AGE`], they are fetched again in the background |
//! | a key is not known | the keys are fetched, one fetch at a time, at most one in [`FETCH_INTERVAL`] |
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

use super::error::{IssuerError, Unreachable};
use crate::{auth::signing::TokenError, clock::Clock, http_client::HttpClient};

/// Minimum time between two fetches. A caller with random key ids cannot make the gateway call the issuer more often.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// Age of the keys at which they are fetched again, so that a removed key is no longer accepted.
const MAX_AGE: Duration = Duration::from_mins(15);
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
    /// Uptime of the last fetch that succeeded.
    fetched_at: Option<Duration>,
    /// Uptime of the last fetch, and its failure.
    last: Option<(Duration, Option<Unreachable>)>,
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
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, IssuerError> {
        let found = self.known().find(kid, algorithm);
        if let Some(key) = found {
            self.refresh_if_old();
            return Ok(key);
        }
        let _fetching = self.fetching.lock().await;
        // Another request may have fetched the keys in the meantime.
        if let Some(key) = self.known().find(kid, algorithm) {
            return Ok(key);
        }
        if !self.fetched_recently() {
            self.fetch().await;
        }
        let known = self.known();
        match (known.find(kid, algorithm), known.last) {
            (Some(key), _) => Ok(key),
            (None, Some((_, Some(failure)))) => Err(failure.into()),
            (None, _) => Err(TokenError::Invalid.into()),
        }
    }

    /// Fetches old keys in the background. The request does not wait.
    fn refresh_if_old(self: &Arc<Self>) {
        let now = self.clock.uptime();
        let is_old = self.known().fetched_at.is_none_or(|at| now.saturating_sub(at) >= MAX_AGE);
        if is_old && !self.fetched_recently() {
            let keys = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(_fetching) = keys.fetching.try_lock()
                    && !keys.fetched_recently()
                {
                    keys.fetch().await;
                }
            });
        }
    }

    fn fetched_recently(&self) -> bool {
        let now = self.clock.uptime();
        self.known().last.is_some_and(|(at, _)| now.saturating_sub(at) < FETCH_INTERVAL)
    }

    /// Fetches the keys. Keeps the known ones if this fails.
    async fn fetch(&self) {
        let fetched = self.download().await;
        let now = self.clock.uptime();
        let mut known = self.known();
        match fetched {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), source = ?self.source, "fetched the keys of an issuer");
                *known = Known { keys, fetched_at: Some(now), last: Some((now, None)) };
            }
            Err(failure) => {
                tracing::warn!(error = %failure, source = ?self.source, "the keys of an issuer were not fetched");
                known.last = Some((now, Some(failure)));
            }
        }
    }

    async fn download(&self) -> Result<Vec<Jwk>, Unreachable> {
        let url = match &self.source {
            KeySource::Jwks(url) => url.clone(),
            KeySource::Discovery { url, issuer } => {
                let found: Discovery = self.get(url).await?;
                // Section 4.3: otherwise one issuer could name the keys of another.
                if found.issuer != *issuer {
                    return Err(Unreachable::OtherIssuer);
                }
                found.jwks_uri.parse().map_err(|_| Unreachable::Content)?
            }
        };
        let set: KeySet = self.get(&url).await?;
        // Keys of an unknown type do not make the others useless (RFC 7517, section 5).
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.take(MAX_KEYS).collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<T, Unreachable> {
        let response = self.client.get(url).await?;
        if response.status() != http::StatusCode::OK {
            return Err(Unreachable::Status);
        }
        serde_json::from_slice(response.body()).map_err(|_| Unreachable::Content)
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
