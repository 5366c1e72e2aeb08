//! Recorded runs of the real CLIs, replayed line by line.
//!
//! Each case under `testdata/harness` is the standard output of one run (`CASE.jsonl`) and, where it said anything,
//! its standard error (`CASE.stderr.txt`). The exit beside each case is how that run ended. To add a case, record it,
//! add its line below and review the new snapshot.

mod facts;
mod properties;

use std::fs;
use std::path::PathBuf;

use eve_core::AgentEvent;
use eve_core::FailureClass;
use eve_core::Outcome;
use eve_core::OutputStream;
use eve_core::Usage;
use serde_json::json;

use super::CommandSpec;
use super::Exit;
use super::Finish;
use super::Gateway;
use super::HarnessKind;
use super::HarnessSpec;

const CLAUDE_CODE: &str = "claude-code-2.1.329";
const CODEX: &str = "codex-0.169.0";
/// What the recorder's time limit sends.
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

fn spec(prompt: &str) -> HarnessSpec {
    HarnessSpec {
        program: "agent".into(),
        prompt: prompt.to_owned(),
        instructions: None,
        model: None,
        resume: None,
        new_session: uuid::Uuid::from_u128(7),
        scratch: "/scratch".into(),
        gateway: None,
        prior_usage: Usage::default(),
    }
}

/// Everything that an adapter made of a run.
struct Replay {
    events: Vec<AgentEvent>,
    finish: Finish,
}

impl Replay {
    fn of_lines(kind: HarnessKind, spec: &HarnessSpec, lines: &[(OutputStream, &str)], exit: Exit) -> Self {
        let mut decoder = kind.decoder(spec);
        let events = lines.iter().flat_map(|(stream, line)| decoder.line(*stream, line)).collect();
        Self { events, finish: decoder.finish(exit) }
    }

    fn of_stdout(kind: HarnessKind, spec: &HarnessSpec, lines: &[&str], exit: Exit) -> Self {
        let lines: Vec<_> = lines.iter().map(|line| (OutputStream::Stdout, *line)).collect();
        Self::of_lines(kind, spec, &lines, exit)
    }

    /// The recorded run.
    fn of_case(kind: HarnessKind, spec: &HarnessSpec, case: &str, exit: Exit) -> Self {
        let path = |suffix: &str| testdata(kind).join(format!("{case}{suffix}"));
        let stdout = fs::read_to_string(path(".jsonl")).unwrap_or_default();
        let stderr = fs::read_to_string(path(".stderr.txt")).unwrap_or_default();
        let lines: Vec<_> = stderr
            .lines()
            .map(|line| (OutputStream::Stderr, line))
            .chain(stdout.lines().map(|line| (OutputStream::Stdout, line)))
            .collect();
        assert!(!lines.is_empty(), "there is no such case: {case}");
        Self::of_lines(kind, spec, &lines, exit)
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> =
            self.events.iter().map(|event| serde_json::to_string(event).expect("serialises")).collect();
        let Finish { outcome, usage, session_id } = &self.finish;
        let finish = json!({ "outcome": outcome, "usage": usage, "session_id": session_id });
        lines.push(serde_json::to_string_pretty(&finish).expect("serialises"));
        lines.join("\n")
    }

    fn failure(&self) -> Option<FailureClass> {
        match &self.finish.outcome {
            Outcome::Failed { class, .. } => Some(*class),
            Outcome::Succeeded { .. } | Outcome::NeedsInput { .. } | Outcome::AwaitsChildren | Outcome::Cancelled => {
                None
            }
        }
    }

    fn message(&self) -> &str {
        match &self.finish.outcome {
            Outcome::Failed { message, .. } => message,
            Outcome::Succeeded { summary, .. } => summary,
            Outcome::NeedsInput { question } => question,
            Outcome::AwaitsChildren | Outcome::Cancelled => "",
        }
    }
}

