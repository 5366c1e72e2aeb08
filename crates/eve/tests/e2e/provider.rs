//! What becomes of a request when the agent's provider refuses, is overloaded, or says nothing: with the real CLIs.

use std::time::Duration;

use eve_testkit::model_stub::Failure;
use eve_testkit::model_stub::Script;
use eve_testkit::model_stub::Step;
use serde_json::Value;
use serde_json::json;

use crate::agents::Cli;
use crate::agents::world_of;
use crate::processes;
use crate::wait::SOON;

/// A CLI tries again before it gives up.
const GIVES_UP: Duration = Duration::from_secs(90);

fn is_later(time: &Value, than: &Value) -> bool {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    parse(time).zip(parse(than)).is_some_and(|(time, than)| time > than)
}

async fn failures_of_the_provider(cli: Cli) -> anyhow::Result<()> {
    let status = |failure| Step::Status(failure);
    let hello = || Step::Text("Hello after all.".into());
    let scripts = vec![
        ("refused", Script::new([status(Failure::unauthorized())])),
        ("patient", Script::new([status(Failure::rate_limited(1).times(1)), hello()])),
        ("limited", Script::new([status(Failure::rate_limited(1))])),
        ("overloaded", Script::new([status(Failure::overloaded())])),
        ("silent", Script::new([Step::Hang])),
    ];
    let Some((world, stub)) = world_of(cli, scripts).await? else { return Ok(()) };
    let ask = async |harness: &str, more: Value| {
        let mut request = json!({"harness": harness, "prompt": "Say hello."});
        if let (Some(request), Some(more)) = (request.as_object_mut(), more.as_object()) {
            request.extend(more.clone());
        }
        world.ask(request).await
    };
    let refused = ask("refused", json!({})).await?;
    let patient = ask("patient", json!({})).await?;
    let limited = ask("limited", json!({})).await?;
    let overloaded = ask("overloaded", json!({"max_attempts": 1})).await?;
    let silent = ask("silent", json!({"timeout_seconds": 8})).await?;

    // 401: failed at once, saying what to do.
    let request = world.finished(&refused, GIVES_UP).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"authentication".into()), "{request:#}");
    assert_eq!(request["attempts"], 1, "{request:#}");
    let result = world.result(&refused).await?;
    assert_eq!(result["error_code"], "authentication", "{result:#}");
    assert!(result["error"].as_str().is_some_and(|error| error.contains("eve doctor")), "{result:#}");

    // 429 once: the CLI's own business.
    let request = world.finished(&patient, GIVES_UP).await?;
    assert_eq!((&request["status"], &request["attempts"]), (&"completed".into(), &1.into()), "{request:#}");
    assert!(world.result(&patient).await?["output"].to_string().contains("Hello after all."));
    assert!(stub.request_count("patient") >= 2);

    // 429 for ever: it waits for the quota, at no cost to its attempts.
    let request = world
        .request_until(&limited, GIVES_UP, |request| request["status"] == "waiting" && request["attempts"] == 1)
        .await?;
    assert_eq!(request["attempts_counted"], 0, "{request:#}");
    let attempt = &request["attempt_list"][0];
    assert_eq!(attempt["error_code"], "rate_limited", "{request:#}");
    assert!(is_later(&request["run_at"], &attempt["ended_at"]), "{request:#}");
    assert!(request["last_error"].as_str().is_some_and(|error| error.contains("429")), "{request:#}");

    // 529 for ever, with one attempt only.
    let request = world.finished(&overloaded, GIVES_UP).await?;
    let failed = (&"failed".into(), &"provider_unavailable".into());
    assert_eq!((&request["status"], &request["reason"]), failed, "{request:#}");
    assert_eq!((&request["attempts"], &request["attempts_counted"]), (&1.into(), &1.into()), "{request:#}");

    // Silence: ended by the request's time limit, with everything that belongs to it.
    let request = world.finished(&silent, GIVES_UP).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"timeout".into()), "{request:#}");
    let result = world.result(&silent).await?;
    assert_eq!((&result["status"], &result["error_code"]), (&"timeout".into(), &"timeout".into()), "{result:#}");
    assert!(stub.request_count("silent") >= 1, "the agent had asked the model");

    let all = [refused, patient, limited, overloaded, silent].map(|id| processes::of_request(&id));
    processes::gone(&all, SOON).await?;
    world.passed();
    Ok(())
}

#[tokio::test]
async fn claude_code_and_a_provider_that_fails() -> anyhow::Result<()> {
    failures_of_the_provider(Cli::Claude).await
}

#[tokio::test]
async fn codex_and_a_provider_that_fails() -> anyhow::Result<()> {
    failures_of_the_provider(Cli::Codex).await
}
