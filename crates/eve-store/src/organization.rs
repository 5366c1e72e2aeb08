//! Organizations, people, and the keys that programs use.

use eve_core::KeyId;
use eve_core::OrgId;
use eve_core::UserId;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::new_id;

/// Who is behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The organization that the key opens.
    pub org_id: OrgId,
    /// The person who made it.
    pub user_id: UserId,
    /// The key itself.
    pub key_id: KeyId,
    /// The person's role in the organization.
    pub role: String,
    /// The person's name.
    pub user_name: String,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrgId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
}

/// What to make when an organization is founded.
#[derive(Debug)]
pub struct NewOrganization<'a> {
    /// Name in addresses.
    pub slug: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// The owner's address.
    pub owner_email: &'a str,
    /// The owner's name.
    pub owner_name: &'a str,
}

/// The secret that signs this installation's tokens and cursors, if it has one yet.
pub async fn instance_secret(tx: &mut PlatformTx) -> Result<Option<Vec<u8>>, StoreError> {
    let row =
        sqlx::query!("SELECT secret FROM eve.instance").fetch_optional(tx.conn()).await.during("instance_secret")?;
    Ok(row.map(|row| row.secret))
}

/// Gives the installation its secret, unless another process has just done so.
pub async fn instance_secret_put(tx: &mut PlatformTx, fresh: &[u8; 32]) -> Result<(), StoreError> {
    sqlx::query!("INSERT INTO eve.instance (secret) VALUES ($1) ON CONFLICT DO NOTHING", &fresh[..])
        .execute(tx.conn())
        .await
        .during("instance_secret_put")?;
    Ok(())
}

