//! The one character that no text of PostgreSQL can hold.
//!
//! A caller who sends one is refused. What an agent said is kept all the same, with the character replaced: an
//! attempt must be able to report whatever happened.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What stands in its place.
const REPLACEMENT: &str = "\u{fffd}";

/// Whether it is anywhere in this value.
pub(crate) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The value with the character replaced; nothing if it is fine as it is.
pub(crate) fn without_nul<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    let text = serde_json::to_string(value).ok()?;
    if !text.contains("\\u0000") {
        return None;
    }
    serde_json::from_value(replace(serde_json::from_str(&text).ok()?)).ok()
}

fn replace(value: Value) -> Value {
    let clean = |text: String| if text.contains('\0') { text.replace('\0', REPLACEMENT) } else { text };
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.into_iter().map(replace).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (clean(key), replace(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
