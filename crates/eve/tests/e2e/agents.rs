//! The real agent CLIs, driven by a scripted model.

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::io;
use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use eve_testkit::model_stub::ModelStub;
use eve_testkit::model_stub::Script;
use eve_testkit::model_stub::Step;
use serde_json::Value;
use serde_json::json;

use crate::processes;
use crate::repository::Repository;
use crate::wait::SOON;
use crate::world::Settings;
use crate::world::World;
use crate::world::toml_string;

/// An agent CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    Claude,
    Codex,
}

impl Cli {
    const fn variable(self) -> &'static str {
        match self {
            Self::Claude => "EVE_CLAUDE_BIN",
            Self::Codex => "EVE_CODEX_BIN",
        }
    }

    /// Where it is, or none if the test may be skipped.
    fn program(self) -> anyhow::Result<Option<PathBuf>> {
        let variable = self.variable();
        let found = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
        if found.is_none() {
            if env::var_os("EVE_REQUIRE_AGENT_CLIS").is_some_and(|value| value == "1") {
                bail!("{variable} names no file; scripts/agent-clis.sh installs the agent CLIs");
            }
            writeln!(io::stderr(), "skipped: {variable} names no file")?;
        }
        Ok(found)
    }

    /// A harness for each script, named after it.
    fn harnesses(self, program: &std::path::Path, stub: &ModelStub, names: &[&str]) -> String {
        let mut sections = String::new();
        for name in names {
            let (kind, url, env) = match self {
                // One retry instead of ten, so that a provider that refuses for ever is given up soon.
                Self::Claude => (
                    "claude-code",
                    stub.base_url(name),
                    r#"{ ANTHROPIC_API_KEY = "dummy", CLAUDE_CODE_MAX_RETRIES = "1" }"#,
                ),
                Self::Codex => ("codex", stub.openai_base_url(name), r#"{ CODEX_API_KEY = "dummy" }"#),
            };
            let program = toml_string(program);
            // Writing into a string does not fail.
            let _ = writeln!(
                sections,
                "[harness.{name}]\nkind = \"{kind}\"\nprogram = {program}\ngateway_url = \"{url}\"\nenv = {env}"
            );
        }
        sections
    }
}

/// An Eve whose harnesses are one agent CLI with the scripts of these names.
pub(crate) async fn world_of(cli: Cli, scripts: Vec<(&str, Script)>) -> anyhow::Result<Option<(World, ModelStub)>> {
    let Some(program) = cli.program()? else { return Ok(None) };
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    let stub_scripts: HashMap<String, Script> =
        scripts.iter().map(|(name, script)| ((*name).to_owned(), script.clone())).collect();
    let stub = ModelStub::start(stub_scripts)?;
    let harnesses = cli.harnesses(&program, &stub, &names);
    let slots = u32::try_from(names.len()).unwrap_or(1);
    let world = World::up(Settings { slots, harnesses, ..Settings::default() }).await?;
    Ok(Some((world, stub)))
}

