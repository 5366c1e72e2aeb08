//! The section that the run of the peers becomes.

use std::fmt::Write;

use serde_json::Value;

/// The heading under which the section stands in the document.
const HEADING: &str = "## Beside other queues";
/// The peer that the others are compared with.
const OWN: &str = "eve";

const INTRODUCTION: &str = "
Written by `cargo xtask bench peers --peers DIR`; do not edit. Every queue starts from an empty database, in turn, with the
fast settings of its own documentation, on one durable PostgreSQL. `work` is one worker process and trivial jobs that wait
already, from its start until the last was handled: Eve counts a request when its settlement is durable, the others count
a job when its handler ran. Some of them delete a job that is done and keep nothing of it, or have no tenants to keep
apart; Eve writes all that it writes elsewhere: request, lease, attempt, result and events, under row-level security.

The median of the rounds; behind it, in parentheses, Eve's figure as a multiple of the other's. CPU seconds are those of
all processes of PostgreSQL, and of the worker, for 10,000 jobs, the start of the worker included; on a shared machine
they are the steadier figure. Rates and times compare only within the table. Restate is no queue on PostgreSQL but a
server with a log of its own; its latency is from sending to the handler's first line, by HTTP.
";

/// What is shown of a step: its name in the results, the key, the column, and how many decimals.
const COLUMNS: [(&str, &str, &str, usize); 11] = [
    ("enq1", "rate", "enqueue, 1 caller /s", 0),
    ("enq1", "pg_cpu_10k", "its PostgreSQL CPU s/10k", 2),
    ("enq8", "rate", "enqueue, 8 callers /s", 0),
    ("enqb", "rate", "enqueue, batches of 1000 /s", 0),
    ("work", "jobs_s", "work jobs/s", 0),
    ("work", "steady_jobs_s", "after the first tenth", 0),
    ("work", "pg_cpu_10k", "PostgreSQL CPU s/10k", 2),
    ("work", OWN_CPU, "worker CPU s/10k", 2),
    ("work", "rss_mb", "worker MiB", 0),
    ("lat", "p50_ms", "latency p50 ms", 2),
    ("lat", "p99_ms", "p99 ms", 2),
];
/// The difference of two keys of a result.
const OWN_CPU: &str = "worker_cpu_10k";

/// Facts about the run.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) date: String,
    pub(super) rounds: u32,
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_gib: u64,
    pub(super) commit: String,
    pub(super) versions: String,
}

