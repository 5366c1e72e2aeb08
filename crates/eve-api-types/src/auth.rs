//! Turning an API key into a token.

use eve_core::KeyId;
use eve_core::OrgId;
use eve_core::UserId;
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// Asks for a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// An API key of the organization. `apiKey` is accepted too.
    #[serde(alias = "apiKey")]
    pub api_key: String,
}

/// A token for `Authorization: Bearer`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until it no longer counts.
    pub expires_in: u64,
}

/// Who the caller is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The organization.
    #[schema(value_type = String)]
    pub org_id: OrgId,
    /// Its name in addresses.
    pub org: String,
    /// The person behind the key.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// The person's name.
    pub user: String,
    /// The person's role: `owner`, `admin` or `member`.
    pub role: String,
    /// The key.
    #[schema(value_type = String)]
    pub key_id: KeyId,
}
