//! What was measured, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde::Serializer;

use crate::baseline::Baseline;
use crate::cost;
use crate::cost::Cost;
use crate::machine::Machine;
use crate::stress;
use crate::stress::Finding;

/// CPU is told for so many requests.
const CPU_UNIT: f64 = 10_000.0;
const HEAD: &str =
    "| scenario | round | n | per second | p50 ms | p90 ms | p99 ms | rate ÷ commits/s | p50 ÷ commit p50 | PostgreSQL CPU s/10k | own CPU s/10k | WAL KiB each | commits/s, p50 ms beside | load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rows: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
    #[serde(serialize_with = "short")]
    pub(crate) peak_rss_mib: f64,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Which time it was measured in this run, from 1.
    pub(crate) round: u32,
    scenario: String,
    n: usize,
    #[serde(serialize_with = "short")]
    rate: f64,
    p50_ms: Option<Short>,
    p90_ms: Option<Short>,
    p99_ms: Option<Short>,
    #[serde(serialize_with = "short")]
    rate_ratio: f64,
    p50_ratio: Option<Short>,
    cluster_cpu_s_10k: Option<Short>,
    #[serde(serialize_with = "short")]
    own_cpu_s_10k: f64,
    #[serde(serialize_with = "short")]
    wal_kib_each: f64,
    #[serde(serialize_with = "short")]
    commits_s: f64,
    commit_p50_ms: Option<Short>,
    load: f64,
    /// A remark for which there is no column.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A number that needs no more than three decimals.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
struct Short(#[serde(serialize_with = "short")] f64);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn short<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 1000.0).round() / 1000.0)
}

/// The sample that this share of a hundred does not exceed, in milliseconds.
fn percentile(sorted: &[Duration], share: usize) -> Option<f64> {
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|sample| sample.as_secs_f64() * 1000.0)
}

fn sorted(samples: &[Duration]) -> Vec<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted
}

/// What a scenario hands over.
pub(crate) struct Measured<'a> {
    pub(crate) scenario: String,
    pub(crate) n: usize,
    pub(crate) samples: &'a [Duration],
    pub(crate) cost: Cost,
    pub(crate) baseline: &'a Baseline,
    pub(crate) load: f64,
    pub(crate) note: Option<String>,
}

impl Row {
    pub(crate) fn of(measured: Measured<'_>) -> Self {
        let Measured { scenario, n, samples, cost, baseline, load, note } = measured;
        let samples = sorted(samples);
        let commit_p50 = percentile(&sorted(baseline.commits()), 50);
        let p50 = percentile(&samples, 50);
        let (count, commits_s) = (cost::float(n), baseline.rate());
        let rate = count / cost.seconds;
        let for_10k = |seconds: f64| seconds / count * CPU_UNIT;
        Self {
            round: 1,
            scenario,
            n,
            rate,
            p50_ms: p50.map(Short),
            p90_ms: percentile(&samples, 90).map(Short),
            p99_ms: percentile(&samples, 99).map(Short),
            rate_ratio: rate / commits_s,
            p50_ratio: p50.zip(commit_p50).map(|(own, commit)| Short(own / commit)),
            cluster_cpu_s_10k: cost.cluster_cpu.map(|seconds| Short(for_10k(seconds))),
            own_cpu_s_10k: for_10k(cost.own_cpu),
            wal_kib_each: cost.log_kib / count,
            commits_s,
            commit_p50_ms: commit_p50.map(Short),
            load,
            note,
        }
    }

    /// One line, for whoever watches.
    pub(crate) fn line(&self) -> String {
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!(
            "{}: {:.0}/s ({:.2} × commits/s), p50 {} ms, p99 {} ms, PostgreSQL CPU {} s/10k, own {:.2} s/10k{note}",
            self.scenario,
            self.rate,
            self.rate_ratio,
            decimals(self.p50_ms),
            decimals(self.p99_ms),
            decimals(self.cluster_cpu_s_10k),
            self.own_cpu_s_10k
        )
    }

    fn markdown(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.0} | {} | {} | {} | {:.2} | {} | {} | {:.2} | {:.1} | {:.0}, {} | {:.1} |",
            self.scenario,
            self.round,
            self.n,
            self.rate,
            decimals(self.p50_ms),
            decimals(self.p90_ms),
            decimals(self.p99_ms),
            self.rate_ratio,
            decimals(self.p50_ratio),
            decimals(self.cluster_cpu_s_10k),
            self.own_cpu_s_10k,
            self.wal_kib_each,
            self.commits_s,
            decimals(self.commit_p50_ms),
            self.load
        );
    }
}

fn decimals(number: Option<Short>) -> String {
    number.map_or_else(|| "–".to_owned(), |Short(number)| format!("{number:.2}"))
}

impl Report {
    /// The table with what is needed to read it.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        self.machine.markdown(&mut out);
        out.push('\n');
        if !self.rows.is_empty() {
            out.push_str(HEAD);
        }
        for row in &self.rows {
            row.markdown(&mut out);
        }
        if !self.findings.is_empty() {
            out.push_str(stress::HEAD);
        }
        for finding in &self.findings {
            finding.markdown(&mut out);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\nPeak memory of the measuring process: {:.0} MiB.\n", self.peak_rss_mib);
        for row in &self.rows {
            if let Some(note) = &row.note {
                let _ = writeln!(out, "- {}, round {}: {note}.", row.scenario, row.round);
            }
        }
        out
    }
}
