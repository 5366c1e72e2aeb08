use super::*;

#[test]
fn the_serialised_form_is_a_contract() {
    let events = [
        AgentEvent::Session { session_id: "s".into(), model: Some("m".into()) },
        AgentEvent::Text { text: "t".into() },
        AgentEvent::ToolCall { id: "1".into(), name: "Bash".into(), input: serde_json::json!({"command": "ls"}) },
        AgentEvent::ToolResult { id: "1".into(), output: "o".into(), is_error: false },
        AgentEvent::Usage(Usage { input_tokens: 1, ..Usage::default() }),
        AgentEvent::Question { text: "q".into(), options: vec!["a".into()] },
        AgentEvent::Retry { status: Some(529), reason: "overloaded".into() },
        AgentEvent::Result { text: "r".into(), is_error: false },
        AgentEvent::Output { stream: OutputStream::Stderr, text: "e".into() },
        AgentEvent::Notice { level: NoticeLevel::Warn, text: "n".into() },
        AgentEvent::Unrecognised { raw: "{".into() },
    ];
    let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).expect("serialises")).collect();
    for (event, line) in events.iter().zip(&lines) {
        assert_eq!(&serde_json::from_str::<AgentEvent>(line).expect("reads back"), event);
        assert!(line.contains(&format!("\"type\":\"{}\"", event.kind())));
    }
    insta::assert_snapshot!(lines.join("\n"));
}
