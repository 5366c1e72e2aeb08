//! Keepers without a worker: whatever an agent does, nothing of it survives, in every containment of this host.
//!
//! A keeper takes the best that the host allows, so the others are asked for with `--containment`. What the host does
//! not have is reported as not tested, loudly, and the rest is tested all the same.

use std::env;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use eve_worker::BootTime;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::processes;
use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::World;

/// Longer than any test.
const LONG_LEASE: Duration = Duration::from_secs(600);
/// Long enough for an agent to begin on a busy machine.
const SHORT_LEASE: Duration = Duration::from_secs(4);
/// How a keeper ends whose lease was over.
const LEASE_OVER: i32 = eve_worker::keeper::EXIT_LEASE_OVER;
/// Everything that a keeper may be asked for.
const CONTAINMENTS: [&str; 3] = ["pid namespace", "cgroup", "subreaper"];
/// Ends after it started its successor, in a session of its own, for ever: no list of processes stays true.
const GENERATION: &str = "#!/bin/sh\ntrap '' TERM HUP INT\necho . >> \"$1\"\nsetsid \"$0\" \"$1\" &\n";

/// A running keeper, its agent, and what they may leave.
struct Kept {
    keeper: Child,
    until: BootTime,
    dir: TempDir,
    /// In every environment below the keeper, unless a process got rid of it.
    marker: String,
    /// In the arguments of the processes that did.
    bare: String,
}

impl Kept {
    /// Starts an agent that ignores signals, has daemons without its environment, and forks without end, and waits
    /// until it does all that.
    async fn start(containment: &str, lease: Duration, restless: bool) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let name = dir.path().file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
        let generation = dir.path().join("generation");
        fs::write(&generation, GENERATION)?;
        fs::set_permissions(&generation, Permissions::from_mode(0o755))?;
        // A length of sleep that nobody else has.
        let length = format!("3600.{}", name.bytes().map(|byte| byte.to_string()).collect::<String>());
        let script = format!(
            "trap '' TERM HUP INT\n\
             env -i setsid /bin/sh -c 'trap \"\" TERM; setsid /bin/sleep {length} & exec /bin/sleep {length}' &\n\
             {}\n\
             while [ ! -e gate ]; do /bin/sleep 0.05; done\n\
             exit 3\n",
            if restless { "./generation generations &" } else { "" }
        );
        let marker = format!("EVE_ATTEMPT_ID={name}");
        let until_then = BootTime::now() + lease;
        let keeper = keeper(containment, until_then)
            .args(["--", "/bin/sh", "-c", &script])
            .env("EVE_ATTEMPT_ID", &name)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .spawn()?;
        let kept = Self { keeper, until: until_then, dir, marker, bare: format!("/bin/sleep\0{length}\0") };
        until("the agent runs", SOON, async || {
            let bare = processes::with(&kept.bare).len() == 2;
            let restless = !restless || kept.generations() > 10;
            Ok((bare && restless).then_some(()))
        })
        .await?;
        Ok(kept)
    }

    fn generations(&self) -> u64 {
        fs::metadata(self.dir.path().join("generations")).map_or(0, |file| file.len())
    }

    fn order(&mut self, order: &str) -> anyhow::Result<()> {
        let orders = self.keeper.stdin.as_mut().context("it listens")?;
        Ok(orders.write_all(order.as_bytes())?)
    }

    async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        until("the keeper ends", SOON, async || Ok(self.keeper.try_wait()?)).await.map(|status| status.code())
    }

    fn left(&self) -> Vec<processes::Process> {
        let mut left = processes::with(&self.marker);
        left.extend(processes::with(&self.bare));
        left
    }

    /// Not a moment later: what is left when the keeper has ended stays.
    async fn assert_nothing_is_left(&self, told: &str) {
        assert_eq!(self.left(), [], "{told}");
        assert_eq!(cgroups_of(self.keeper.id()), Vec::<PathBuf>::new(), "{told}");
        let last = self.generations();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(self.generations(), last, "{told}: something lives on");
    }

    /// The init, the keeper's only child.
    fn init(&self) -> anyhow::Result<u32> {
        let keeper = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        Ok(children.trim().parse()?)
    }

    /// Kills keeper and init so that neither sees the other's end.
    async fn kill_the_guards(&mut self) -> anyhow::Result<()> {
        let guards = [self.keeper.id(), self.init()?];
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            guards.iter().for_each(|pid| processes::signal(*pid, signal));
        }
        self.ended().await?;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A test that failed must not leave what it complains about.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        self.left().iter().for_each(|process| processes::signal(process.pid, Signal::SIGKILL));
    }
}

