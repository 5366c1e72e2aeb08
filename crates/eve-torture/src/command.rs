//! The command line: which scenarios, how large, from which seed, and where the report goes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::outcome::Outcome;
use crate::report;
use crate::say::say;
use crate::scenario::Context;
use crate::scenario::FULL_ONLY;
use crate::scenario::SCENARIOS;
use crate::scenario::Scenario;
use crate::scenario::Size;

/// Breaks a whole Eve, and checks what it promises.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask torture",
    after_help = "A run prints its seed; the same seed makes the same faults. \
    Directories of runs with violations are kept and named. The exit code is 1 if anything was not as promised."
)]
struct Options {
    /// A sample of every scenario, in minutes. This is the default.
    #[arg(long, conflicts_with = "full")]
    short: bool,
    /// Every scenario in the size that its gates are stated for: up to an hour.
    #[arg(long)]
    full: bool,
    /// Only these scenarios; `--list` names them. May be given again.
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Where the random faults start from. One that is printed repeats a run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only this crash point, in the scenario `crash-points`.
    #[arg(long, value_name = "NAME")]
    point: Option<String>,
    /// Where the report goes. Without it, only a full run of all scenarios writes one.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// List scenarios and crash points, and do nothing.
    #[arg(long)]
    list: bool,
}

/// A scenario and what came of it.
pub(crate) struct Ran {
    pub(crate) scenario: &'static Scenario,
    pub(crate) outcome: Outcome,
}

pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if options.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let size = if options.full { Size::Full } else { Size::Short };
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    let chosen = choose(&options.scenarios, size)?;
    let point = options.point.as_deref().map(find_point).transpose()?;
    say(&format!("seed {seed}, {} run", size.name()));
    let began = Instant::now();
    let mut all = Vec::new();
    for scenario in &chosen {
        say(&format!("\n==> {}: {}", scenario.name, scenario.says));
        let started = Instant::now();
        // Each has a sequence of its own, so that one alone does what it does among the others.
        let mut context = Context { size, seed, random: fastrand::Rng::with_seed(seed), point };
        let outcome = (scenario.run)(&mut context).await;
        let mut outcome = outcome.unwrap_or_else(|error| {
            let mut failed = Outcome::default();
            failed.gate(format!("it can be carried out: {error:#}"), false);
            failed
        });
        outcome.took = started.elapsed();
        say(&report::text(&outcome));
        if !outcome.is_good() {
            let flag = if size == Size::Full { "--full" } else { "--short" };
            say(&format!("replay: cargo xtask torture {flag} --scenario {} --seed {seed}", scenario.name));
        }
        all.push(Ran { scenario, outcome });
    }
    let good = all.iter().all(|ran| ran.outcome.is_good());
    let verdict = if good { "everything is as promised" } else { "NOT everything is as promised" };
    say(&format!("\n{verdict}; seed {seed}, {} s", began.elapsed().as_secs()));
    let whole = options.full && options.scenarios.is_empty();
    if let Some(path) = options.report.or_else(|| whole.then(|| report::DEFAULT.into())) {
        report::write(&path, &all, size, seed, began.elapsed())?;
        say(&format!("the report is in {}", path.display()));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(names: &[String], size: Size) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        let fits = |scenario: &&Scenario| size == Size::Full || scenario.name != FULL_ONLY;
        return Ok(SCENARIOS.iter().filter(fits).collect());
    }
    names
        .iter()
        .map(|name| {
            let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
            found.ok_or_else(|| anyhow::anyhow!("there is no scenario `{name}`; --list names them"))
        })
        .collect()
}

fn find_point(name: &str) -> anyhow::Result<eve_crash::Point> {
    eve_crash::Point::named(name).ok_or_else(|| anyhow::anyhow!("there is no crash point `{name}`; --list names them"))
}

fn list() {
    say("Scenarios:");
    for scenario in SCENARIOS {
        say(&format!("  {:<16}{}", scenario.name, scenario.says));
    }
    say("\nCrash points:");
    for point in eve_crash::Point::ALL {
        say(&format!("  {:<26}{:<12}{}", point.name(), format!("{:?}", point.side()), point.says()));
    }
}
