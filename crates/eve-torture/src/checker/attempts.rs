//! What agents did against what the database says of their attempts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use eve_core::AttemptId;
use eve_core::RequestId;

use super::CLOCKS_MS;
use super::DEATH_LIMIT_MS;
use super::Finding;
use super::Verdict;
use super::Violation;
use crate::evidence::Evidence;
use crate::evidence::database::AttemptRecord;
use crate::evidence::world::Line;
use crate::evidence::world::What;

/// An attempt as the world saw it.
struct Life<'a> {
    request: RequestId,
    fence: u64,
    worker: &'a str,
    first: u64,
    last: u64,
    ended: bool,
    contact: bool,
    /// Said by the kernel: how long the attempt before it was still alive.
    overlap: u64,
}

pub(super) fn check(evidence: &Evidence, verdict: &mut Verdict) {
    let mut lives: BTreeMap<AttemptId, Life<'_>> = BTreeMap::new();
    for line in &evidence.lines {
        note(&mut lives, line);
    }
    let mut known: BTreeMap<RequestId, Vec<&AttemptRecord>> = BTreeMap::new();
    for attempt in &evidence.records.attempts {
        known.entry(attempt.request).or_default().push(attempt);
    }
    overlaps(&lives, verdict);
    for (id, life) in &lives {
        let record = known.get(&life.request).and_then(|list| list.iter().find(|record| record.id == *id));
        for violation in life.against(*id, record.copied(), evidence) {
            verdict.findings.push(Finding { request: Some(life.request), violation });
        }
    }
    for record in &evidence.records.requests {
        let own = known.get(&record.id).map_or(&[][..], Vec::as_slice);
        let fences: Vec<u64> = own.iter().map(|attempt| attempt.fence).collect();
        let ids: BTreeSet<AttemptId> = own.iter().map(|attempt| attempt.id).collect();
        let one_by_one = fences.iter().zip(1..).all(|(fence, expected)| *fence == expected);
        if !one_by_one || ids.len() != own.len() {
            let violation = Violation::Fences(fences.clone());
            verdict.findings.push(Finding { request: Some(record.id), violation });
        }
        if let Some(result) = &record.result {
            let last = fences.last().copied().unwrap_or_default();
            if result.fence != last {
                let violation = Violation::ResultFence { result: result.fence, last };
                verdict.findings.push(Finding { request: Some(record.id), violation });
            }
            let done = result.attempt.and_then(|attempt| lives.get(&attempt)).is_some_and(|life| life.ended);
            if result.state == "completed" && !done {
                let violation = Violation::NeverDone { attempt: result.attempt };
                verdict.findings.push(Finding { request: Some(record.id), violation });
            }
        }
        for (index, before) in own.iter().enumerate().filter(|(_, attempt)| attempt.state == "expired") {
            let Some(died) = death(evidence, before) else {
                verdict.figures.expired_living += 1;
                continue;
            };
            let next = own.get(index + 1).map(|after| after.claimed_at.saturating_sub(died));
            verdict.figures.takeovers_ms.extend(next);
        }
    }
    for attempt in &evidence.records.attempts {
        verdict.figures.expired += usize::from(attempt.state == "expired");
        verdict.figures.released += usize::from(attempt.state == "released");
    }
}

/// When an attempt's worker was killed, if it was: the first death of such a process while the attempt lasted.
fn death(evidence: &Evidence, attempt: &AttemptRecord) -> Option<u64> {
    let while_it_lasted = |at: &u64| attempt.claimed_at <= at + CLOCKS_MS && *at <= attempt.ended_at;
    let own = evidence.deaths.values().filter(|death| Some(death.pid) == attempt.worker_pid);
    own.map(|death| death.at).filter(while_it_lasted).min()
}

fn note<'a>(lives: &mut BTreeMap<AttemptId, Life<'a>>, line: &'a Line) {
    let life = lives.entry(line.attempt).or_insert_with(|| Life {
        request: line.request,
        fence: line.fence,
        worker: &line.worker,
        first: line.at,
        last: line.at,
        ended: false,
        contact: false,
        overlap: 0,
    });
    life.first = life.first.min(line.at);
    life.last = life.last.max(line.at);
    match line.what {
        What::End(0) => life.ended = true,
        What::Contact => life.contact = true,
        What::Overlap(ms) => life.overlap = ms,
        What::Start | What::Step | What::Child | What::End(_) => {}
    }
}

impl Life<'_> {
    fn against(&self, id: AttemptId, record: Option<&AttemptRecord>, evidence: &Evidence) -> Vec<Violation> {
        let mut violations = Vec::new();
        match record {
            Some(record) if record.fence == self.fence => {
                // Whoever took the lease back, or settled it, was sure that nothing ran any more.
                let late = self.last.saturating_sub(record.ended_at);
                if late > CLOCKS_MS {
                    violations.push(Violation::Undead { attempt: id, ms: late, why: "its lease was gone" });
                }
            }
            // An attempt that is not over yet belongs to a request that is not finished, which is said elsewhere.
            Some(_) => violations.push(Violation::Unknown { attempt: id }),
            None if evidence.records.requests.iter().any(|one| one.id == self.request && one.result.is_none()) => {}
            None => violations.push(Violation::Unknown { attempt: id }),
        }
        if let Some(died) = evidence.deaths.get(self.worker) {
            let late = self.last.saturating_sub(died.at + DEATH_LIMIT_MS);
            if late > 0 {
                violations.push(Violation::Undead { attempt: id, ms: late, why: "its worker was dead" });
            }
        }
        violations
    }
}

/// Attempts of one request, one after the other.
fn overlaps(lives: &BTreeMap<AttemptId, Life<'_>>, verdict: &mut Verdict) {
    let mut by: BTreeMap<RequestId, Vec<(AttemptId, &Life<'_>)>> = BTreeMap::new();
    for (id, life) in lives {
        by.entry(life.request).or_default().push((*id, life));
    }
    for (request, mut own) in by {
        own.sort_unstable_by_key(|(_, life)| (life.first, life.fence));
        for pair in own.windows(2) {
            let [(first, before), (second, after)] = pair else { continue };
            let seen = before.last.saturating_sub(after.first);
            let ms = seen.max(after.overlap).max(u64::from(after.contact));
            if ms > 0 {
                verdict.figures.overlap_ms = verdict.figures.overlap_ms.max(ms);
                let violation = Violation::Overlap { first: *first, second: *second, ms };
                verdict.findings.push(Finding { request: Some(request), violation });
            }
        }
    }
}