fn keeper(containment: &str, until: BootTime) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
    command.args(["keeper", "attempt", "--containment", containment]);
    command.arg("--until-ms").arg(until.as_millis().to_string());
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command
}

/// Whether this host has it; says so if not.
fn can_be_had(containment: &str) -> anyhow::Result<bool> {
    let mut probe = Command::new(env!("CARGO_BIN_EXE_eve"));
    let answer = probe.args(["keeper", "probe", "--containment", containment]).output()?;
    let found = String::from_utf8(answer.stdout)?.trim().to_owned();
    if found != containment {
        writeln!(io::stderr(), "NOT TESTED: this host has no {containment} for an agent, only a {found}")?;
    }
    Ok(found == containment)
}

/// The cgroups that a keeper has made.
fn cgroups_of(keeper: u32) -> Vec<PathBuf> {
    fn below(dir: &Path, part: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("eve-") && name.contains(part) {
                    found.push(entry.path());
                }
                below(&entry.path(), part, found);
            }
        }
    }
    let mut found = Vec::new();
    below(Path::new("/sys/fs/cgroup"), &format!("-{keeper}-"), &mut found);
    found
}

#[tokio::test]
async fn nothing_survives_in_any_containment() -> anyhow::Result<()> {
    for containment in CONTAINMENTS {
        if !can_be_had(containment)? {
            continue;
        }
        // Hunting one by one is a race, which is why it is the last resort.
        let restless = containment != "subreaper";
        let start = async |lease| Kept::start(containment, lease, restless).await;

        let mut itself = start(LONG_LEASE).await?;
        assert_eq!(cgroups_of(itself.keeper.id()).len(), usize::from(containment == "cgroup"));
        fs::write(itself.dir.path().join("gate"), "")?;
        assert_eq!(itself.ended().await?, Some(3));
        itself.assert_nothing_is_left(&format!("{containment}, by itself")).await;

        let mut killed = start(LONG_LEASE).await?;
        killed.order("terminate\n")?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(processes::with(&killed.bare).len(), 2, "{containment}: they ignore SIGTERM");
        killed.order("kill\n")?;
        assert_eq!(killed.ended().await?, Some(128 + 9));
        killed.assert_nothing_is_left(&format!("{containment}, on order")).await;

        let mut alone = start(LONG_LEASE).await?;
        drop(alone.keeper.stdin.take());
        assert_eq!(alone.ended().await?, Some(128 + 9));
        alone.assert_nothing_is_left(&format!("{containment}, worker gone")).await;

        let mut unheard = start(SHORT_LEASE).await?;
        assert_eq!(unheard.ended().await?, Some(LEASE_OVER));
        assert!(unheard.until.has_come());
        unheard.assert_nothing_is_left(&format!("{containment}, lease over")).await;

        // Init sees the keeper's end and does the rest.
        let mut unkept = start(LONG_LEASE).await?;
        unkept.keeper.kill()?;
        unkept.ended().await?;
        processes::gone(&[unkept.marker.clone(), unkept.bare.clone()], SOON).await?;
        unkept.assert_nothing_is_left(&format!("{containment}, keeper killed")).await;

        // An init that is killed takes everything along, or leaves it to the keeper.
        let mut without_init = start(LONG_LEASE).await?;
        processes::signal(without_init.init()?, Signal::SIGKILL);
        assert_eq!(without_init.ended().await?, Some(128 + 9));
        without_init.assert_nothing_is_left(&format!("{containment}, init killed")).await;
    }
    Ok(())
}

