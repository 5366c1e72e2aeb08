//! Keys and tokens: who is calling.
//!
//! An API key is 32 random bytes in text; the database keeps its SHA-256. A token is a signed statement (JWT,
//! HS256) that names organization, person and key for an hour. It never outlives its key: the key is looked up
//! again, at most [`CACHE_TTL`] late.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use eve_core::KeyId;
use eve_core::OrgId;
use eve_store::organization;
use eve_store::organization::KeyOwner;
use jiff::SignedDuration;
use serde::Deserialize;
use serde::Serialize;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::WorkerContext;
use crate::clock;
use crate::context::Role;

/// Longest time that a revoked key still counts.
const CACHE_TTL: Duration = Duration::from_secs(5);
/// Most callers remembered at once; beyond it, all are forgotten and looked up again.
const CACHE_SIZE: usize = 10_000;
/// What API keys and worker keys begin with, so that a secret scanner and a person recognise them.
const API_KEY_PREFIX: &str = "eve_key_";
const WORKER_KEY_PREFIX: &str = "eve_worker_";

/// A token and how long it counts.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// How long it counts.
    pub expires_in: SignedDuration,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    org: OrgId,
    key: KeyId,
    iat: i64,
    exp: i64,
}

pub(crate) struct Keys {
    encode: jsonwebtoken::EncodingKey,
    decode: jsonwebtoken::DecodingKey,
    pub(crate) cursor: hmac::Key,
    ttl: SignedDuration,
}

impl Keys {
    pub(crate) fn new(secret: &[u8], ttl: SignedDuration) -> Self {
        // One secret, one derived key for each purpose.
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &[u8]| hmac::sign(&root, purpose);
        let token = derive(b"eve token v1");
        Self {
            encode: jsonwebtoken::EncodingKey::from_secret(token.as_ref()),
            decode: jsonwebtoken::DecodingKey::from_secret(token.as_ref()),
            cursor: hmac::Key::new(hmac::HMAC_SHA256, derive(b"eve cursor v1").as_ref()),
            ttl,
        }
    }
}

#[derive(Default)]
pub(crate) struct Cache {
    callers: Mutex<HashMap<Vec<u8>, (Caller, Instant)>>,
}

#[derive(Debug, Clone)]
enum Caller {
    Member(KeyOwner),
    Worker(String),
}

impl Cache {
    fn get(&self, hash: &[u8]) -> Option<Caller> {
        let callers = self.callers.lock().ok()?;
        let (caller, at) = callers.get(hash)?;
        (clock::instant().duration_since(*at) < CACHE_TTL).then(|| caller.clone())
    }

    fn put(&self, hash: Vec<u8>, caller: Caller) {
        if let Ok(mut callers) = self.callers.lock() {
            if callers.len() >= CACHE_SIZE {
                callers.clear();
            }
            callers.insert(hash, (caller, clock::instant()));
        }
    }
}

/// Makes a fresh API key.
pub(crate) fn new_api_key() -> String {
    format!("{API_KEY_PREFIX}{}", hex(&clock::random::<32>()))
}

/// Makes a fresh worker key.
pub(crate) fn new_worker_key() -> String {
    format!("{WORKER_KEY_PREFIX}{}", hex(&clock::random::<32>()))
}

pub(crate) fn hash(secret: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unauthenticated() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "No valid API key or token was given. Send `Authorization: Bearer <key>`; `eve up` prints where the key is.",
    )
}

fn context(owner: KeyOwner) -> Result<OpContext, Error> {
    Ok(OpContext {
        org_id: owner.org_id,
        user_id: owner.user_id,
        key_id: owner.key_id,
        role: Role::from_name(&owner.role).ok_or_else(unauthenticated)?,
        user_name: owner.user_name,
    })
}

impl Engine {
    /// Turns an API key into a token.
    ///
    /// # Errors
    /// When the key does not count.
    pub async fn token_create(&self, api_key: &str) -> Result<IssuedToken, Error> {
        let caller = self.api_key_authenticate(api_key).await?;
        let keys = &self.inner.keys;
        let now = clock::now().as_second();
        let claims = Claims {
            sub: caller.user_id.to_string(),
            org: caller.org_id,
            key: caller.key_id,
            iat: now,
            exp: now.saturating_add(keys.ttl.as_secs()),
        };
        let token =
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &keys.encode).map_err(|error| Error {
                kind: ErrorKind::Internal,
                message: "The token could not be signed.".into(),
                cause: Some(error.into()),
            })?;
        Ok(IssuedToken { token, expires_in: keys.ttl })
    }

    /// Who sent this bearer: an API key or a token made from one.
    ///
    /// # Errors
    /// When it does not count, or does not count any more.
    pub async fn authenticate(&self, bearer: &str) -> Result<OpContext, Error> {
        if bearer.starts_with(API_KEY_PREFIX) {
            return self.api_key_authenticate(bearer).await;
        }
        let hash = hash(bearer);
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.leeway = 0;
        let claims = jsonwebtoken::decode::<Claims>(bearer, &self.inner.keys.decode, &validation)
            .map_err(|_| unauthenticated())?
            .claims;
        if let Some(Caller::Member(owner)) = self.inner.auth_cache.get(&hash) {
            return context(owner);
        }
        let mut tx = self.store().org(claims.org).await?;
        let owner = organization::api_key_check(&mut tx, claims.key).await?.ok_or_else(unauthenticated)?;
        tx.commit().await?;
        self.inner.auth_cache.put(hash, Caller::Member(owner.clone()));
        context(owner)
    }

    async fn api_key_authenticate(&self, key: &str) -> Result<OpContext, Error> {
        let hash = hash(key);
        if let Some(Caller::Member(owner)) = self.inner.auth_cache.get(&hash) {
            return context(owner);
        }
        let mut tx = self.store().platform().await?;
        let owner = organization::api_key_find(&mut tx, &hash).await?.ok_or_else(unauthenticated)?;
        tx.commit().await?;
        self.inner.auth_cache.put(hash, Caller::Member(owner.clone()));
        context(owner)
    }

    /// Which worker sent this bearer.
    ///
    /// # Errors
    /// When it is not a worker key that counts.
    pub async fn worker_authenticate(&self, bearer: &str) -> Result<WorkerContext, Error> {
        let refused = || {
            Error::new(
                ErrorKind::Unauthenticated,
                "No valid worker key was given. `eve up` and `eve server` keep one in `worker-key` in their data directory.",
            )
        };
        if !bearer.starts_with(WORKER_KEY_PREFIX) {
            return Err(refused());
        }
        let hash = hash(bearer);
        if let Some(Caller::Worker(name)) = self.inner.auth_cache.get(&hash) {
            return Ok(WorkerContext { name });
        }
        let mut tx = self.store().platform().await?;
        let name = organization::worker_key_find(&mut tx, &hash).await?.ok_or_else(refused)?;
        tx.commit().await?;
        self.inner.auth_cache.put(hash, Caller::Worker(name.clone()));
        Ok(WorkerContext { name })
    }
}
