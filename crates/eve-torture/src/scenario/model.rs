//! The protocol's model, further than the tests go: every order of events, with one more lost call, crash, claim or tick.

use std::path::Path;
use std::process::Command;

use super::Context;
use super::Size;
use crate::outcome::Outcome;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    anyhow::ensure!(context.size == Size::Full, "the tests of eve-model are its sample; give --full to go deeper");
    let mut outcome = Outcome::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["nextest", "run", "--package", "eve-model", "--no-fail-fast"]);
    let ended = tokio::process::Command::from(command).current_dir(root).env("EVE_MODEL_DEPTH", "1").output().await?;
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    let summary = text.lines().find(|line| line.contains("Summary")).unwrap_or("no summary").trim().to_owned();
    outcome.gate(format!("EVE_MODEL_DEPTH=1: {summary}"), ended.status.success());
    if !ended.status.success() {
        crate::say::say(&text);
    }
    Ok(outcome)
}
