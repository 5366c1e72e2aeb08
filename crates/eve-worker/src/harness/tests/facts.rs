//! The facts that other parts of Eve rely on, one by one: a snapshot can be accepted by mistake.

use eve_core::CostBasis;
use eve_core::NoticeLevel;
use rust_decimal::Decimal;

use super::*;

const CLAUDE: HarnessKind = HarnessKind::ClaudeCode;
const CODEX: HarnessKind = HarnessKind::Codex;

fn dollars(text: &str) -> Option<Decimal> {
    Some(text.parse().expect("a decimal"))
}

#[test]
fn claude_failures_have_their_class() {
    for (case, exit, class) in [
        ("error-401", Exit::Code(1), FailureClass::Authentication),
        ("no-key", Exit::Code(1), FailureClass::Authentication),
        ("error-403-billing", Exit::Code(1), FailureClass::Billing),
        ("error-429-final", Exit::Code(1), FailureClass::RateLimited),
        ("error-500-final", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("error-529-final", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("model-hangs", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("connection-refused", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("error-400-prompt-too-long", Exit::Code(1), FailureClass::ContextTooLong),
        ("max-turns", Exit::Code(1), FailureClass::AgentFailed),
        ("max-budget", Exit::Code(1), FailureClass::AgentFailed),
        ("json-schema-never-valid", Exit::Code(1), FailureClass::AgentFailed),
        ("resume-unknown-id", Exit::Code(1), FailureClass::AgentFailed),
        ("root-skip-permissions-refused", Exit::Code(1), FailureClass::AgentFailed),
        ("killed-SIGINT", Exit::Code(0), FailureClass::AgentFailed),
        ("killed-SIGTERM", Exit::Code(143), FailureClass::NoResult),
        ("killed-SIGKILL", Exit::Signal(SIGKILL), FailureClass::NoResult),
        ("killed-SIGTERM", Exit::Code(0), FailureClass::NoResult),
        ("error-401-default-retries", Exit::Signal(SIGTERM), FailureClass::NoResult),
    ] {
        assert_eq!(replay(CLAUDE, case, exit).failure(), Some(class), "{case}");
    }
}

#[test]
fn codex_failures_have_their_class() {
    for (case, exit, class) in [
        ("error-401", Exit::Code(1), FailureClass::Authentication),
        ("no-key", Exit::Code(1), FailureClass::Authentication),
        ("error-429-final", Exit::Code(1), FailureClass::RateLimited),
        ("error-503-final", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("error-529-final", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("connection-refused-bounded", Exit::Code(1), FailureClass::ProviderUnavailable),
        ("error-400-context", Exit::Code(1), FailureClass::ContextTooLong),
        ("token-budget", Exit::Code(1), FailureClass::AgentFailed),
        ("not-a-git-repo", Exit::Code(1), FailureClass::AgentFailed),
        ("mcp-required-broken", Exit::Code(1), FailureClass::AgentFailed),
        ("killed-SIGINT", Exit::Code(1), FailureClass::NoResult),
        ("killed-SIGTERM", Exit::Code(143), FailureClass::NoResult),
        ("model-hangs", Exit::Signal(SIGTERM), FailureClass::NoResult),
        ("connection-refused-default", Exit::Signal(SIGTERM), FailureClass::NoResult),
    ] {
        assert_eq!(replay(CODEX, case, exit).failure(), Some(class), "{case}");
    }
}

#[test]
fn the_exit_code_does_not_overrule_the_last_word() {
    for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal(SIGKILL)] {
        assert_eq!(replay(CLAUDE, "edit-and-bash", exit).failure(), None);
        assert_eq!(replay(CODEX, "edit-and-bash", exit).failure(), None);
        assert_eq!(replay(CLAUDE, "error-401", exit).failure(), Some(FailureClass::Authentication));
        assert_eq!(replay(CODEX, "error-401", exit).failure(), Some(FailureClass::Authentication));
    }
}

#[test]
fn a_refusal_to_start_is_told_in_the_clis_words() {
    let refused = replay(CLAUDE, "root-skip-permissions-refused", Exit::Code(1));
    assert!(refused.message().starts_with("--dangerously-skip-permissions cannot be used"));
    let unknown = replay(CLAUDE, "resume-unknown-id", Exit::Code(1));
    assert!(unknown.message().contains("No conversation found with session ID"));
    let broken = Replay::of_lines(
        CLAUDE,
        &spec(""),
        &[(OutputStream::Stderr, "env: 'node': No such file or directory")],
        Exit::Code(127),
    );
    assert_eq!(broken.failure(), Some(FailureClass::HarnessUnavailable));
}

#[test]
fn a_resumed_claude_session_is_not_counted_twice() {
    let first = replay(CLAUDE, "session-1", Exit::Code(0)).finish;
    let second = replay(CLAUDE, "session-2-resume", Exit::Code(0)).finish;
    assert_eq!(first.session_id, second.session_id);
    assert_eq!((first.usage.input_tokens, first.usage.output_tokens), (10_283, 51));
    assert_eq!((second.usage.input_tokens, second.usage.output_tokens), (10_356, 46));
    assert_eq!(first.usage.cost_usd, dollars("0.031614"));
    assert_eq!(second.usage.cost_usd, dollars("0.031758"));
    // What the session cost in all is 0.06337200000000001 in the transcript.
    assert_eq!(first.usage.cost_usd.and_then(|a| second.usage.cost_usd.map(|b| a + b)), dollars("0.063372"));
}

#[test]
fn an_older_claude_reports_only_the_sessions_cost() {
    let line = r#"{"type":"result","subtype":"success","result":"x","total_cost_usd":0.5,"usage":{"input_tokens":7}}"#;
    let cost = |spec: &HarnessSpec| Replay::of_stdout(CLAUDE, spec, &[line], Exit::Code(0)).finish.usage.cost_usd;
    assert_eq!(cost(&spec("")), dollars("0.5"));
    let resumed = HarnessSpec { resume: Some("s".to_owned()), ..spec("") };
    assert_eq!(cost(&resumed), None, "unknown is not zero");
    let prior_usage = Usage { cost_usd: dollars("0.2"), ..Usage::default() };
    assert_eq!(cost(&HarnessSpec { prior_usage, ..resumed }), dollars("0.3"));
}

#[test]
fn costs_are_exact_and_observed() {
    for (case, cost) in
        [("edit-and-bash", "0.096393"), ("json-schema", "0.063324"), ("max-budget", "0.63"), ("error-401", "0")]
    {
        let usage = replay(CLAUDE, case, Exit::Code(0)).finish.usage;
        assert_eq!(usage.cost_usd.map(|cost| cost.to_string()).as_deref(), Some(cost), "{case}");
        assert_eq!(usage.cost_basis, Some(CostBasis::Observed), "{case}");
    }
    let small = r#"{"type":"result","subtype":"success","total_cost_usd":1.5e-7}"#;
    let usage = Replay::of_stdout(CLAUDE, &spec(""), &[small], Exit::Code(0)).finish.usage;
    assert_eq!(usage.cost_usd, dollars("0.00000015"));
    let absurd = r#"{"type":"result","subtype":"success","total_cost_usd":1e300}"#;
    assert_eq!(Replay::of_stdout(CLAUDE, &spec(""), &[absurd], Exit::Code(0)).finish.usage.cost_usd, None);
}

#[test]
fn the_turn_that_hits_a_limit_is_counted() {
    // `usage` of the same lines says 41,760 and 100,000.
    assert_eq!(replay(CLAUDE, "json-schema-never-valid", Exit::Code(1)).finish.usage.input_tokens, 52_490);
    assert_eq!(replay(CLAUDE, "max-budget", Exit::Code(1)).finish.usage.input_tokens, 200_000);
}

#[test]
fn a_killed_claude_run_has_a_lower_bound_of_usage() {
    let usage = replay(CLAUDE, "killed-SIGTERM", Exit::Code(143)).finish.usage;
    assert_eq!(usage.input_tokens, 10_265);
    assert_eq!(usage.cost_usd, None);
}

#[test]
fn a_resumed_codex_thread_is_not_counted_twice() {
    let first = replay(CODEX, "resume-1", Exit::Code(0)).finish.usage;
    let second = replay(CODEX, "resume-2", Exit::Code(0)).finish.usage;
    assert_eq!((first.input_tokens, first.output_tokens), (1000, 10));
    assert_eq!((second.input_tokens, second.output_tokens), (2000, 20));
}

#[test]
fn a_codex_thread_that_was_not_found_is_counted_from_its_beginning() {
    let prior_usage = Usage { input_tokens: 900, ..Usage::default() };
    let asked = HarnessSpec { resume: Some("no-such-name".to_owned()), prior_usage, ..spec("") };
    let replay = Replay::of_case(CODEX, &asked, "resume-1", Exit::Code(0));
    assert_eq!(replay.finish.usage.input_tokens, 1000);
    assert!(matches!(&replay.events[0], AgentEvent::Notice { text, .. } if text.contains("no-such-name")));
}

#[test]
fn a_codex_run_whose_sandbox_is_broken_says_so() {
    let replay = replay(CODEX, "home-under-tmp-sandbox-silently-broken", Exit::Code(0));
    assert!(replay.events.iter().any(
        |event| matches!(event, AgentEvent::Notice { level, text } if *level == NoticeLevel::Error && text.contains("CODEX_HOME"))
    ));
}

#[test]
fn codex_counts_cached_tokens_once() {
    let line = r#"{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":70,"output_tokens":5}}"#;
    let asked = HarnessSpec { model: Some("m".to_owned()), ..spec("") };
    let usage = Replay::of_stdout(CODEX, &asked, &[line], Exit::Code(0)).finish.usage;
    assert_eq!((usage.input_tokens, usage.cache_read_tokens, usage.total_tokens()), (30, 70, 105));
    assert_eq!(usage.model.as_deref(), Some("m"));
}

#[test]
fn retries_carry_their_status() {
    for (kind, case, expected) in [
        (CLAUDE, "error-429-then-ok", vec![Some(429), Some(429)]),
        (CLAUDE, "error-529-final", vec![Some(529), Some(529)]),
        (CLAUDE, "connection-refused", vec![None]),
        (CODEX, "error-429-then-ok", vec![Some(429), Some(429)]),
        (CODEX, "error-401", vec![Some(401); 5]),
        (CODEX, "error-529-final", vec![Some(529)]),
        (CODEX, "stream-cut", vec![None]),
    ] {
        let events = replay(kind, case, Exit::Code(0)).events;
        let statuses: Vec<_> = events
            .iter()
            .filter_map(|event| if let AgentEvent::Retry { status, .. } = event { Some(*status) } else { None })
            .collect();
        assert_eq!(statuses, expected, "{case}");
    }
}

#[test]
fn a_used_up_subscription_says_when_it_is_usable_again() {
    let lines = [
        r#"{"type":"rate_limit_event","rate_limit_info":{"status":"allowed","resetsAt":1700000000}}"#,
        r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1800000000}}"#,
        r#"{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"limit"}]}}"#,
        r#"{"type":"result","subtype":"success","is_error":true,"result":"limit","terminal_reason":"api_error"}"#,
    ];
    let Outcome::Failed { class, retry_at, .. } =
        Replay::of_stdout(CLAUDE, &spec(""), &lines, Exit::Code(1)).finish.outcome
    else {
        panic!("it failed")
    };
    assert_eq!(class, FailureClass::RateLimited);
    assert_eq!(retry_at.map(|at| at.as_second()), Some(1_800_000_000));
}

#[test]
fn a_structured_answer_is_the_output() {
    let Outcome::Succeeded { output, .. } = replay(CLAUDE, "json-schema", Exit::Code(0)).finish.outcome else {
        panic!("it succeeded")
    };
    assert_eq!(output, json!({ "name": "x", "ok": true }));
}

#[test]
fn a_denied_tool_is_a_warning_and_no_failure() {
    let replay = replay(CLAUDE, "permission-denied", Exit::Code(0));
    assert_eq!(replay.failure(), None);
    assert!(replay.events.iter().any(
        |event| matches!(event, AgentEvent::Notice { level, text } if *level == NoticeLevel::Warn && text.contains("Bash"))
    ));
}

#[test]
fn claude_lines_that_were_not_recorded() {
    let lines = [
        r#"{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"novelty"}]}}"#,
        r#"{"type":"system","subtype":"compact_boundary"}"#,
        r#"{"type":"user","parent_tool_use_id":"t","message":{"content":"a sub-agent's task"}}"#,
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}]}]}}"#,
        r#"{"type":"system","subtype":"novelty"}"#,
        "[]",
        "",
    ];
    insta::assert_snapshot!(Replay::of_stdout(CLAUDE, &spec(""), &lines, Exit::Code(0)).text());
}

