//! Creates, finds, rotates, deletes and authenticates API keys.

use std::{net::IpAddr, sync::Arc, time::Duration};

use entity::{
    Timestamp, api_key,
    login_session::{self, Method},
    user::Role,
};
use prometheus_client::metrics::counter::Counter;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    last_use::{RecordedUses, start_of_day, with_network},
    secret::{generate, hint, is_key},
};
use crate::{
    auth::login_session::Families,
    cache::Cache,
    clock::Clock,
    database::Database,
    secret::{self, Hash, fingerprint},
};

/// Maximum number of keys of one user.
const MAX_KEYS: u64 = 100;

/// Maximum number of keys in the cache.
const CAPACITY: usize = 100_000;

/// The end of the session of a key that does not end by itself: the last second that RFC 3339 can write.
const NEVER: Timestamp = Timestamp::from_seconds(253_402_300_799);

/// The key cannot be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The key does not exist, or belongs to another user.
    #[error("the API key does not exist")]
    NotFound,
    /// The owner has as many keys as are allowed.
    #[error("a user can have at most {MAX_KEYS} API keys")]
    TooMany,
    /// The end of the key is not in the future.
    #[error("expires_at must be in the future")]
    InPast,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// A key to create.
pub struct NewApiKey {
    /// Name, for people.
    pub name: String,
    /// Highest role of the key.
    pub role: Role,
    /// The families that the key may use.
    pub families: Families,
    /// Time at which the key ends. Absent if it does not end by itself.
    pub expires_at: Option<Timestamp>,
}

/// A key and its session.
pub type KeyAndSession = (api_key::Model, login_session::Model);

/// A key that was looked up.
#[derive(Clone, Copy)]
struct KnownKey {
    id: Uuid,
    user: Uuid,
    /// Time at which a rotated key ends. Absent for the current key.
    ends_at: Option<Timestamp>,
}

/// The API keys in the database, and a cache of them.
pub struct ApiKeys {
    database: Database,
    cache: Cache<Hash, KnownKey>,
    uses: RecordedUses,
}

impl ApiKeys {
    /// `life` is the time for which a key stays in the cache. The counters count hits and misses of the cache.
    #[must_use]
    pub fn new(
        database: Database,
        life: Duration,
        counters: [Counter; 2],
        clock: &Arc<Clock>,
    ) -> Self {
        let cache = Cache::new(life, CAPACITY, counters, clock);
        Self { database, cache, uses: RecordedUses::default() }
    }

