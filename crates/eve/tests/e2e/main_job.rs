//! The main job: a request changes a repository, and the change comes back as a branch.

use serde_json::Value;

use crate::repository::Repository;
use crate::world::Settings;
use crate::world::World;

/// Adds what the repository's tests ask for, and runs them.
const CHANGE: &str = r#"set -eu
echo "starting in $(basename "$PWD")"
cat > list.sh <<'END'
#!/bin/sh
if [ "${1-}" = --json ]; then echo '["apple","pear"]'; exit; fi
for item in apple pear; do
  echo "$item"
done
END
sh test.sh
echo "done: --json was added"
"#;

#[tokio::test]
async fn a_request_becomes_a_branch_and_the_working_tree_is_left_alone() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let repository = Repository::create(world.path("app"))?;

    let arguments = ["run", CHANGE, "--harness", "command", "--repo", repository.arg()?, "--title", "Add --json!"];
    let ran = world.eve(&arguments).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = ran.json()?;
    assert_eq!(result["status"], "success");
    assert_eq!(result["files_changed"], 1);
    assert!(ran.stderr.contains("2 uncommitted changes"), "{}", ran.stderr);

    // The branch: named after the request, one commit ahead of main, and good by the repository's own tests.
    let id = result["request_id"].as_str().unwrap_or_default();
    let branch = result["branch"].as_str().unwrap_or_default();
    let short = branch.strip_prefix("feature/req-").and_then(|rest| rest.strip_suffix("-add-json"));
    assert!(short.is_some_and(|short| !short.is_empty() && id.ends_with(short)), "{branch} for {id}");
    assert_eq!(repository.git(&["rev-parse", branch])?, result["commit"]);
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")])?, repository.git(&["rev-parse", "main"])?);
    assert_eq!(repository.show(branch, "NOTES")?, "as committed");
    assert_eq!(repository.test_branch(branch)?, "ok: plain\nok: json\n");
    repository.assert_untouched()?;

    // The patch is what git makes of the branch.
    let diff = world.eve_plain(&["diff", id]).await?;
    assert_eq!(diff.code, Some(0), "{diff:?}");
    assert!(diff.stdout.contains("+++ b/list.sh") && diff.stdout.contains("+if [ \"${1-}\" = --json ]"), "{diff:?}");

    // What the agent said, line by line.
    let log = world.eve_plain(&["request", "logs", id, "--raw"]).await?;
    let entries: Vec<Value> = log.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let said: Vec<&str> = entries
        .iter()
        .filter(|entry| entry["event"]["type"] == "output")
        .filter_map(|entry| entry["event"]["text"].as_str())
        .collect();
    assert_eq!(said[1..], ["ok: plain", "ok: json", "done: --json was added"], "{said:?}");
    let output = world.eve_plain(&["result", "output", id]).await?;
    assert!(output.stdout.contains("done: --json was added"), "{output:?}");

    let request = world.request(id).await?;
    assert_eq!((&request["attempts"], &request["attempts_counted"]), (&1.into(), &0.into()), "{request:#}");
    assert_eq!(request["attempt_list"][0]["exit_code"], 0);
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_request_that_fails_says_so_with_exit_code_7() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let repository = Repository::create(world.path("app"))?;

    let script = "echo half > list.sh; echo 'it broke' >&2; exit 3";
    let ran = world.eve(&["run", script, "--harness", "command", "--repo", repository.arg()?]).await?;
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let result = ran.json()?;
    assert_eq!((&result["status"], &result["error_code"]), (&"error".into(), &"agent_failed".into()), "{result:#}");
    assert!(result["error"].as_str().is_some_and(|error| error.contains("it broke")), "{result:#}");
    assert!(result["branch"].is_null(), "{result:#}");
    assert_eq!(repository.git(&["branch", "--list", "feature/*"])?, "");
    repository.assert_untouched()?;

    let id = result["request_id"].as_str().unwrap_or_default();
    let request = world.request(id).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"agent_failed".into()), "{request:#}");
    assert_eq!(request["attempt_list"][0]["exit_code"], 3);
    let events = world.events().await?;
    assert_eq!(events[id].last().map(String::as_str), Some("request:failed"), "{events:?}");
    world.passed();
    Ok(())
}