/// The versions of the peers, from their own notes.
pub(super) fn versions(readme: &str) -> String {
    let Some((_, rest)) = readme.split_once("\n## Versions\n") else { return String::new() };
    let paragraph = rest.split("\n\n").next().unwrap_or_default();
    // What was not measured has no version.
    let measured = paragraph.split(" Not measured").next().unwrap_or_default();
    measured.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a peer reached in the rounds, least first.
fn figures(rows: &[Value], peer: &str, step: &str, key: &str) -> Vec<f64> {
    let mut found: Vec<f64> = rows
        .iter()
        .filter(|row| row["peer"] == peer && row["step"] == step)
        .filter_map(|row| match key {
            OWN_CPU => Some(row["cpu_10k"].as_f64()? - row["pg_cpu_10k"].as_f64()?),
            _ => row[key].as_f64(),
        })
        .collect();
    found.sort_by(f64::total_cmp);
    found
}

/// The middle of sorted figures, or between the two in the middle.
fn median(found: &[f64]) -> Option<f64> {
    let (upper, lower) = (found.len() / 2, found.len().checked_sub(1)? / 2);
    Some(f64::midpoint(*found.get(lower)?, *found.get(upper)?))
}

fn figure(rows: &[Value], peer: &str, step: &str, key: &str) -> Option<f64> {
    median(&figures(rows, peer, step, key))
}

/// How far apart the rounds were, which is what a difference in the table has to exceed.
fn spread(rows: &[Value], peers: &[&str]) -> String {
    let mut spreads: Vec<f64> = Vec::new();
    for peer in peers {
        for (step, key, ..) in COLUMNS {
            let found = figures(rows, peer, step, key);
            if let (Some(least), Some(most), Some(middle)) = (found.first(), found.last(), median(&found)) {
                spreads.push((most - least) / middle.max(f64::MIN_POSITIVE) * 100.0);
            }
        }
    }
    spreads.sort_by(f64::total_cmp);
    match (median(&spreads), spreads.last()) {
        (Some(middle), Some(most)) => format!(
            "From round to round a figure changed by {middle:.0} % at the median of all of them, and by {most:.0} % at most: \
             a smaller difference says nothing."
        ),
        _ => "Nothing was measured.".to_owned(),
    }
}

/// The section, with its heading.
pub(super) fn section(rows: &[Value], around: &Around) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for peer in rows.iter().filter_map(|row| row["peer"].as_str()) {
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let mut out = format!("{HEADING}\n{INTRODUCTION}\n");
    let loads: Vec<f64> = rows.iter().filter_map(|row| row["load"].as_f64()).collect();
    let (least, most) = loads.iter().fold((f64::MAX, 0.0_f64), |(least, most), one| (least.min(*one), most.max(*one)));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}, {} rounds; {} cores, {}, {} GiB; load average {:.1} to {most:.1}; Eve at {}.\n",
        around.date,
        around.rounds,
        around.cores,
        around.processor,
        around.memory_gib,
        least.min(most),
        around.commit
    );
    let head: Vec<&str> = COLUMNS.iter().map(|column| column.2).collect();
    let _ = writeln!(out, "| queue | {} |\n|{}", head.join(" | "), " --- |".repeat(COLUMNS.len() + 1));
    for peer in &peers {
        let cells: Vec<String> = COLUMNS
            .iter()
            .map(|(step, key, _, decimals)| {
                let Some(found) = figure(rows, peer, step, key) else { return "–".to_owned() };
                let text = format!("{found:.decimals$}");
                match figure(rows, OWN, step, key) {
                    Some(own) if *peer != OWN && found > 0.0 => format!("{text} ({:.2}×)", own / found),
                    Some(_) | None => text,
                }
            })
            .collect();
        let _ = writeln!(out, "| {peer} | {} |", cells.join(" | "));
    }
    if let (Some(own), Some(commit)) =
        (figure(rows, OWN, "lat", "p50_ms"), figure(rows, OWN, "lat", "commit_p50_ms").filter(|commit| *commit > 0.0))
    {
        let _ = writeln!(
            out,
            "\nA durable commit of one row, measured between the samples of Eve's latency, took {commit:.2} ms at the median: \
             from asking to an idle worker takes {:.1} commits.",
            own / commit
        );
    }
    let _ = writeln!(out, "\n{}", spread(rows, &peers));
    for row in rows {
        if let (Some(peer), Some(step), Some(error)) =
            (row["peer"].as_str(), row["step"].as_str(), row["error"].as_str())
        {
            let short: String = error.chars().take(100).collect();
            let _ = writeln!(out, "\n{peer} did not finish `{step}` in one round: {short}");
        }
    }
    if !around.versions.is_empty() {
        let _ = writeln!(out, "\nVersions, as the notes beside the peers have them: {}", around.versions);
    }
    out
}

/// The document with this section in place of the one that it has, or at its end.
pub(super) fn with_section(document: &str, section: &str) -> String {
    let start = document.find(&format!("{HEADING}\n"));
    let head = document.get(..start.unwrap_or(document.len())).unwrap_or_default().trim_end();
    let rest = start.and_then(|start| document.get(start + HEADING.len()..)).unwrap_or_default();
    let tail = rest.find("\n## ").and_then(|next| rest.get(next..)).unwrap_or_default();
    format!("{head}\n\n{section}{tail}")
}
