//! The report: for people on a terminal, and as a dated table for the documentation.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use jiff::Unit;

use crate::command::Ran;
use crate::outcome::Outcome;
use crate::scenario::Size;

/// Where a full run writes it.
pub(crate) const DEFAULT: &str = "docs/torture.md";

/// What came of a scenario, in lines.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let violations: usize = outcome.violations.values().sum();
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "{}: {} requests, {} completed, {violations} violations; {}; {:.1} s",
        if outcome.is_good() { "good" } else { "BAD" },
        outcome.requests,
        outcome.completed,
        faults(outcome, ", "),
        outcome.took.as_secs_f64()
    );
    for gate in &outcome.gates {
        let _ = write!(text, "\n  {} {}", if gate.holds { "holds" } else { "FAILS" }, gate.says);
    }
    for (kind, count) in &outcome.violations {
        let _ = write!(text, "\n  VIOLATION {kind}: {count}");
    }
    for note in &outcome.notes {
        let _ = write!(text, "\n  {note}");
    }
    text
}

fn faults(outcome: &Outcome, between: &str) -> String {
    let faults: Vec<String> = outcome.faults.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    if faults.is_empty() { "no faults".to_owned() } else { faults.join(between) }
}

/// Writes the table.
pub(crate) fn write(path: &Path, all: &[Ran], size: Size, seed: u64, took: Duration) -> anyhow::Result<()> {
    let mut text = String::from(INTRODUCTION);
    let good = all.iter().all(|ran| ran.outcome.is_good());
    let _ = writeln!(
        text,
        "{}, {} run, seed {seed}: **{}** after {} min; {}; Eve at {}.\n",
        Timestamp::now().round(Unit::Second)?,
        size.name(),
        if good { "everything as promised" } else { "not everything as promised" },
        took.as_secs().div_ceil(60),
        machine(),
        commit()
    );
    text.push_str(
        "| scenario | faults | requests | completed | violations | s |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for Ran { scenario, outcome } in all {
        let violations: Vec<String> =
            outcome.violations.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let _ = writeln!(
            text,
            "| [{}](#{}) | {} | {} | {} | {} | {} |",
            scenario.name,
            scenario.name,
            faults(outcome, "; "),
            outcome.requests,
            outcome.completed,
            if violations.is_empty() { "0".to_owned() } else { violations.join("; ") },
            outcome.took.as_secs()
        );
    }
    for Ran { scenario, outcome } in all {
        let _ = writeln!(text, "\n### {}\n\n{}\n", scenario.name, scenario.says);
        for gate in &outcome.gates {
            let _ = writeln!(text, "- {}{}", if gate.holds { "" } else { "**fails:** " }, gate.says);
        }
        for note in &outcome.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    Ok(fs::write(path, text)?)
}

/// What the figures belong to.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores, {processor}, Linux {}; load average {} at the end",
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if text.is_empty() { "an unknown commit".to_owned() } else { text }
}

const INTRODUCTION: &str = "\
# Torture

Written by `make torture`; do not edit. What is promised, and how a built Eve fares when she is killed between any two
steps, frozen, cut off, starved of disk, or given a wrong clock. The sample that `make test` runs takes minutes.

Three ledgers are kept by parties that have nothing in common: what clients were told, what agents noted in a file
outside of Eve, and what the database has. One checker compares them. It finds requests that were acknowledged and are
not there, or are there twice; that are in no place, in two, or not finished; that finished twice, or otherwise than is
shown; two live attempts of one request (the kernel tells by a lock, in milliseconds); agents that do anything after their
lease went back or their worker died; fences that do not grow by one; results of attempts that never came to their end;
attempts that count though nobody is to blame; cancels that were not answered with the truth. It fails as well when too
little was done. `cargo xtask torture --list` names scenarios and crash points; `--seed` repeats a run, and a scenario
alone makes the faults that it makes among the others.

PostgreSQL is a cluster of its own with fsync on; servers and workers are processes of the debug build, since only that
can be made to die at a crash point. Leases are 3 seconds, the shortest that Eve allows.

## The last run

";