#[test]
fn codex_lines_that_were_not_recorded() {
    let lines = [
        r#"{"type":"item.completed","item":{"id":"0","type":"reasoning","text":"hm"}}"#,
        r#"{"type":"item.started","item":{"id":"1","type":"todo_list","items":[{"text":"a","completed":false}]}}"#,
        r#"{"type":"item.updated","item":{"id":"1","type":"todo_list","items":[{"text":"a","completed":true}]}}"#,
        r#"{"type":"item.completed","item":{"id":"1","type":"todo_list","items":[{"text":"a","completed":true}]}}"#,
        r#"{"type":"item.completed","item":{"id":"2","type":"web_search","query":"q"}}"#,
        r#"{"type":"item.completed","item":{"id":"3","type":"command_execution","command":"rm","status":"declined"}}"#,
        r#"{"type":"item.completed","item":{"id":"4","type":"novelty"}}"#,
        r#"{"type":"novelty"}"#,
        r#"{"type":"turn.completed"}"#,
    ];
    insta::assert_snapshot!(Replay::of_stdout(CODEX, &spec(""), &lines, Exit::Code(0)).text());
}

#[test]
fn provider_refusals_by_status_and_words() {
    use crate::harness::refusal::class_of_status;
    for (status, text, class) in [
        (400, "max_tokens must be positive", FailureClass::InvalidModelRequest),
        (400, "Your credit balance is too low to access the API", FailureClass::Billing),
        (400, "prompt is too long: 250000 tokens > 200000 maximum", FailureClass::ContextTooLong),
        (402, "", FailureClass::Billing),
        (403, "your account may not do that", FailureClass::Authentication),
        (404, "model not found", FailureClass::InvalidModelRequest),
        (429, "You exceeded your current quota, please check your plan and billing details", FailureClass::Billing),
        (429, "slow down", FailureClass::RateLimited),
        (502, "", FailureClass::ProviderUnavailable),
        (529, "overloaded", FailureClass::ProviderUnavailable),
    ] {
        assert_eq!(class_of_status(status, text), class, "{status} {text}");
    }
}

