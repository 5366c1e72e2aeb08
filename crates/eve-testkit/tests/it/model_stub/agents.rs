//! The real agent CLIs against the scripted model.
//!
//! `scripts/agent-clis.sh` installs them; `EVE_CLAUDE_BIN` and `EVE_CODEX_BIN` say where they are. A test whose CLI
//! is missing says so and passes, unless `EVE_REQUIRE_AGENT_CLIS=1`.
//!
//! Every run has an empty environment, a home of its own, a dummy key and a base URL on loopback.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use eve_testkit::model_stub::Failure;
use eve_testkit::model_stub::ModelStub;
use eve_testkit::model_stub::Script;
use eve_testkit::model_stub::Served;
use eve_testkit::model_stub::Step;
use eve_testkit::model_stub::TokenUsage;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A run takes a second on an idle machine.
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// Three answers of this make sums that no other mixture makes.
const USAGE: TokenUsage =
    TokenUsage { input_tokens: 1_001, output_tokens: 53, cache_read_tokens: 107, cache_write_tokens: 0 };
const ANSWERS: u64 = 3;

/// What came of a run.
struct Ran {
    code: Option<i32>,
    /// Standard output, a JSON value a line.
    lines: Vec<Value>,
    stub: ModelStub,
    /// Deleted, with the workspace in it, when dropped.
    root: TempDir,
}

impl Ran {
    fn file(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.root.path().join("work").join(name))
    }

    fn last(&self) -> anyhow::Result<&Value> {
        self.lines.last().context("no output")
    }

    fn count(&self, kind: &str) -> usize {
        self.lines.iter().filter(|line| line["type"] == kind || line["subtype"] == kind).count()
    }

    /// The steps of the script in the order in which the agent met them.
    fn steps(&self) -> Vec<usize> {
        let served = self.stub.requests("run").into_iter().map(|request| request.served);
        served.filter_map(|served| if let Served::Step(place) = served { Some(place) } else { None }).collect()
    }
}

/// Where a CLI is, or none if the test may be skipped.
fn binary(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let found = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    if found.is_none() {
        if env::var_os("EVE_REQUIRE_AGENT_CLIS").is_some_and(|value| value == "1") {
            bail!("{variable} names no file; scripts/agent-clis.sh installs the agent CLIs");
        }
        writeln!(io::stderr(), "skipped: {variable} names no file")?;
    }
    Ok(found)
}

/// Runs Claude Code on a script.
async fn claude(script: Script, retries: u32) -> anyhow::Result<Option<Ran>> {
    let Some(program) = binary("EVE_CLAUDE_BIN")? else { return Ok(None) };
    run(program, script, |stub, _| {
        let environment = [
            ("ANTHROPIC_BASE_URL", stub.base_url("run")),
            ("ANTHROPIC_API_KEY", "dummy".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", retries.to_string()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
            ("DISABLE_ERROR_REPORTING", "1".to_owned()),
            ("DISABLE_TELEMETRY", "1".to_owned()),
        ];
        let arguments = [
            "-p --output-format stream-json --verbose --model claude-sonnet-4-5 --permission-mode acceptEdits",
            "--session-id 4f9a2b1c-3d5e-4f60-8a7b-9c0d1e2f3a4b --allowedTools Bash",
        ];
        (environment.into(), words(&arguments))
    })
    .await
    .map(Some)
}

/// Runs Codex on a script, through a provider of our own or through the built-in one.
async fn codex(script: Script, built_in: bool) -> anyhow::Result<Option<Ran>> {
    let Some(program) = binary("EVE_CODEX_BIN")? else { return Ok(None) };
    run(program, script, |stub, root| {
        let url = stub.openai_base_url("run");
        let mut environment = vec![("CODEX_HOME", root.join("home/.codex").display().to_string())];
        let mut arguments = words(&[
            "exec --json --sandbox workspace-write -m gpt-5.5 --disable plugins --disable apps",
            "--disable remote_plugin --disable unbounded_connection_retries",
            "-c analytics.enabled=false -c check_for_update_on_startup=false",
        ]);
        if built_in {
            environment.push(("CODEX_API_KEY", "dummy".to_owned()));
            arguments.extend(["-c".into(), format!("openai_base_url={url:?}").into()]);
        } else {
            environment.push(("EVE_MODEL_KEY", "dummy".to_owned()));
            let provider = format!(
                "model_providers.gw={{name=\"gw\",base_url={url:?},env_key=\"EVE_MODEL_KEY\",wire_api=\"responses\",\
                 request_max_retries=1,stream_max_retries=2}}"
            );
            arguments.extend(["-c".into(), "model_provider=\"gw\"".into(), "-c".into(), provider.into()]);
        }
        arguments.push("-".into());
        (environment, arguments)
    })
    .await
    .map(Some)
}

fn words(lines: &[&str]) -> Vec<OsString> {
    lines.iter().flat_map(|line| line.split(' ')).map(OsString::from).collect()
}

type Call = (Vec<(&'static str, String)>, Vec<OsString>);

/// Runs a CLI in a fresh repository, with the prompt on standard input.
async fn run(program: PathBuf, script: Script, call: impl FnOnce(&ModelStub, &Path) -> Call) -> anyhow::Result<Ran> {
    let stub = ModelStub::start(HashMap::from([("run".to_owned(), script)]))?;
    // Not in the system's temporary directory: Codex quietly runs no command if its home is in there.
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for directory in ["home/.codex", "tmp", "work"] {
        fs::create_dir_all(root.path().join(directory))?;
    }
    let (environment, arguments) = call(&stub, root.path());
    let path = env::var_os("PATH").context("no PATH")?;
    let command = |program: PathBuf| {
        let mut command = Command::new(program);
        command.current_dir(root.path().join("work")).env_clear().kill_on_drop(true);
        command.env("PATH", &path).env("LANG", "C.UTF-8");
        command.env("HOME", root.path().join("home")).env("TMPDIR", root.path().join("tmp"));
        command
    };
    ensure!(command("git".into()).args(["init", "--quiet"]).status().await?.success(), "git init failed");

    let mut agent = command(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut stdin = agent.stdin.take().context("no standard input")?;
    stdin.write_all(b"Create hello.txt").await?;
    drop(stdin);
    let output = tokio::time::timeout(RUN_LIMIT, agent.wait_with_output()).await.context("the agent hangs")??;
    let lines = String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(Ran { code: output.status.code(), lines, stub, root })
}

/// Writes, runs a command that shows that the file is there, and ends.
fn work() -> Script {
    Script::new([
        Step::write("hello.txt", "hello\n"),
        Step::Bash("cat hello.txt && echo more >> hello.txt".into()),
        Step::Text("Done.".into()),
    ])
    .with_usage(USAGE)
}

#[tokio::test]
async fn claude_works_through_a_script() -> anyhow::Result<()> {
    let Some(ran) = claude(work(), 1).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.file("hello.txt")?.as_str()), (Some(0), "hello\nmore\n"));
    assert_eq!(ran.steps(), [0, 1, 2]);
    assert!(ran.stub.requests("run").iter().all(|request| request.served == Served::Other || request.has_key()));
    let result = ran.last()?;
    assert_eq!((&result["type"], &result["is_error"]), (&"result".into(), &false.into()), "{result}");
    assert_eq!(result["result"], "Done.");
    let usage = &result["usage"];
    let tokens = [&usage["input_tokens"], &usage["output_tokens"], &usage["cache_read_input_tokens"]];
    assert_eq!(tokens, [USAGE.input_tokens, USAGE.output_tokens, USAGE.cache_read_tokens].map(|each| each * ANSWERS));
    Ok(())
}

#[tokio::test]
async fn claude_gives_up_on_a_wrong_key() -> anyhow::Result<()> {
    let Some(ran) = claude(Script::new([Step::Status(Failure::unauthorized())]), 1).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.steps()), (Some(1), vec![0, 0]));
    let result = ran.last()?;
    assert_eq!((&result["is_error"], &result["api_error_status"]), (&true.into(), &401.into()), "{result}");
    Ok(())
}