/// Founds an organization with its owner, or finds the one that has this slug already.
pub async fn organization_ensure(tx: &mut PlatformTx, new: NewOrganization<'_>) -> Result<(OrgId, UserId), StoreError> {
    const OP: &str = "organization_ensure";
    sqlx::query!(
        "INSERT INTO eve.organizations (id, slug, name) VALUES ($1, $2, $3) ON CONFLICT (slug) DO NOTHING",
        new_id(),
        new.slug,
        new.name
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    let org = sqlx::query_scalar!("SELECT id FROM eve.organizations WHERE slug = $1", new.slug)
        .fetch_one(tx.conn())
        .await
        .during(OP)?;
    sqlx::query!(
        "INSERT INTO eve.users (id, email, name) VALUES ($1, $2, $3) ON CONFLICT (email) DO NOTHING",
        new_id(),
        new.owner_email,
        new.owner_name
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    let user = sqlx::query_scalar!("SELECT id FROM eve.users WHERE email = $1", new.owner_email)
        .fetch_one(tx.conn())
        .await
        .during(OP)?;
    sqlx::query!(
        "INSERT INTO eve.members (org_id, user_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING",
        org,
        user
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    Ok((OrgId::from_uuid(org), UserId::from_uuid(user)))
}

/// The organization of the transaction.
pub async fn organization_get(tx: &mut OrgTx) -> Result<Option<Organization>, StoreError> {
    let row = sqlx::query!("SELECT id, slug, name FROM eve.organizations")
        .fetch_optional(tx.conn())
        .await
        .during("organization_get")?;
    Ok(row.map(|row| Organization { id: OrgId::from_uuid(row.id), slug: row.slug, name: row.name }))
}

/// The organization that the installation was founded with.
pub async fn organization_first(tx: &mut PlatformTx) -> Result<Option<OrgId>, StoreError> {
    let id = sqlx::query_scalar!("SELECT id FROM eve.organizations ORDER BY id LIMIT 1")
        .fetch_optional(tx.conn())
        .await
        .during("organization_first")?;
    Ok(id.map(OrgId::from_uuid))
}

/// Every organization, by slug.
pub async fn organization_list(tx: &mut PlatformTx) -> Result<Vec<Organization>, StoreError> {
    let rows = sqlx::query!("SELECT id, slug, name FROM eve.organizations ORDER BY slug LIMIT 1000")
        .fetch_all(tx.conn())
        .await
        .during("organization_list")?;
    Ok(rows
        .into_iter()
        .map(|row| Organization { id: OrgId::from_uuid(row.id), slug: row.slug, name: row.name })
        .collect())
}

/// Keeps the hash of a new key.
pub async fn api_key_create(
    tx: &mut PlatformTx,
    org: OrgId,
    user: UserId,
    name: &str,
    secret_sha256: &[u8],
) -> Result<KeyId, StoreError> {
    let id = new_id();
    sqlx::query!(
        "INSERT INTO eve.api_keys (org_id, id, user_id, name, secret_sha256) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (secret_sha256) DO NOTHING",
        org.uuid(),
        id,
        user.uuid(),
        name,
        secret_sha256
    )
    .execute(tx.conn())
    .await
    .during("api_key_create")?;
    Ok(KeyId::from_uuid(id))
}

/// Whose key has this hash, and notes its use (at most once a minute, so that reading stays reading).
pub async fn api_key_find(tx: &mut PlatformTx, secret_sha256: &[u8]) -> Result<Option<KeyOwner>, StoreError> {
    const OP: &str = "api_key_find";
    let row = sqlx::query!(
        r#"SELECT k.org_id, k.id, k.user_id, m.role, u.name,
                  (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute') AS "note!"
           FROM eve.api_keys k
           JOIN eve.members m ON m.org_id = k.org_id AND m.user_id = k.user_id
           JOIN eve.users u ON u.id = k.user_id
           WHERE k.secret_sha256 = $1 AND k.revoked_at IS NULL"#,
        secret_sha256
    )
    .fetch_optional(tx.conn())
    .await
    .during(OP)?;
    let Some(row) = row else { return Ok(None) };
    if row.note {
        sqlx::query!("UPDATE eve.api_keys SET last_used_at = now() WHERE org_id = $1 AND id = $2", row.org_id, row.id)
            .execute(tx.conn())
            .await
            .during(OP)?;
    }
    Ok(Some(KeyOwner {
        org_id: OrgId::from_uuid(row.org_id),
        user_id: UserId::from_uuid(row.user_id),
        key_id: KeyId::from_uuid(row.id),
        role: row.role,
        user_name: row.name,
    }))
}

/// Whether a key still counts, and the role of its owner now: a token outlives neither.
pub async fn api_key_check(tx: &mut OrgTx, key: KeyId) -> Result<Option<KeyOwner>, StoreError> {
    let row = sqlx::query!(
        "SELECT k.org_id, k.id, k.user_id, m.role, u.name
         FROM eve.api_keys k
         JOIN eve.members m ON m.org_id = k.org_id AND m.user_id = k.user_id
         JOIN eve.users u ON u.id = k.user_id
         WHERE k.id = $1 AND k.revoked_at IS NULL",
        key.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("api_key_check")?;
    Ok(row.map(|row| KeyOwner {
        org_id: OrgId::from_uuid(row.org_id),
        user_id: UserId::from_uuid(row.user_id),
        key_id: KeyId::from_uuid(row.id),
        role: row.role,
        user_name: row.name,
    }))
}

/// Keeps the hash of a worker's key.
pub async fn worker_key_create(tx: &mut PlatformTx, name: &str, secret_sha256: &[u8]) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO eve.worker_keys (id, name, secret_sha256) VALUES ($1, $2, $3) ON CONFLICT (secret_sha256) DO NOTHING",
        new_id(),
        name,
        secret_sha256
    )
    .execute(tx.conn())
    .await
    .during("worker_key_create")?;
    Ok(())
}

/// The name of the worker key with this hash, if it counts.
pub async fn worker_key_find(tx: &mut PlatformTx, secret_sha256: &[u8]) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar!(
        "SELECT name FROM eve.worker_keys WHERE secret_sha256 = $1 AND revoked_at IS NULL",
        secret_sha256
    )
    .fetch_optional(tx.conn())
    .await
    .during("worker_key_find")
}
