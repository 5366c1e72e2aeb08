use std::path::PathBuf;

use super::*;
use crate::harness::HarnessKind;
use crate::inventory::HarnessSettings;
use crate::inventory::SignedIn;

fn check(context: serde_json::Value, vars: &[(&str, &str)]) -> BTreeMap<String, String> {
    let host = HostEnvironment::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let entry = HarnessEntry {
        name: "claude".into(),
        kind: HarnessKind::ClaudeCode,
        program: PathBuf::from("claude"),
        version: None,
        signed_in: SignedIn::Unknown,
        settings: HarnessSettings { pass_env: vec!["EXTRA".into()], ..HarnessSettings::default() },
    };
    let assignment: Assignment = serde_json::from_value(serde_json::json!({
        "attempt_id": "att_00000000000000000000000001", "fence": 1, "number": 1,
        "org_id": "org_00000000000000000000000002", "request_id": "req_00000000000000000000000003",
        "user_id": "usr_00000000000000000000000004", "worker_type": "general", "title": "t", "prompt": "p",
        "instructions": "", "context": context, "timeout_seconds": 1, "idle_timeout_seconds": 1,
    }))
    .expect("a whole assignment");
    environment(&host, &entry, &[("FROM_COMMAND".into(), "1".into())], &assignment, Path::new("/w"), Path::new("/s"))
        .into_iter()
        .collect()
}

#[test]
fn nothing_of_the_worker_s_own_gets_through_but_what_is_named() {
    let env = check(
        serde_json::json!({}),
        &[
            ("PATH", "/bin"),
            ("SECRET", "x"),
            ("DATABASE_URL", "y"),
            ("EVE_API_KEY", "z"),
            ("EXTRA", "e"),
            ("ANTHROPIC_API_KEY", "k"),
        ],
    );
    for name in ["SECRET", "DATABASE_URL", "EVE_API_KEY"] {
        assert!(!env.contains_key(name), "{name}");
    }
    assert_eq!((env["PATH"].as_str(), env["EXTRA"].as_str(), env["ANTHROPIC_API_KEY"].as_str()), ("/bin", "e", "k"));
}

#[test]
fn the_request_s_context_arrives_and_cannot_pose_as_eve_s_own() {
    let env = check(serde_json::json!({"issue-id": 7, "REQUEST_ID": "fake", "list": [1], "nul": "a\u{0}b"}), &[]);
    assert_eq!(env["EVE_CONTEXT_ISSUE_ID"], "7");
    assert_eq!(env["EVE_REQUEST_ID"], "req_00000000000000000000000003");
    assert_eq!(env["EVE_CONTEXT_REQUEST_ID"], "fake");
    assert!(!env.contains_key("EVE_CONTEXT_LIST") && !env.contains_key("EVE_CONTEXT_NUL"));
}