async fn does_a_task(cli: Cli) -> anyhow::Result<()> {
    let script = Script::new([
        Step::write("hello.txt", "written by an agent\n"),
        Step::Bash("cat hello.txt > copy.txt && echo copied".into()),
        Step::Text("Both files are there.".into()),
    ]);
    let Some((world, stub)) = world_of(cli, vec![("edit", script)]).await? else { return Ok(()) };
    let repository = Repository::create(world.path("app"))?;

    let prompt = "Create hello.txt and a copy of it.";
    let ran = world.eve(&["run", prompt, "--harness", "edit", "--repo", repository.arg()?]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = ran.json()?;
    assert_eq!(result["status"], "success", "{result:#}");
    assert!(result["output"].to_string().contains("Both files are there."), "{result:#}");

    let branch = result["branch"].as_str().unwrap_or_default();
    assert_eq!(repository.show(branch, "hello.txt")?, "written by an agent");
    assert_eq!(repository.show(branch, "copy.txt")?, "written by an agent");
    assert_eq!(result["files_changed"], 2, "nothing of the agent's own is committed: {result:#}");
    repository.assert_untouched()?;

    // Three answers of 1000 and 50 tokens each, and nothing for what is not part of the conversation.
    assert_eq!((&result["input_tokens"], &result["output_tokens"]), (&3000.into(), &150.into()), "{result:#}");
    assert_eq!(result["tokens_used"], 3150, "{result:#}");
    let cost: Option<f64> = result["cost_usd"].as_str().and_then(|cost| cost.parse().ok());
    match cli {
        Cli::Claude => {
            assert!(cost.is_some_and(|cost| cost > 0.0), "{result:#}");
            assert_eq!(result["cost_basis"], "observed", "{result:#}");
        }
        // It tells no cost, and unknown is not zero.
        Cli::Codex => assert_eq!((cost, &result["cost_basis"]), (None, &Value::Null), "{result:#}"),
    }

    let id = result["request_id"].as_str().unwrap_or_default();
    let request = world.request(id).await?;
    let attempt = &request["attempt_list"][0];
    assert!(attempt["session_id"].as_str().is_some_and(|session| session.len() >= 32), "{request:#}");
    assert_eq!((&attempt["harness"], &attempt["tokens_used"]), (&"edit".into(), &3150.into()), "{request:#}");
    let log = world.log(id).await?;
    let count = |kind: &str| log.iter().filter(|entry| entry["event"]["type"] == kind).count();
    assert_eq!((count("tool_call"), count("tool_result"), count("session")), (2, 2, 1), "{log:#?}");

    assert!(stub.requests("edit").iter().any(|request| request.mentions(prompt)), "the prompt reached the model");
    processes::gone(&[processes::of_request(id)], SOON).await?;
    world.passed();
    Ok(())
}

#[tokio::test]
async fn claude_code_does_a_task() -> anyhow::Result<()> {
    does_a_task(Cli::Claude).await
}

#[tokio::test]
async fn codex_does_a_task() -> anyhow::Result<()> {
    does_a_task(Cli::Codex).await
}

/// A program that passes for Claude Code and ends without a word, well pleased.
const SAYS_NOTHING: &str = "#!/bin/sh\n[ \"$1\" = --version ] && echo '2.0.0 (Claude Code)'\nexit 0\n";

#[tokio::test]
async fn an_agent_that_ends_without_a_result_is_tried_again_and_then_fails() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let programs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let program = programs.path().join("silent-claude");
    std::fs::write(&program, SAYS_NOTHING)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let section = "[harness.silent]\nkind = \"claude-code\"\nenv = { ANTHROPIC_API_KEY = \"dummy\" }\n";
    let harnesses = format!("{section}program = {}\n", toml_string(&program));
    let world = World::up(Settings { harnesses, ..Settings::default() }).await?;

    let id = world.ask(json!({"harness": "silent", "prompt": "Say something.", "max_attempts": 2})).await?;
    // In between it waits for its backoff, with one attempt counted.
    let between = world
        .request_until(&id, SOON, |request| request["status"] == "pending" && request["attempts_counted"] == 1)
        .await?;
    assert!(between["last_error"].as_str().is_some_and(|error| !error.is_empty()), "{between:#}");

    let request = world.finished(&id, SOON).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"no_result".into()), "{request:#}");
    assert_eq!((&request["attempts"], &request["attempts_counted"]), (&2.into(), &2.into()), "{request:#}");
    for attempt in 0..2 {
        let attempt = &request["attempt_list"][attempt];
        assert_eq!((&attempt["error_code"], &attempt["exit_code"]), (&"no_result".into(), &0.into()), "{request:#}");
    }
    assert_eq!(world.result(&id).await?["error_code"], "no_result");
    world.passed();
    Ok(())
}