    /// Creates a key of this user. Returns it with its text, which is not stored.
    ///
    /// # Errors
    /// [`ApiKeyError::TooMany`] or [`ApiKeyError::InPast`].
    pub async fn create(
        &self,
        owner: Uuid,
        new: NewApiKey,
    ) -> Result<(KeyAndSession, String), ApiKeyError> {
        let now = Timestamp::now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(ApiKeyError::InPast);
        }
        let text = generate();
        let tx = self.database.begin_write().await?;
        let keys = api_key::Entity::find().filter(api_key::Column::UserId.eq(owner));
        if keys.count(&tx).await? >= MAX_KEYS {
            return Err(ApiKeyError::TooMany);
        }
        let ends_at = new.expires_at.unwrap_or(NEVER);
        let session = login_session::Model {
            id: Uuid::now_v7(),
            user_id: owner,
            created_at: now,
            expires_at: ends_at,
            revoked_at: None,
            revoked_before: None,
            method: Method::ApiKey,
            role: Some(new.role),
            families: new.families.names(),
            ends_at,
            issuer: None,
            issuer_session: None,
        };
        session.clone().into_active_model().insert(&tx).await?;
        let key = api_key::Model {
            id: session.id,
            user_id: owner,
            name: new.name,
            hint: hint(&text),
            hash: fingerprint(&text),
            previous_hash: None,
            previous_ends_at: None,
            created_at: now,
            expires_at: new.expires_at,
            last_used_on: None,
            last_used_address: None,
            networks: String::new(),
        };
        let key = key.into_active_model().insert(&tx).await?;
        tx.commit().await?;
        Ok(((key, session), text))
    }

    /// Up to `limit` keys that were created after the key `after`, oldest first. `owner` is absent for all users.
    pub async fn list(
        &self,
        owner: Option<Uuid>,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<KeyAndSession>, DbErr> {
        let rows = api_key::Entity::find()
            .filter(visible(owner))
            .filter(api_key::Column::Id.gt(after.unwrap_or(Uuid::nil())))
            .find_also_related(login_session::Entity)
            .order_by_asc(api_key::Column::Id)
            .limit(limit)
            .all(self.database.reader())
            .await?;
        Ok(rows.into_iter().filter_map(|(key, session)| Some((key, session?))).collect())
    }

    /// A key. `owner` is absent for all users.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`].
    pub async fn find(&self, owner: Option<Uuid>, id: Uuid) -> Result<KeyAndSession, ApiKeyError> {
        let row = api_key::Entity::find_by_id(id)
            .filter(visible(owner))
            .find_also_related(login_session::Entity)
            .one(self.database.reader())
            .await?;
        row.and_then(|(key, session)| Some((key, session?))).ok_or(ApiKeyError::NotFound)
    }

    /// Gives a key a new text. The previous text stays valid for `overlap`, the one before that ends. Other gateways
    /// accept a text that has ended until their cache expires.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`].
    pub async fn rotate(
        &self,
        owner: Option<Uuid>,
        id: Uuid,
        overlap: Duration,
    ) -> Result<(KeyAndSession, String), ApiKeyError> {
        let text = generate();
        let tx = self.database.begin_write().await?;
        let row = api_key::Entity::find_by_id(id).filter(visible(owner));
        let row = row.lock_exclusive().one(&tx).await?.ok_or(ApiKeyError::NotFound)?;
        let session = login_session::Entity::find_by_id(id).one(&tx).await?;
        let session = session.ok_or(ApiKeyError::NotFound)?;
        let previous = row.hash.clone();
        let mut row = row.into_active_model();
        row.previous_hash = Set((!overlap.is_zero()).then_some(previous));
        row.previous_ends_at = Set((!overlap.is_zero()).then(|| Timestamp::now() + overlap));
        row.hash = Set(fingerprint(&text));
        row.hint = Set(hint(&text));
        let row = row.update(&tx).await?;
        tx.commit().await?;
        self.cache.invalidate_where(|known| known.id == id);
        Ok(((row, session), text))
    }

    /// Deletes a key and revokes its session. The caller ends the streams of the session, which has the id of the key.
    ///
    /// # Errors
    /// [`ApiKeyError::NotFound`].
    pub async fn delete(&self, owner: Option<Uuid>, id: Uuid) -> Result<(), ApiKeyError> {
        let tx = self.database.begin_write().await?;
        let deleted = api_key::Entity::delete_many()
            .filter(api_key::Column::Id.eq(id))
            .filter(visible(owner));
        if deleted.exec(&tx).await?.rows_affected == 0 {
            return Err(ApiKeyError::NotFound);
        }
        login_session::ActiveModel {
            id: Set(id),
            revoked_at: Set(Some(Timestamp::now())),
            ..Default::default()
        }
        .update(&tx)
        .await?;
        tx.commit().await?;
        self.cache.invalidate_where(|known| known.id == id);
        Ok(())
    }

    /// The session and the user of a key, from the cache or from the database. `None` if the text is not a key, or was
    /// rotated. Does not check the session.
    pub async fn authenticate(&self, text: &str) -> Result<Option<(Uuid, Uuid)>, DbErr> {
        if !is_key(text) {
            return Ok(None);
        }
        let hash = secret::hash(text);
        let now = Timestamp::now();
        let is_valid = |known: &KnownKey| known.ends_at.is_none_or(|end| end > now);
        let lookup = match self.cache.get(&hash, is_valid) {
            Ok(known) => return Ok(Some((known.id, known.user))),
            Err(lookup) => lookup,
        };
        let hashed = fingerprint(text);
        let by_hash = Condition::any()
            .add(api_key::Column::Hash.eq(&hashed))
            .add(api_key::Column::PreviousHash.eq(&hashed));
        let row = api_key::Entity::find().filter(by_hash).one(self.database.reader()).await?;
        let Some(row) = row else { return Ok(None) };
        let ends_at = row.previous_ends_at.filter(|_| row.hash != hashed);
        let known = KnownKey { id: row.id, user: row.user_id, ends_at };
        if !is_valid(&known) {
            return Ok(None);
        }
        self.cache.insert(hash, known, lookup);
        Ok(Some((known.id, known.user)))
    }

    /// Records the use of a key, if it is the first one from this address today. `network` is what counts as the same
    /// place as before. Returns whether the key was never used from there. The first use of a key is no new place.
    pub async fn record_use(
        &self,
        id: Uuid,
        address: IpAddr,
        network: IpAddr,
    ) -> Result<bool, DbErr> {
        let now = Timestamp::now();
        if !self.uses.is_first(id, address, now) {
            return Ok(false);
        }
        let recorded = self.write_use(id, address, network, now).await;
        if recorded.is_err() {
            self.uses.forget(id, address);
        }
        recorded
    }

    async fn write_use(
        &self,
        id: Uuid,
        address: IpAddr,
        network: IpAddr,
        now: Timestamp,
    ) -> Result<bool, DbErr> {
        let row = api_key::Entity::find_by_id(id).one(self.database.reader()).await?;
        let Some(row) = row else { return Ok(false) };
        let networks = with_network(&row, &network.to_string());
        let is_new = networks.is_some() && !row.networks.is_empty();
        let mut row = row.into_active_model();
        row.last_used_on = Set(Some(start_of_day(now)));
        row.last_used_address = Set(Some(address.to_string()));
        if let Some(networks) = networks {
            row.networks = Set(networks);
        }
        row.update(self.database.writer()).await?;
        Ok(is_new)
    }
}

/// The keys of this user, or of all users.
fn visible(owner: Option<Uuid>) -> Condition {
    Condition::all().add_option(owner.map(|owner| api_key::Column::UserId.eq(owner)))
}
