//! One page of a list.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list, newest first unless said otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