fn testdata(kind: HarnessKind) -> PathBuf {
    let directory = match kind {
        HarnessKind::ClaudeCode => CLAUDE_CODE,
        HarnessKind::Codex => CODEX,
        HarnessKind::Command => "",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/harness").join(directory)
}

/// How the recorded session went on: what its earlier runs had reported.
fn case_spec(kind: HarnessKind, case: &str) -> HarnessSpec {
    let (resume, prior_usage) = match (kind, case) {
        (HarnessKind::ClaudeCode, "resume-after-SIGKILL") => ("11111111-2222-4333-8444-000000000004", Usage::default()),
        (HarnessKind::ClaudeCode, "resume-unknown-id") => ("99999999-2222-4333-8444-555555555555", Usage::default()),
        (HarnessKind::ClaudeCode, "session-2-resume") => ("11111111-2222-4333-8444-555555555555", Usage::default()),
        (HarnessKind::Codex, "resume-2") => (
            "01a1fc30-3f4d-7450-b545-fdc0524ad427",
            Usage { input_tokens: 1000, output_tokens: 10, ..Usage::default() },
        ),
        _ => return spec("the prompt"),
    };
    HarnessSpec { resume: Some(resume.to_owned()), prior_usage, ..spec("the prompt") }
}

fn replay(kind: HarnessKind, case: &str, exit: Exit) -> Replay {
    Replay::of_case(kind, &case_spec(kind, case), case, exit)
}

/// A snapshot, and what holds for every run.
fn check(kind: HarnessKind, case: &str, exit: Exit) {
    let replay = replay(kind, case, exit);
    insta::assert_snapshot!(format!("{}__{case}", kind.name()), replay.text());

    let unknown: Vec<_> =
        replay.events.iter().filter(|event| matches!(event, AgentEvent::Unrecognised { .. })).collect();
    assert!(unknown.is_empty(), "a recorded line is not known: {unknown:?}");

    let reports: Vec<&Usage> = replay
        .events
        .iter()
        .filter_map(|event| if let AgentEvent::Usage(usage) = event { Some(usage) } else { None })
        .collect();
    if !reports.is_empty() {
        let mut sum = Usage::default();
        reports.into_iter().for_each(|usage| sum.add(usage));
        assert_eq!(sum, replay.finish.usage, "the reports add up to the whole");
    }
}

macro_rules! recorded {
    ($module:ident, $kind:ident, $($name:ident: $case:literal, $exit:expr;)*) => {
        mod $module {
            use super::*;

            $(#[test]
            fn $name() {
                check(HarnessKind::$kind, $case, $exit);
            })*

            #[test]
            fn every_recording_is_replayed() {
                let cases = std::collections::BTreeSet::from([$($case.to_owned()),*]);
                let recorded = fs::read_dir(testdata(HarnessKind::$kind))
                    .expect("the recordings are there")
                    .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
                    .map(|name| name.split('.').next().expect("a name").to_owned())
                    .collect();
                assert_eq!(cases, recorded);
            }
        }
    };
}

recorded! { claude_code, ClaudeCode,
    cc_mirror_variant_run: "cc-mirror-variant-run", Exit::Code(0);
    connection_refused: "connection-refused", Exit::Code(1);
    edit_and_bash: "edit-and-bash", Exit::Code(0);
    error_400_prompt_too_long: "error-400-prompt-too-long", Exit::Code(1);
    error_401: "error-401", Exit::Code(1);
    error_401_default_retries: "error-401-default-retries", Exit::Signal(SIGTERM);
    error_403_billing: "error-403-billing", Exit::Code(1);
    error_429_final: "error-429-final", Exit::Code(1);
    error_429_then_ok: "error-429-then-ok", Exit::Code(0);
    error_500_final: "error-500-final", Exit::Code(1);
    error_529_final: "error-529-final", Exit::Code(1);
    hook_blocks_tool: "hook-blocks-tool", Exit::Code(0);
    json_schema: "json-schema", Exit::Code(0);
    json_schema_never_valid: "json-schema-never-valid", Exit::Code(1);
    killed_sigint: "killed-SIGINT", Exit::Code(0);
    killed_sigkill: "killed-SIGKILL", Exit::Signal(SIGKILL);
    killed_sigterm: "killed-SIGTERM", Exit::Code(143);
    max_budget: "max-budget", Exit::Code(1);
    max_turns: "max-turns", Exit::Code(1);
    mcp_not_allowed: "mcp-not-allowed", Exit::Code(0);
    mcp_server_broken: "mcp-server-broken", Exit::Code(0);
    mcp_stdio_and_http: "mcp-stdio-and-http", Exit::Code(0);
    mcp_tool_timeout: "mcp-tool-timeout", Exit::Code(0);
    model_hangs: "model-hangs", Exit::Code(1);
    no_key: "no-key", Exit::Code(1);
    nobody_skip_permissions: "nobody-skip-permissions", Exit::Code(0);
    permission_denied: "permission-denied", Exit::Code(0);
    permission_prompt_tool: "permission-prompt-tool", Exit::Code(0);
    resume_after_sigkill: "resume-after-SIGKILL", Exit::Code(0);
    resume_unknown_id: "resume-unknown-id", Exit::Code(1);
    root_dontask_allowlist: "root-dontask-allowlist", Exit::Code(0);
    root_skip_permissions_refused: "root-skip-permissions-refused", Exit::Code(1);
    session_1: "session-1", Exit::Code(0);
    session_2_resume: "session-2-resume", Exit::Code(0);
    skills: "skills", Exit::Code(0);
}

recorded! { codex, Codex,
    builtin_openai_provider: "builtin-openai-provider", Exit::Code(0);
    connection_refused_bounded: "connection-refused-bounded", Exit::Code(1);
    connection_refused_default: "connection-refused-default", Exit::Signal(SIGTERM);
    edit_and_bash: "edit-and-bash", Exit::Code(0);
    edit_and_bash_code_mode: "edit-and-bash-code-mode", Exit::Code(0);
    edit_and_bash_fallback_model: "edit-and-bash-fallback-model", Exit::Code(0);
    error_400_context: "error-400-context", Exit::Code(1);
    error_401: "error-401", Exit::Code(1);
    error_429_final: "error-429-final", Exit::Code(1);
    error_429_then_ok: "error-429-then-ok", Exit::Code(0);
    error_503_final: "error-503-final", Exit::Code(1);
    error_529_final: "error-529-final", Exit::Code(1);
    home_under_tmp: "home-under-tmp-sandbox-silently-broken", Exit::Code(0);
    killed_sigint: "killed-SIGINT", Exit::Code(1);
    killed_sigterm: "killed-SIGTERM", Exit::Code(143);
    mcp_approved: "mcp-approved", Exit::Code(0);
    mcp_approved_code_mode: "mcp-approved-code-mode", Exit::Code(0);
    mcp_approved_tool_search: "mcp-approved-tool-search", Exit::Code(0);
    mcp_not_approved: "mcp-not-approved", Exit::Code(0);
    mcp_required_broken: "mcp-required-broken", Exit::Code(1);
    mcp_tool_timeout: "mcp-tool-timeout", Exit::Code(0);
    model_hangs: "model-hangs", Exit::Signal(SIGTERM);
    no_key: "no-key", Exit::Code(1);
    nobody_workspace_write: "nobody-workspace-write", Exit::Code(0);
    not_a_git_repo: "not-a-git-repo", Exit::Code(1);
    output_schema: "output-schema", Exit::Code(0);
    output_schema_not_checked: "output-schema-not-checked", Exit::Code(0);
    resume_1: "resume-1", Exit::Code(0);
    resume_2: "resume-2", Exit::Code(0);
    root_bypass: "root-bypass", Exit::Code(0);
    sandbox_read_only: "sandbox-read-only", Exit::Code(0);
    sandbox_workspace_write_limits: "sandbox-workspace-write-limits", Exit::Code(0);
    stream_cut: "stream-cut", Exit::Code(0);
    token_budget: "token-budget", Exit::Code(1);
}

fn command_text(command: &CommandSpec) -> String {
    let CommandSpec { program, args, env, stdin, files } = command;
    let mut lines = vec![format!("program {}", program.display())];
    lines.extend(args.iter().map(|arg| format!("arg     {}", arg.display())));
    lines.extend(env.iter().map(|(name, value)| format!("env     {name}={value}")));
    lines.extend(stdin.iter().map(|text| format!("stdin   {text:?}")));
    lines.extend(
        files.iter().map(|file| format!("file    {} {:?} {}", file.path.display(), file.content, file.executable)),
    );
    lines.join("\n")
}

/// A spec that uses everything.
fn full_spec() -> HarnessSpec {
    HarnessSpec {
        instructions: Some("Say \"please\".\n\\ and a tab\t.".to_owned()),
        model: Some("the-model".to_owned()),
        resume: Some("the-session".to_owned()),
        gateway: Some(Gateway { base_url: "http://127.0.0.1:1/v1".to_owned(), key_env: "RUN_TOKEN".to_owned() }),
        ..spec("the prompt")
    }
}

#[test]
fn command_lines() {
    for kind in [HarnessKind::Command, HarnessKind::ClaudeCode, HarnessKind::Codex] {
        let name = |suffix| format!("command__{}_{suffix}", kind.name());
        insta::assert_snapshot!(name("plain"), command_text(&kind.command(&spec("the prompt"))));
        insta::assert_snapshot!(name("full"), command_text(&kind.command(&full_spec())));
    }
    let script = spec("#!/usr/bin/env python3\nprint(1)\n");
    insta::assert_snapshot!("command__command_with_interpreter", command_text(&HarnessKind::Command.command(&script)));
}
