//! Makes answers comparable: ids and times that differ with every run become names that say which is which.

use serde_json::Value;

/// What typed ids begin with.
const PREFIXES: [&str; 7] = ["org_", "usr_", "key_", "prj_", "req_", "att_", "wrk_"];
/// Letters of an id after its prefix.
const ENCODED_LEN: usize = 26;

/// The answer with each id replaced by its kind and the order of its appearance, and each time by `[time]`.
pub(crate) fn redact(value: &Value) -> Value {
    Redaction::default().value(None, value)
}

#[derive(Default)]
struct Redaction {
    seen: Vec<String>,
}

impl Redaction {
    fn value(&mut self, key: Option<&str>, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(key, text)),
            Value::Array(items) => items.iter().map(|item| self.value(key, item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.value(Some(key), value))).collect(),
            Value::Number(_) if key == Some("uptime_seconds") => Value::from("[seconds]"),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn text(&mut self, key: Option<&str>, text: &str) -> String {
        if text.parse::<jiff::Timestamp>().is_ok() {
            return "[time]".to_owned();
        }
        if key == Some("request_id") && uuid::Uuid::try_parse(text).is_ok() {
            return "[id]".to_owned();
        }
        let mut rest = text;
        let mut redacted = String::new();
        while let Some((at, prefix)) = PREFIXES.iter().filter_map(|prefix| Some((rest.find(prefix)?, prefix))).min() {
            let end = at + prefix.len() + ENCODED_LEN;
            let Some(id) =
                rest.get(at..end).filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
            else {
                break;
            };
            if !self.seen.iter().any(|seen| seen == id) {
                self.seen.push(id.to_owned());
            }
            let alike = self.seen.iter().filter(|seen| seen.starts_with(prefix));
            let number = alike.take_while(|seen| *seen != id).count() + 1;
            redacted.push_str(&rest[..at]);
            redacted.push_str(&format!("[{prefix}{number}]"));
            rest = &rest[end..];
        }
        redacted + rest
    }
}
