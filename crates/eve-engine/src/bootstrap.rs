//! What a fresh installation needs before anybody can ask for anything.

use eve_store::Store;
use eve_store::organization;
use eve_store::organization::NewOrganization;

use crate::Error;
use crate::ErrorKind;
use crate::auth;
use crate::clock;
use crate::seed;

/// Keys that the installation has already, so that starting again changes nothing.
#[derive(Debug, Default)]
pub struct BootstrapOptions {
    /// The owner's API key, if one was kept.
    pub api_key: Option<String>,
    /// The worker key, if one was kept.
    pub worker_key: Option<String>,
}

/// The keys of the first organization's owner and of the first worker.
#[derive(Debug)]
pub struct Bootstrap {
    /// Opens the organization `default`.
    pub api_key: String,
    /// Lets workers claim.
    pub worker_key: String,
}

pub(crate) async fn instance_secret(store: &Store) -> Result<Vec<u8>, Error> {
    let mut tx = store.platform().await?;
    let known = organization::instance_secret(&mut tx).await?;
    tx.commit().await?;
    if let Some(secret) = known {
        return Ok(secret);
    }
    // Drawn only once, and outside of any transaction: the generator takes its time to seed itself.
    let fresh = clock::random();
    let mut tx = store.platform().await?;
    organization::instance_secret_put(&mut tx, &fresh).await?;
    let secret = organization::instance_secret(&mut tx).await?;
    tx.commit().await?;
    secret.ok_or_else(|| Error::new(ErrorKind::Internal, "The installation has no secret, and none can be made."))
}

impl Bootstrap {
    /// The keys that are kept, and fresh ones for those that are not. They count once they are [entered](Self::enter).
    pub fn prepare(options: BootstrapOptions) -> Self {
        Self {
            api_key: options.api_key.unwrap_or_else(auth::new_api_key),
            worker_key: options.worker_key.unwrap_or_else(auth::new_worker_key),
        }
    }

    /// Makes keys and enters them.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub async fn run(store: &Store, options: BootstrapOptions) -> Result<Self, Error> {
        let keys = Self::prepare(options);
        keys.enter(store).await?;
        Ok(keys)
    }

    /// Founds the organization `default` with its owner, worker types and keys. What is there already stays; types
    /// that somebody changed stay changed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn enter(&self, store: &Store) -> Result<(), Error> {
        let mut tx = store.platform().await?;
        let new =
            NewOrganization { slug: "default", name: "Default", owner_email: "owner@localhost", owner_name: "owner" };
        let (org, user) = organization::organization_ensure(&mut tx, new).await?;
        for kind in seed::worker_types()? {
            if eve_store::worker_type::worker_type_list(&mut tx, org, Some(&kind.name)).await?.is_empty() {
                eve_store::worker_type::worker_type_put(&mut tx, org, &kind).await?;
            }
        }
        organization::api_key_create(&mut tx, org, user, "first", &auth::hash(&self.api_key)).await?;
        organization::worker_key_create(&mut tx, "first", &auth::hash(&self.worker_key)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Founds another organization and returns its owner's API key.
    ///
    /// # Errors
    /// When the slug is malformed or the database does not answer.
    pub async fn organization(store: &Store, slug: &str, owner_email: &str) -> Result<String, Error> {
        let key = auth::new_api_key();
        let mut tx = store.platform().await?;
        let new = NewOrganization { slug, name: slug, owner_email, owner_name: owner_email };
        let (org, user) = organization::organization_ensure(&mut tx, new).await?;
        for kind in seed::worker_types()? {
            eve_store::worker_type::worker_type_put(&mut tx, org, &kind).await?;
        }
        organization::api_key_create(&mut tx, org, user, "first", &auth::hash(&key)).await?;
        tx.commit().await?;
        Ok(key)
    }
}
