//! What an attempt leaves behind (nothing), and what of the worker reaches it (nothing but what it needs).

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::processes;
use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::World;
use crate::world::fake_agent;

/// How many daemons an agent leaves behind.
const DAEMONS: usize = 5;

#[tokio::test]
async fn no_daemon_outlives_its_attempt() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let agent = fake_agent()?;
    // One more without the environment that marks all others, known by its argument.
    let bare = format!("sleep 3600.{}", std::process::id());
    let daemons = format!("{agent} fork {DAEMONS} --keep-output\nenv -i setsid /bin/{bare} >/dev/null 2>&1 &\n");
    for ending in ["", "exit 3", "kill -9 $$"] {
        let gate = format!("gate-{}", ending.len());
        let id = world.ask_script(&format!("{daemons}{}{ending}\n", world.gated(&gate))).await?;
        let marker = processes::of_request(&id);
        until("the daemons run", SOON, async || {
            let sleeping = processes::with(&marker).iter().filter(|process| process.command == "sleep 3600").count();
            let bare = processes::with(&bare.replace(' ', "\0")).len();
            Ok((sleeping == DAEMONS && bare == 1).then_some(()))
        })
        .await?;
        world.open(&gate)?;
        let request = world.finished(&id, SOON).await?;
        let expected = if ending.is_empty() { "completed" } else { "failed" };
        assert_eq!(request["status"], expected, "{request:#}");
        // Not a moment later: the attempt is over when they are gone.
        assert_eq!(processes::with(&marker), []);
        assert_eq!(processes::with(&bare.replace(' ', "\0")), []);
    }
    world.passed();
    Ok(())
}

#[tokio::test]
async fn the_workers_secrets_do_not_reach_the_agent() -> anyhow::Result<()> {
    const SECRET: &str = "s3cr3t-of-the-worker";
    let names = [
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "EVE_TEST_SECRET",
        "OTHER_DATABASE_URL",
        "PGPASSWORD",
        "SSH_AUTH_SOCK",
    ];
    let variables = names.map(|name| (name.to_owned(), SECRET.to_owned())).into();
    let world = World::up(Settings { variables, ..Settings::default() }).await?;
    let request = json!({
        "harness": "command",
        "prompt": format!("{} env", fake_agent()?),
        "context": {"ticket": "SHOP-412", "count": 3, "sub-key": true, "nested": {"a": [1]}},
    });
    let id = world.ask(request).await?;
    let request = world.finished(&id, Duration::from_secs(30)).await?;
    assert_eq!(request["status"], "completed", "{request:#}");

    let lines = world.output_lines(&id).await?;
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:#?}");
    let found: BTreeMap<&str, &str> = lines.iter().filter_map(|line| line.split_once('=')).collect();
    for name in names.into_iter().chain(["EVE_DATA_DIR", "DATABASE_URL", "EVE_API_KEY"]) {
        assert!(!found.contains_key(name), "{name} reached the agent");
    }
    assert!(lines.iter().all(|line| !line.contains(&world.api_key().unwrap_or_default())));

    let expected = [
        ("EVE_REQUEST_ID", id.as_str()),
        ("EVE_ORG_ID", request["org_id"].as_str().unwrap_or_default()),
        ("EVE_USER_ID", request["user_id"].as_str().unwrap_or_default()),
        // Requests without a project have it, too, so that scripts may rely on it.
        ("EVE_PROJECT_ID", ""),
        ("EVE_ATTEMPT_ID", request["attempt_list"][0]["id"].as_str().unwrap_or_default()),
        ("EVE_ATTEMPT_NUMBER", "1"),
        ("EVE_WORKER_TYPE", "general"),
        ("EVE_CONTEXT_TICKET", "SHOP-412"),
        ("EVE_CONTEXT_COUNT", "3"),
        ("EVE_CONTEXT_SUB_KEY", "true"),
    ];
    for (name, value) in expected {
        assert_eq!(found.get(name), Some(&value), "{name} in {found:#?}");
    }
    let context: serde_json::Value = serde_json::from_str(found.get("EVE_CONTEXT").copied().unwrap_or_default())?;
    assert_eq!(context["nested"]["a"][0], 1);
    assert!(!found.contains_key("EVE_CONTEXT_NESTED"), "only simple values have variables of their own");

    // Nor can the agent look them up in the worker itself, where the host lets Eve hide its processes.
    let probe = world.eve_plain(&["keeper", "probe"]).await?;
    if probe.stdout.trim() == "pid namespace" {
        let script = format!("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c {SECRET}\ntrue");
        let script = script.replace(SECRET, "'s3cr3t-[o]f-the-worker'");
        let id = world.ask_script(&script).await?;
        world.finished(&id, SOON).await?;
        assert_eq!(world.output_lines(&id).await?, ["0"]);
    } else {
        writeln!(io::stderr(), "skipped: this host has no PID namespace for an agent: {probe:?}")?;
    }
    world.passed();
    Ok(())
}