#[tokio::test]
async fn claude_waits_out_a_rate_limit() -> anyhow::Result<()> {
    let script = Script::new([Step::Status(Failure::rate_limited(1).times(2)), Step::Text("Recovered.".into())]);
    let Some(ran) = claude(script, 3).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.steps(), ran.count("api_retry")), (Some(0), vec![0, 0, 1], 2));
    assert_eq!(ran.last()?["result"], "Recovered.");
    Ok(())
}

#[tokio::test]
async fn claude_goes_on_after_a_cut_stream() -> anyhow::Result<()> {
    let script = Script::new([Step::CutStream, Step::Text("Recovered.".into())]);
    let Some(ran) = claude(script, 3).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.last()?["result"].as_str()), (Some(0), Some("Recovered.")));
    Ok(())
}

#[tokio::test]
async fn codex_works_through_a_script() -> anyhow::Result<()> {
    for built_in in [false, true] {
        let Some(ran) = codex(work(), built_in).await? else { return Ok(()) };
        assert_eq!((ran.code, ran.file("hello.txt")?.as_str()), (Some(0), "hello\nmore\n"));
        assert_eq!(ran.steps(), [0, 1, 2]);
        assert!(ran.stub.requests("run").iter().all(|request| request.served == Served::Other || request.has_key()));
        let last = ran.last()?;
        assert_eq!(last["type"], "turn.completed", "{last}");
        let usage = &last["usage"];
        let tokens = [&usage["input_tokens"], &usage["cached_input_tokens"], &usage["output_tokens"]];
        let read = USAGE.input_tokens + USAGE.cache_read_tokens;
        assert_eq!(tokens, [read, USAGE.cache_read_tokens, USAGE.output_tokens].map(|each| each * ANSWERS));
    }
    Ok(())
}

#[tokio::test]
async fn codex_gives_up_on_a_wrong_key() -> anyhow::Result<()> {
    let script = Script::new([Step::Status(Failure::unauthorized())]);
    let Some(ran) = codex(script, false).await? else { return Ok(()) };
    assert_eq!(ran.code, Some(1));
    let last = ran.last()?;
    assert_eq!(last["type"], "turn.failed");
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("401")), "{last}");
    Ok(())
}

#[tokio::test]
async fn codex_waits_out_a_rate_limit() -> anyhow::Result<()> {
    let script = Script::new([Step::Status(Failure::rate_limited(1).times(2)), Step::Text("Recovered.".into())]);
    let Some(ran) = codex(script, false).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.steps()), (Some(0), vec![0, 0, 1]));
    assert_eq!((ran.count("turn.completed"), ran.count("turn.failed")), (1, 0));
    Ok(())
}

#[tokio::test]
async fn codex_goes_on_after_a_cut_stream() -> anyhow::Result<()> {
    let script = Script::new([Step::CutStream, Step::Text("Recovered.".into())]);
    let Some(ran) = codex(script, false).await? else { return Ok(()) };
    assert_eq!((ran.code, ran.last()?["type"].as_str()), (Some(0), Some("turn.completed")));
    Ok(())
}