#[test]
fn a_script_is_passed_on_line_by_line() {
    let lines = [
        (OutputStream::Stdout, "one"),
        (OutputStream::Stderr, "two"),
        (OutputStream::Stdout, "three"),
        (OutputStream::Stdout, ""),
    ];
    let done = Replay::of_lines(HarnessKind::Command, &spec(""), &lines, Exit::Code(0));
    insta::assert_snapshot!("script_succeeds", done.text());
    let failed = Replay::of_lines(HarnessKind::Command, &spec(""), &lines, Exit::Code(3));
    assert_eq!(failed.message(), "the script ended with exit code 3:\ntwo");
    assert_eq!(failed.failure(), Some(FailureClass::AgentFailed));
    let silent = Replay::of_lines(HarnessKind::Command, &spec(""), &lines[2..], Exit::Signal(SIGKILL));
    assert_eq!(silent.message(), "the script was ended by signal 9:\nthree");
}

#[test]
fn a_script_that_says_too_much_is_cut_at_its_beginning() {
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n} äöü")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Outcome::Succeeded { output, summary } =
        Replay::of_stdout(HarnessKind::Command, &spec(""), &lines, Exit::Code(0)).finish.outcome
    else {
        panic!("it succeeded")
    };
    let text = output["text"].as_str().expect("text");
    assert!(text.len() <= 64 * 1024 && text.ends_with("line 19999 äöü\n"));
    let said: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert_eq!(output["cut_bytes"], said - text.len());
    assert_eq!(summary, "line 19999 äöü");
}
