use eve_api_types::Event;
use eve_api_types::LogEntry;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::json;

use super::LogView;
use crate::output::Paint;
use crate::output::Stream;

const ATTEMPT: &str = "att_01h455vb4pex5vsknk084sn02q";

fn entry(event: Value) -> LogEntry {
    let entry = json!({ "id": "1-1", "attempt_id": ATTEMPT, "at": "2026-01-31T10:30:05Z", "event": event });
    serde_json::from_value(entry).unwrap_or_else(|error| panic!("{error}"))
}

fn story() -> Vec<LogEntry> {
    [
        json!({"type": "notice", "level": "info", "text": "worker build-1 runs this with claude: the only agent that is signed in"}),
        json!({"type": "session", "session_id": "0b1c", "model": "opus"}),
        json!({"type": "text", "text": "I'll look at the tests.\n\nThen I fix them."}),
        json!({"type": "tool_call", "id": "1", "name": "Bash", "input": {"command": "cargo test\n  --all", "timeout": 1}}),
        json!({"type": "tool_result", "id": "1", "output": "one\ntwo\nthree\nfour\nfive is a rather long line\n", "is_error": false}),
        json!({"type": "tool_call", "id": "2", "name": "shell", "input": {"command": ["bash", "-lc", "ls"]}}),
        json!({"type": "tool_result", "id": "2", "output": "permission \u{1b}[31mdenied", "is_error": true}),
        json!({"type": "tool_call", "id": "3", "name": "Todo", "input": {"items": [1, 2]}}),
        json!({"type": "usage", "input_tokens": 1200, "output_tokens": 300, "cache_read_tokens": 11000, "cost_usd": "0.0421"}),
        json!({"type": "retry", "status": 529, "reason": "overloaded"}),
        json!({"type": "question", "text": "Which database?", "options": ["PostgreSQL", "SQLite"]}),
        json!({"type": "output", "stream": "stdout", "text": "a script's line"}),
        json!({"type": "output", "stream": "stderr", "text": "a complaint"}),
        json!({"type": "notice", "level": "warn", "text": "the disk is nearly full"}),
        json!({"type": "notice", "level": "error", "text": "the branch does not exist"}),
        json!({"type": "unrecognised", "raw": "{\"type\":\"new\"}"}),
        json!({"type": "from_the_future", "x": 1}),
        json!({"type": "result", "text": "Done.\nAll tests pass.", "is_error": false}),
    ]
    .into_iter()
    .map(entry)
    .collect()
}

fn shown(view: &LogView) -> String {
    story().iter().flat_map(|entry| view.entry(entry)).collect::<Vec<_>>().join("\n")
}

#[test]
fn elsewhere_than_on_a_terminal_everything_is_shown() {
    let view = LogView::new(Stream { paint: Paint::OFF, width: None }).with_clock(TimeZone::UTC);
    insta::assert_snapshot!(shown(&view));
}

#[test]
fn on_a_terminal_answers_of_tools_are_cut() {
    insta::assert_snapshot!(shown(&LogView::new(Stream { paint: Paint::OFF, width: Some(24) })));
}

#[test]
fn events_are_one_line_each() -> Result<(), Box<dyn std::error::Error>> {
    let event = Event {
        id: "7".to_owned(),
        kind: "request:failed".to_owned(),
        request_id: Some("req_01h455vb4pex5vsknk084sn02q".parse()?),
        attempt_id: None,
        actor: "worker\nx".to_owned(),
        payload: json!({"error_code": "timeout", "title": null}),
        at: Timestamp::UNIX_EPOCH,
    };
    let view = LogView::new(Stream { paint: Paint::OFF, width: None }).with_clock(TimeZone::UTC);
    insta::assert_snapshot!(view.happening(&event).join("\n"), @"[00:00:00] request:failed  084sn02q  by worker x  error_code=timeout");
    Ok(())
}
