//! What holds for any output: agents, and the programs that run them, print what they like.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::harness::text::TEXT_LIMIT;
use crate::harness::text::Tail;
use crate::harness::text::head;
use crate::harness::text::summary;

/// Keys and values that the adapters look at, so that arbitrary JSON gets past the first look.
const WORDS: &[&str] = &[
    "type",
    "subtype",
    "system",
    "init",
    "assistant",
    "user",
    "result",
    "success",
    "message",
    "content",
    "text",
    "tool_use",
    "tool_result",
    "usage",
    "id",
    "is_error",
    "errors",
    "error",
    "total_cost_usd",
    "modelUsage",
    "model_usage_since_last_result",
    "costUSD",
    "permission_denials",
    "tool_name",
    "session_id",
    "api_retry",
    "error_status",
    "rate_limit_event",
    "rate_limit_info",
    "resetsAt",
    "status",
    "rejected",
    "thread.started",
    "thread_id",
    "turn.completed",
    "turn.failed",
    "item.started",
    "item.updated",
    "item.completed",
    "item",
    "agent_message",
    "command_execution",
    "file_change",
    "mcp_tool_call",
    "todo_list",
    "web_search",
    "items",
    "changes",
    "arguments",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "exit_code",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => any::<String>()]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(word(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A line of the right type with anything in it.
fn any_line() -> impl Strategy<Value = String> {
    (any_json(), word(), word()).prop_map(|(mut value, kind, subtype)| {
        if let Value::Object(fields) = &mut value {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("subtype".to_owned(), subtype.into());
        }
        value.to_string()
    })
}

/// Every recorded line of both CLIs.
fn recorded_lines() -> Vec<String> {
    [HarnessKind::ClaudeCode, HarnessKind::Codex]
        .into_iter()
        .flat_map(|kind| fs::read_dir(testdata(kind)).expect("the recordings are there"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .flat_map(|path| fs::read_to_string(path).expect("readable").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Puts another value in the place of the `nth` one within `value`.
fn replace_nth(value: &mut Value, nth: &mut usize, other: &Value) {
    if *nth == 0 {
        value.clone_from(other);
    }
    *nth = nth.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_nth(item, nth, other)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_nth(field, nth, other)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Feeds the lines to every adapter, as a new and as a resumed session, and looks at the size of what comes out.
fn survives(lines: &[String]) {
    let lines: Vec<_> = lines
        .iter()
        .flat_map(|line| [(OutputStream::Stdout, line.as_str()), (OutputStream::Stderr, line.as_str())])
        .collect();
    for kind in [HarnessKind::Command, HarnessKind::ClaudeCode, HarnessKind::Codex] {
        for spec in [spec(""), full_spec()] {
            let mut decoder = kind.decoder(&spec);
            for (stream, line) in &lines {
                for event in decoder.line(*stream, line) {
                    // Six bytes are the most that JSON makes of one.
                    assert!(serde_json::to_string(&event).expect("serialises").len() < 7 * TEXT_LIMIT);
                }
            }
            for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal(SIGKILL)] {
                let finish = decoder.finish(exit);
                assert!(Replay { events: Vec::new(), finish }.message().len() < TEXT_LIMIT);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_an_adapter_panic(lines in proptest::collection::vec(any::<String>(), 0..12)) {
        survives(&lines);
    }

    #[test]
    fn no_json_makes_an_adapter_panic(lines in proptest::collection::vec(any_line(), 1..8)) {
        survives(&lines);
    }

    #[test]
    fn no_change_to_a_recorded_line_makes_an_adapter_panic(
        line in proptest::sample::select(recorded_lines()),
        nth in 0_usize..80,
        other in any_json(),
    ) {
        let mut value: Value = serde_json::from_str(&line).expect("was JSON");
        replace_nth(&mut value, &mut nth.clone(), &other);
        survives(&[value.to_string()]);
    }

    #[test]
    fn what_is_not_json_is_kept_as_unrecognised(text in "[^{\\[\"0-9tfn\\-\\s][^\\n]{0,60}") {
        for kind in [HarnessKind::ClaudeCode, HarnessKind::Codex] {
            let replay = Replay::of_stdout(kind, &spec(""), &[&text], Exit::Code(0));
            prop_assert_eq!(&replay.events, &vec![AgentEvent::Unrecognised { raw: text.clone() }]);
            prop_assert_eq!(replay.failure(), Some(FailureClass::NoResult));
        }
    }

    #[test]
    fn the_beginning_is_a_prefix_of_the_text(text: String, limit in 0_usize..64) {
        let kept = head(&text, limit);
        if text.len() <= limit {
            prop_assert_eq!(kept, text);
        } else {
            let (start, _) = kept.rsplit_once('…').expect("says that it was cut");
            prop_assert!(text.starts_with(start) && start.len() <= limit);
        }
    }

    #[test]
    fn a_summary_is_short(text in "(a|ä|\\s){0,1200}") {
        prop_assert!(summary(&text).chars().count() <= 500);
    }

    #[test]
    fn a_tail_keeps_the_end_and_counts_the_rest(lines: Vec<String>, max_bytes in 1_usize..200, max_lines in 1_usize..9) {
        let mut tail = Tail::new(max_bytes, max_lines);
        let mut all = String::new();
        for line in &lines {
            let line = line.replace('\n', " ");
            tail.push(&line);
            all.push_str(&line);
            all.push('\n');
        }
        let kept = tail.joined();
        prop_assert!(kept.len() <= max_bytes && kept.lines().count() <= max_lines);
        prop_assert!(all.ends_with(&kept));
        prop_assert_eq!(tail.cut_bytes() as usize, all.len() - kept.len());
    }
}

#[test]
fn large_texts_are_cut_and_say_so() {
    let large = "ä".repeat(1 << 16);
    let call = json!({"type": "assistant", "message": {"content": [
        {"type": "text", "text": large},
        {"type": "tool_use", "id": large, "name": large, "input": {"file": "a", "content": large}},
        {"type": "tool_use", "id": "1", "name": "n", "input": vec![large.as_str(); 16]},
    ]}});
    let answer = json!({"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "1", "content": large},
    ]}});
    let run = json!({"type": "item.completed", "item": {
        "type": "command_execution", "id": "1", "command": large, "aggregated_output": large,
    }});
    let lines = [call.to_string(), answer.to_string(), run.to_string(), large.clone()];
    survives(&lines);

    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let replay = Replay::of_stdout(HarnessKind::ClaudeCode, &spec(""), &lines, Exit::Code(0));
    let lengths: Vec<(&str, usize)> = replay
        .events
        .iter()
        .map(|event| (event.kind(), serde_json::to_string(event).expect("serialises").len() / 1024))
        .collect();
    assert_eq!(
        lengths,
        [
            ("text", 64),
            ("tool_call", 2),
            ("tool_call", 16),
            ("tool_result", 16),
            ("unrecognised", 4),
            ("unrecognised", 4)
        ]
    );
    assert!(replay.events.iter().all(|event| serde_json::to_string(event).expect("serialises").contains("bytes cut]")));
}
