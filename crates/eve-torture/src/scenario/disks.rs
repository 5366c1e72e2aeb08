//! Disks fill up: that of a worker's workspaces, and that of the database.
//!
//! Both are small file systems in memory, so this needs root. Gates for the worker: what fails there is classified as
//! that, burns no attempt, is done by others, and the worker takes no more until there is room. For the database: what was
//! acknowledged stays, callers are told to come again, and all goes on within half a minute of there being room.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;

use super::Context;
use crate::bed::Bed;
use crate::clock::millis;
use crate::evidence::client::Work;
use crate::evidence::world;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::wait::QUIET;
use crate::wait::until;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Sizes of the file systems.
const WORKSPACES_MIB: u64 = 64;
const DATABASE_MIB: u64 = 320;
/// Longest time from there being room to the next request that is done.
const RECOVERED_MS: u64 = 30_000;
/// Large requests while the database is full, and how many characters each carries that nobody can compress.
const WIDE: usize = 24;
const NOISE: usize = 150_000;
/// How long the database stays full.
const FULL: Duration = Duration::from_secs(4);

/// A file system of a size, in memory, as long as this is there.
struct Small {
    path: PathBuf,
}

impl Small {
    fn mount(mib: u64) -> anyhow::Result<Self> {
        let path = tempfile::Builder::new().prefix("eve-small-").tempdir_in("/tmp")?.keep();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=755"), "tmpfs"]).arg(&path);
        let output = command.output().context("mount")?;
        let this = Self { path };
        ensure!(
            output.status.success(),
            "cannot mount a small file system, which takes root: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(this)
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Fills it to the last block.
    fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        for block in [vec![b'.'; 1024 * 1024], vec![b'.'; 4096]] {
            while ballast.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    /// Makes room again.
    fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily, since keepers may still be clearing up in there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        let _ = std::fs::remove_dir(&self.path);
    }
}

pub(super) async fn workspaces(context: &mut Context) -> anyhow::Result<Outcome> {
    let (cycles, requests) = (context.size.pick(1, 5), context.size.pick(12, 40));
    let mut outcome = Outcome::default();
    let small = Small::mount(WORKSPACES_MIB)?;
    let mut bed = Bed::start(Settings::default()).await?;
    let plan = WorkerPlan { slots: 2, ..WorkerPlan::default() };
    let cramped = bed.world.add_worker(&WorkerPlan { data_dir: Some(small.path.clone()), ..plan.clone() }).await?;
    bed.world.add_worker(&plan).await?;
    bed.workers_entered().await?;
    let name = bed.world.worker_name(cramped);
    let mut again = 0;
    for _ in 0..cycles {
        small.fill()?;
        outcome.fault("disk of workspaces full", 1);
        let works = (0..requests).map(|_| Work::of(context.random.u64(20..300))).collect();
        bed.client.ask_all(works, 4).await;
        ensure!(bed.quiet_within(QUIET).await?, "requests do not end while one worker's disk is full");
        let before = starts(&bed, &name)?;
        small.empty()?;
        // As long as it takes until both have had some.
        let works = (0..requests / 2).map(|_| Work::of(400)).collect();
        bed.client.ask_all(works, 4).await;
        bed.quiet().await?;
        again += usize::from(starts(&bed, &name)? > before);
    }
    let verdict = bed.verdict(cycles * (requests + requests / 2)).await?;
    outcome.add(&verdict);
    let evidence = bed.evidence().await?;
    let classes: Vec<&str> =
        evidence.records.attempts.iter().filter_map(|attempt| attempt.failure_class.as_deref()).collect();
    let full = classes.iter().filter(|class| **class == "disk_full").count();
    let others: Vec<&&str> = classes.iter().filter(|class| **class != "disk_full").collect();
    outcome.gate(
        format!("{full} attempts failed there, all as disk_full; otherwise: {others:?}"),
        full > 0 && others.is_empty(),
    );
    let burned: u64 = evidence.records.requests.iter().map(|record| record.burned).sum();
    outcome.gate(format!("attempts that counted: {burned}"), burned == 0);
    // What it was waiting for when the disk filled up, and as many again for claims that were on their way.
    let most = cycles * 3 * 2;
    outcome.gate(format!("it stopped claiming: {full} attempts failed there, at most {most} may"), full <= most);
    outcome.gate(format!("the worker worked again after {again} of {cycles} times"), again == cycles);
    bed.end(outcome.is_good());
    Ok(outcome)
}

/// How many agents began to run on a worker.
fn starts(bed: &Bed, name: &str) -> anyhow::Result<usize> {
    let lines = world::read(&bed.world.world_dir())?;
    Ok(lines.iter().filter(|line| line.worker == name && line.what == world::What::Start).count())
}

pub(super) async fn database(context: &mut Context) -> anyhow::Result<Outcome> {
    let cycles = context.size.pick(1, 10);
    let mut outcome = Outcome::default();
    let small = Small::mount(DATABASE_MIB)?;
    let postgres = ["max_wal_size=64MB", "min_wal_size=32MB", "wal_recycle=off"].map(str::to_owned).to_vec();
    let settings = Settings { servers: 2, cluster_in: Some(small.path.clone()), postgres, ..Settings::default() };
    let mut bed = Bed::start(settings).await?;
    bed.add_workers(2, &WorkerPlan { slots: 3, ..WorkerPlan::default() }).await?;
    let (mut recovered, mut crashed, mut asking, mut not_ready) = (Vec::new(), 0, Vec::new(), 0);
    for _ in 0..cycles {
        asking.push(bed.ask((0..10).map(|_| Work::of(context.random.u64(20..400))).collect(), 4));
        tokio::time::sleep(Duration::from_millis(context.random.u64(100..800))).await;
        small.fill()?;
        outcome.fault("disk of the database full", 1);
        let wide = (0..WIDE).map(|_| Work::of(20).with("config", serde_json::json!({"filler": noise(context)})));
        asking.push(bed.ask(wide.collect(), 4));
        tokio::time::sleep(FULL).await;
        not_ready += usize::from(!bed.world.server_says_ready(0).await);
        small.empty()?;
        let began = Instant::now();
        if !bed.world.database.is_running() {
            // It stops rather than lose anything. Starting it again is its keeper's business, which here is this.
            crashed += 1;
            bed.world.database.start_again()?;
        }
        let answered = bed.client.clone();
        let id = until("a request is taken in again", QUIET, async || Ok(answered.ask(&Work::of(20)).await)).await?;
        let world_dir = bed.world.world_dir();
        until("a request is done again", QUIET, async || {
            let done = |line: &world::Line| line.request == id && matches!(line.what, world::What::End(_));
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(world::read(&world_dir)?.iter().any(done).then_some(()))
        })
        .await?;
        recovered.push(millis(began.elapsed()));
    }
    for task in asking {
        task.await?;
    }
    let verdict = bed.verdict(cycles * (WIDE + 10)).await?;
    outcome.add(&verdict);
    let slowest = percentile(&recovered, 100);
    outcome.gate(
        format!("a request done ≤ {} after there is room: {} at worst", seconds(Some(RECOVERED_MS)), seconds(slowest)),
        recovered.len() == cycles && slowest.is_some_and(|slowest| slowest <= RECOVERED_MS),
    );
    outcome.gate(
        format!("{} calls were told to come again, or heard nothing, while it was full", verdict.figures.unheard),
        verdict.figures.unheard > 0,
    );
    let evidence = bed.evidence().await?;
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for call in evidence.asked.iter().flat_map(|asked| &asked.calls) {
        let code = call.answer.as_ref().map_or_else(|_| "no answer".to_owned(), |(code, _)| code.to_string());
        *codes.entry(code).or_default() += 1;
    }
    outcome.gate(
        "answers to clients: those, 201 and 503".to_owned(),
        codes.keys().all(|code| ["no answer", "201", "503"].contains(&code.as_str())),
    );
    outcome.note(format!(
        "answers to clients: {codes:?}; /readyz said no {not_ready} of {cycles} times; PostgreSQL stopped by itself {crashed} times"
    ));
    bed.end(outcome.is_good());
    Ok(outcome)
}

fn noise(context: &mut Context) -> String {
    (0..NOISE).map(|_| context.random.alphanumeric()).collect()
}
