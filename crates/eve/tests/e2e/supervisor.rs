//! Agents that hang, are silent, flood, write rubbish or do not want to end.

use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::processes;
use crate::wait::SOON;
use crate::wait::figure;
use crate::wait::until;
use crate::world::Settings;
use crate::world::World;
use crate::world::fake_agent;
use crate::world::output_of;

/// Head and tail of a log (4 and 1 MiB), and something for what is not text.
const LOG_LIMIT: usize = 6 * 1024 * 1024;
/// How much the flood brings.
const FLOOD: usize = 50 * 1024 * 1024;
/// How long the longest line is.
const LINE: usize = 10 * 1024 * 1024;

#[tokio::test]
async fn agents_that_hang_are_stopped() -> anyhow::Result<()> {
    let world = World::up(Settings { slots: 6, ..Settings::default() }).await?;
    let agent = fake_agent()?;
    let worker_type = json!({"name": "impatient", "title": "Impatient", "idle_timeout_seconds": 2});
    world.api(Method::PUT, "/worker-types/impatient", Some(&worker_type)).await?;

    let asked_at = Instant::now();
    let hangs = json!({"harness": "command", "prompt": format!("{agent} hang"), "timeout_seconds": 3});
    let hangs = world.ask(hangs).await?;
    let silent = json!({
        "worker_type": "impatient", "harness": "command", "max_attempts": 1,
        "prompt": format!("echo one word; {agent} hang"),
    });
    let silent = world.ask(silent).await?;
    // Never silent for long, so the same idle limit lets it pass.
    let talks = json!({
        "worker_type": "impatient", "harness": "command",
        "prompt": format!("{agent} lines 15 --interval-ms 200"),
    });
    let talks = world.ask(talks).await?;
    let stubborn = world.ask_script(&format!("{agent} ignore-term")).await?;

    let request = world.finished(&hangs, SOON).await?;
    assert!(asked_at.elapsed() < Duration::from_secs(15), "{:?}", asked_at.elapsed());
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"timeout".into()), "{request:#}");
    let result = world.result(&hangs).await?;
    assert_eq!((&result["status"], &result["error_code"]), (&"timeout".into(), &"timeout".into()), "{result:#}");

    let request = world.finished(&silent, SOON).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"idle".into()), "{request:#}");
    assert_eq!(world.output_lines(&silent).await?, ["one word"]);

    let request = world.finished(&talks, SOON).await?;
    assert_eq!(request["status"], "completed", "{request:#}");
    assert_eq!(world.output_lines(&talks).await?.len(), 15);

    // One that ignores SIGTERM is killed after its grace.
    until("it ignores signals", SOON, async || {
        Ok(world.output_lines(&stubborn).await?.contains(&"ignoring".to_owned()).then_some(()))
    })
    .await?;
    let cancel = world.eve(&["request", "cancel", &stubborn]).await?;
    assert_eq!(cancel.code, Some(0), "{cancel:?}");
    let request = world.finished(&stubborn, SOON).await?;
    assert_eq!(request["status"], "cancelled", "{request:#}");

    for id in [hangs, silent, talks, stubborn] {
        assert_eq!(processes::with(&processes::of_request(&id)), [], "no process outlives its attempt");
    }
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let agent = fake_agent()?;
    let script = format!("echo the beginning; {agent} flood {FLOOD}; echo the end");
    let flood = world.ask_script(&script).await?;
    let script = format!("{agent} flood {LINE} --no-newlines");
    let one_line = world.ask_script(&script).await?;

    let request = world.finished(&flood, Duration::from_secs(120)).await?;
    assert_eq!(request["status"], "completed", "{request:#}");
    let ran = world.result(&flood).await?["duration_ms"].clone();
    let reading_from = Instant::now();
    let log = world.log(&flood).await?;
    let lines = output_of(&log);
    figure(&format!(
        "50 MB of output: the attempt ran for {ran} ms; the {} lines that were kept were read in {:.2} s",
        lines.len(),
        reading_from.elapsed().as_secs_f64()
    ));
    let kept: usize = lines.iter().map(String::len).sum();
    assert!(kept < LOG_LIMIT, "{kept} bytes were kept");
    assert_eq!(lines.first().map(String::as_str), Some("the beginning"));
    assert_eq!(lines.last().map(String::as_str), Some("the end"));
    let dropped = request["attempt_list"][0]["dropped_bytes"].as_u64().unwrap_or_default();
    assert!(dropped as usize > FLOOD - LOG_LIMIT, "{dropped} bytes were counted as dropped");
    let told = log.iter().any(|entry| entry["event"]["text"].as_str().is_some_and(|text| text.contains("left out")));
    assert!(told, "the log says that something is missing");

    let request = world.finished(&one_line, Duration::from_secs(120)).await?;
    assert_eq!(request["status"], "completed", "{request:#}");
    let kept: usize = world.output_lines(&one_line).await?.iter().map(String::len).sum();
    assert!(kept < LOG_LIMIT, "{kept} bytes were kept");
    let dropped = request["attempt_list"][0]["dropped_bytes"].as_u64().unwrap_or_default();
    assert!(dropped as usize > LINE - LOG_LIMIT, "{dropped} bytes were counted as dropped");
    world.passed();
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_text_survive() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let agent = fake_agent()?;
    // "before", a lone FF and a NUL between letters, a multibyte character, and a line without an end.
    let script = format!("echo before; {agent} bytes 61ff620063c3a90a656e64");
    let id = world.ask_script(&script).await?;
    let request = world.finished(&id, SOON).await?;
    assert_eq!(request["status"], "completed", "{request:#}");
    assert_eq!(world.output_lines(&id).await?, ["before", "a\u{fffd}b\u{2400}c\u{e9}", "end"]);
    let result = world.result(&id).await?;
    assert!(result["output"].to_string().contains('\u{2400}'), "{result:#}");

    let failing = world.ask_script(&format!("{agent} bytes 00ff0a; {agent} exit 3")).await?;
    let request = world.finished(&failing, SOON).await?;
    assert_eq!((&request["status"], &request["reason"]), (&"failed".into(), &"agent_failed".into()), "{request:#}");
    assert_eq!(request["attempt_list"][0]["exit_code"], 3, "{request:#}");
    assert_eq!(request["attempts"], 1, "what an agent says is final is not repeated");
    world.passed();
    Ok(())
}
