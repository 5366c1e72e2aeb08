//! Server-sent events, as both APIs use them: a name, and JSON that has the name as its type.

use serde_json::Value;

/// A stream of events in the making.
#[derive(Debug, Default)]
pub(super) struct Events {
    text: String,
}

impl Events {
    /// Adds an event. Its data must be an object with a `type`.
    pub(super) fn push(&mut self, data: &Value) {
        let name = data.get("type").and_then(Value::as_str).unwrap_or("message");
        // Serialised JSON has no line breaks, which would end the field.
        self.text.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    }

    /// The events so far, as they go over the wire.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_two_lines_and_an_empty_one() {
        let mut events = Events::default();
        events.push(&json!({ "type": "ping" }));
        events.push(&json!({ "text": "a\nb", "type": "delta" }));
        let expected =
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: delta\ndata: {\"text\":\"a\\nb\",\"type\":\"delta\"}\n\n";
        assert_eq!(events.into_text(), expected);
    }
}
