//! The smoke test of the first design, over HTTP: token, create, poll the result, unknown worker type.

use anyhow::Context;
use reqwest::Method;
use serde_json::json;

use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::World;

#[tokio::test]
async fn the_smoke_test_of_the_first_design_passes() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    // With the prefix of today, and without, as the first clients call it.
    for (prefix, key_name) in [("/api/v1", "api_key"), ("/api/v1", "apiKey"), ("", "apiKey")] {
        let path = |path: &str| format!("{prefix}{path}");

        let body = json!({key_name: world.api_key()?});
        let (status, token) = world.call(Method::POST, &path("/auth/token"), "", Some(&body)).await?;
        assert_eq!(status, 200, "{token:#}");
        let token = token["token"].as_str().context("a token")?;

        let gate = format!("gate{}{key_name}", prefix.len());
        let body = json!({
            "workerType": "general",
            "prompt": format!("{}echo 'smoke test passed'", world.gated(&gate)),
            "config": {"variant": "command"},
        });
        let (status, request) = world.call(Method::POST, &path("/requests"), token, Some(&body)).await?;
        assert_eq!(status, 201, "{request:#}");
        let id = request["id"].as_str().context("an id")?;

        // Not there until the script has ended, and it waits for the gate.
        let result_path = path(&format!("/results/{id}"));
        let (status, problem) = world.call(Method::GET, &result_path, token, None).await?;
        assert_eq!((status, &problem["code"]), (404, &"not_found".into()), "{problem:#}");
        world.open(&gate)?;
        let result = until("there is a result", SOON, async || {
            let (status, result) = world.call(Method::GET, &result_path, token, None).await?;
            anyhow::ensure!([200, 404].contains(&status), "{status}: {result:#}");
            Ok((status == 200).then_some(result))
        })
        .await?;
        assert_eq!(result["status"], "success", "{result:#}");
        assert!(result["output"].to_string().contains("smoke test passed"), "{result:#}");

        let body = json!({"workerType": "nonexistent-worker", "prompt": "This should fail"});
        let (status, problem) = world.call(Method::POST, &path("/requests"), token, Some(&body)).await?;
        assert_eq!((status, &problem["code"]), (400, &"invalid_worker_type".into()), "{problem:#}");
        for field in ["message", "detail"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(text.starts_with("Invalid worker type"), "{problem:#}");
        }

        let (status, problem) = world.call(Method::GET, &path("/requests"), "not-a-token", None).await?;
        assert_eq!((status, &problem["code"]), (401, &"unauthenticated".into()), "{problem:#}");
    }
    world.passed();
    Ok(())
}
