//! What this host has: disk, PostgreSQL, git, containment, agents.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use eve_store::cluster::ClusterOptions;
use eve_worker::inventory::Inventory;
use eve_worker::inventory::SignedIn;
use eve_worker::keeper::Containment;
use nix::sys::statvfs::statvfs;
use tokio::process::Command;

use super::Check;
use crate::config::Config;
use crate::wiring;

/// Free space below which a worker runs into trouble soon, and below which it cannot work, in bytes.
const DISK: (u64, u64) = (5 << 30, 1 << 29);
/// The oldest git that workspaces work with.
const GIT: (u32, u32) = (2, 36);
/// Longest time that a program may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![disk(&config.data_dir), postgres(config).await, git().await, containment().await, sandbox()];
    let inventory = Inventory::discover(&wiring::host(), &wiring::harness_settings(config)).await;
    checks.extend(agents(&inventory));
    checks
}

fn disk(data_dir: &Path) -> Check {
    const NAME: &str = "disk";
    let existing = data_dir.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let Ok(stat) = statvfs(existing) else {
        return Check::fail(NAME, format!("cannot look at {}", existing.display()), "choose another `--data-dir`");
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let detail = format!("{:.1} GiB free for {}", gib(free), data_dir.display());
    let fix = "make room, or choose another `--data-dir`";
    if free < DISK.1 {
        Check::fail(NAME, detail, fix)
    } else if free < DISK.0 {
        Check::warn(NAME, detail, fix)
    } else {
        Check::ok(NAME, detail)
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

async fn postgres(config: &Config) -> Check {
    const NAME: &str = "PostgreSQL";
    if config.server.database_url.is_some() {
        return Check::ok(NAME, "DATABASE_URL names another; the server's checks below look at it");
    }
    let options: ClusterOptions = wiring::cluster_options(config);
    match options.describe().await {
        Ok(plan) => Check::ok(NAME, plan.to_string()),
        Err(error) => {
            Check::fail(NAME, error.to_string(), "apt-get install postgresql, or set DATABASE_URL to use another")
        }
    }
}

async fn answer(program: &str, args: &[&str]) -> Result<String, String> {
    let run = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(ANSWER_LIMIT, run).await {
        Err(_) => Err(format!("{program} does not answer")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Ok(Ok(output)) if !output.status.success() => Err(format!("{program} ended with {}", output.status)),
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
    }
}

async fn git() -> Check {
    const NAME: &str = "git";
    let fix = format!("install git {}.{} or later: apt-get install git", GIT.0, GIT.1);
    match answer("git", &["--version"]).await {
        Err(error) => Check::fail(NAME, error, fix),
        Ok(version) => match git_version(&version) {
            Some(found) if found >= GIT => Check::ok(NAME, version),
            Some(_) | None => Check::fail(NAME, version, fix),
        },
    }
}

fn git_version(text: &str) -> Option<(u32, u32)> {
    let number = text.split_whitespace().nth(2)?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn containment() -> Check {
    const NAME: &str = "containment";
    let program = std::env::current_exe().map(|path| path.to_string_lossy().into_owned());
    let found = match program {
        Ok(program) => answer(&program, &["keeper", "probe"]).await,
        Err(error) => Err(error.to_string()),
    };
    match found {
        Err(error) => Check::fail(NAME, error, "agents cannot be started; reinstall Eve"),
        Ok(kind) => match Containment::named(&kind) {
            Some(kind) => contained(kind),
            None => Check::fail(NAME, format!("the keeper answers {kind:?}"), "reinstall Eve"),
        },
    }
}

fn contained(kind: Containment) -> Check {
    const NAME: &str = "containment";
    const NAMESPACES: &str = "run Eve as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1";
    match kind {
        Containment::PidNamespace => {
            Check::ok(NAME, "PID namespaces: the kernel ends every process of an attempt with it")
        }
        Containment::Cgroup => Check::warn(
            NAME,
            "cgroup: every process of an attempt is killed with it, but agents see Eve's own processes",
            NAMESPACES,
        ),
        Containment::Subreaper => Check::warn(
            NAME,
            "subreaper: orphans are hunted down one by one, and what forks fast enough escapes",
            format!("{NAMESPACES}; or give Eve a cgroup that it may divide: Delegate=yes in its systemd unit"),
        ),
    }
}

fn sandbox() -> Check {
    Check::warn(
        "sandbox",
        "none: an agent can read this user's files and reach the network",
        "give Eve a user or a machine of its own, and trust the prompts that you run",
    )
}

fn agents(inventory: &Inventory) -> Vec<Check> {
    let name = |name: &str| format!("agent {name}");
    let mut checks: Vec<Check> = inventory
        .entries
        .iter()
        .map(|entry| {
            let version = entry.version.clone().unwrap_or_else(|| "runs the prompt as a script".to_owned());
            match &entry.signed_in {
                SignedIn::Yes(how) => Check::ok(name(&entry.name), format!("{version}; {how}")),
                SignedIn::NotNeeded => Check::ok(name(&entry.name), version),
                SignedIn::Unknown => Check::ok(name(&entry.name), format!("{version}; sign-in unknown")),
                SignedIn::No(hint) => Check::warn(name(&entry.name), format!("{version}; not signed in"), hint),
            }
        })
        .collect();
    let missing = inventory.missing.iter();
    checks.extend(missing.map(|missing| Check::warn(name(&missing.name), "not installed", &missing.hint)));
    if let Err(error) = inventory.choose(None) {
        checks.push(Check::warn("default agent", "none", error.message));
    }
    checks
}

#[cfg(test)]
mod tests;