/// Each lease is a point in time: whoever was held up on the way to it finds it passed.
#[tokio::test]
async fn nothing_is_started_when_the_lease_is_over() -> anyhow::Result<()> {
    for containment in CONTAINMENTS {
        if !can_be_had(containment)? {
            continue;
        }
        for (until, script, code, began) in [
            (BootTime::now(), "touch began", LEASE_OVER, false),
            (BootTime::from_millis(0), "touch began", LEASE_OVER, false),
            (BootTime::now() + LONG_LEASE, "touch began", 0, true),
            // No agent can say of itself that its lease was over.
            (BootTime::now() + LONG_LEASE, "touch began; exit 254", 255, true),
        ] {
            let dir = tempfile::tempdir()?;
            let mut keeper = keeper(containment, until)
                .args(["--", "/bin/sh", "-c", script])
                .current_dir(dir.path())
                .stdin(Stdio::piped())
                .spawn()?;
            let mut orders = keeper.stdin.take().context("it listens")?;
            // Too late: what is over is over. It may be gone before it could hear of it.
            let _ = orders.write_all(format!("until {}\n", (until + LONG_LEASE).as_millis()).as_bytes());
            assert_eq!(keeper.wait()?.code(), Some(code), "{containment}, {until:?}, {script}");
            assert_eq!(dir.path().join("began").exists(), began, "{containment}, {until:?}, {script}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stopped_keeper_kills_as_soon_as_it_goes_on() -> anyhow::Result<()> {
    for containment in CONTAINMENTS {
        if !can_be_had(containment)? {
            continue;
        }
        let mut kept = Kept::start(containment, SHORT_LEASE, false).await?;
        processes::signal(kept.keeper.id(), Signal::SIGSTOP);
        // Heard only when it goes on, and over by then. Time left would begin to count there.
        let extended = kept.until + Duration::from_millis(500);
        kept.order(&format!("until {}\n", extended.as_millis()))?;
        until("the lease is over", SOON, async || Ok(extended.has_come().then_some(()))).await?;
        assert!(!kept.left().is_empty(), "{containment}: a keeper that is stopped kills nothing");
        processes::signal(kept.keeper.id(), Signal::SIGCONT);
        assert_eq!(kept.ended().await?, Some(LEASE_OVER), "{containment}");
        kept.assert_nothing_is_left(&format!("{containment}, stopped")).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_killed_guards_left_is_ended_by_the_next_keeper() -> anyhow::Result<()> {
    if !can_be_had("cgroup")? {
        return Ok(());
    }
    let mut lives = Kept::start("cgroup", LONG_LEASE, true).await?;
    let mut left = Kept::start("cgroup", LONG_LEASE, true).await?;
    left.kill_the_guards().await?;

    let mut next =
        keeper("cgroup", BootTime::now() + LONG_LEASE).args(["--", "/bin/true"]).stdin(Stdio::piped()).spawn()?;
    // Its orders stay open.
    let orders = next.stdin.take();
    assert_eq!(next.wait()?.code(), Some(0));
    drop(orders);
    left.assert_nothing_is_left("the next keeper was here").await;

    // Whose keeper lives is left alone.
    assert_eq!(processes::with(&lives.bare).len(), 2);
    assert_eq!(cgroups_of(lives.keeper.id()).len(), 1);
    lives.order("kill\n")?;
    assert_eq!(lives.ended().await?, Some(128 + 9));
    lives.assert_nothing_is_left("killed on order").await;
    Ok(())
}

#[tokio::test]
async fn what_killed_guards_left_is_ended_by_the_next_worker() -> anyhow::Result<()> {
    if !can_be_had("cgroup")? {
        return Ok(());
    }
    let mut left = Kept::start("cgroup", LONG_LEASE, true).await?;
    left.kill_the_guards().await?;
    let world = World::up(Settings::default()).await?;
    until("the worker has looked", SOON, async || Ok(left.left().is_empty().then_some(()))).await?;
    until("the cgroup is gone", SOON, async || Ok(cgroups_of(left.keeper.id()).is_empty().then_some(()))).await?;
    left.assert_nothing_is_left("a worker was here").await;
    world.passed();
    Ok(())
}
