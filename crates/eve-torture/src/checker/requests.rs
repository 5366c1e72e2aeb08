//! What clients were told against what the database has.

use std::collections::BTreeMap;

use super::Figures;
use super::Finding;
use super::QUARANTINE;
use super::Verdict;
use super::Violation;
use crate::evidence::Evidence;
use crate::evidence::client::Asked;
use crate::evidence::client::Expect;
use crate::evidence::database::AttemptRecord;
use crate::evidence::database::Record;
use crate::evidence::database::ResultRecord;

const TERMINAL: [&str; 3] = ["request:completed", "request:failed", "request:cancelled"];

pub(super) fn check(evidence: &Evidence, verdict: &mut Verdict) {
    let mut by_number: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
    for record in &evidence.records.requests {
        by_number.entry(record.number).or_default().push(record);
    }
    let mut attempts: BTreeMap<_, Vec<&AttemptRecord>> = BTreeMap::new();
    for attempt in &evidence.records.attempts {
        attempts.entry(attempt.request).or_default().push(attempt);
    }
    for asked in &evidence.asked {
        count(asked, &mut verdict.figures);
        let records = by_number.remove(&asked.number).unwrap_or_default();
        for violation in identity(evidence, asked, &records) {
            verdict.findings.push(Finding { request: asked.acknowledged(), violation });
        }
        for record in records {
            let own = attempts.get(&record.id).map_or(&[][..], Vec::as_slice);
            for violation in standing(record, own).into_iter().chain(ending(asked, record, own)) {
                verdict.findings.push(Finding { request: Some(record.id), violation });
            }
            match record.state.as_str() {
                "completed" => verdict.figures.completed += 1,
                "failed" => verdict.figures.failed += 1,
                "cancelled" => verdict.figures.cancelled += 1,
                _ => {}
            }
            let quarantined = record.result.as_ref().is_some_and(is_quarantined);
            verdict.figures.quarantined += usize::from(quarantined);
        }
    }
    // Nobody asked for these.
    for record in by_number.into_values().flatten() {
        let violation = Violation::Duplicated { count: 1 };
        verdict.findings.push(Finding { request: Some(record.id), violation });
    }
}

fn count(asked: &Asked, figures: &mut Figures) {
    figures.asked += 1;
    figures.acknowledged += usize::from(asked.acknowledged().is_some());
    figures.unheard += asked.calls.iter().filter(|call| !matches!(call.answer, Ok((200..=499, _)))).count();
}

/// One request for what was asked once, and the same one in every answer.
fn identity(evidence: &Evidence, asked: &Asked, records: &[&Record]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let acknowledged = asked.acknowledged();
    if records.len() > 1 {
        violations.push(Violation::Duplicated { count: records.len() });
    }
    if let Some(id) = acknowledged {
        if records.is_empty() {
            violations.push(Violation::Lost);
        }
        let other_answer = asked.calls.iter().any(|call| match &call.answer {
            Ok((200 | 201, other)) => *other != Some(id),
            _ => false,
        });
        let keyed = asked.key.as_ref().map(|key| evidence.records.keys.get(key));
        let other_row = !records.is_empty() && records.iter().all(|record| record.id != id);
        if other_answer || other_row || keyed.is_some_and(|keyed| keyed != Some(&id)) {
            violations.push(Violation::KeyMismatch);
        }
    }
    violations
}

/// In one place, finished once, and shown as it is.
fn standing(record: &Record, attempts: &[&AttemptRecord]) -> Vec<Violation> {
    let mut violations = Vec::new();
    if record.places.len() != 1 {
        violations.push(Violation::Places(record.places.clone()));
    }
    let Some(result) = &record.result else {
        violations.push(Violation::Unfinished { state: record.state.clone() });
        return violations;
    };
    if record.state != result.state {
        violations.push(Violation::Shown { shown: record.state.clone(), result: result.state.clone() });
    }
    let endings: Vec<String> = record.events.iter().filter(|kind| TERMINAL.contains(&kind.as_str())).cloned().collect();
    if endings != [format!("request:{}", result.state)] {
        violations.push(Violation::Endings(endings));
    }
    let failures = attempts.iter().filter(|attempt| attempt.state == "settled" && burns(attempt)).count();
    let failures = u64::try_from(failures).unwrap_or(u64::MAX);
    if record.burned > failures {
        violations.push(Violation::Burned { counted: record.burned, failures });
    }
    violations
}

/// Whether an attempt is one of those that count.
fn burns(attempt: &AttemptRecord) -> bool {
    let class = attempt.failure_class.as_deref().and_then(eve_core::FailureClass::from_code);
    class.is_some_and(|class| class.disposition() == eve_core::Disposition::RetryBurning)
}

fn is_quarantined(result: &ResultRecord) -> bool {
    result.error_code.as_deref() == Some("quarantined")
}

/// It came to what it may come to.
fn ending(asked: &Asked, record: &Record, attempts: &[&AttemptRecord]) -> Vec<Violation> {
    let Some(result) = &record.result else { return Vec::new() };
    let mut violations: Vec<Violation> =
        asked.cancels.iter().filter_map(|cancel| contradiction(cancel, result)).collect();
    if is_quarantined(result) {
        let lost = attempts.iter().rev().take_while(|attempt| attempt.state == "expired").count();
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        if lost < QUARANTINE {
            violations.push(Violation::Quarantined { lost });
        }
        // Whoever was with so many lost workers is kept away from others, whatever was expected of it.
        return violations;
    }
    let failed_as = |code: &str| result.state == "failed" && result.error_code.as_deref() == Some(code);
    let expected = match asked.expect {
        Expect::Completed => result.state == "completed",
        Expect::Failed(code) => failed_as(code),
        Expect::Cancelled => result.state == "cancelled",
        Expect::CompletedOrCancelled => matches!(result.state.as_str(), "completed" | "cancelled"),
    };
    if !expected {
        let (state, error_code) = (result.state.clone(), result.error_code.clone());
        violations.push(Violation::UnexpectedEnd { state, error_code });
    }
    violations
}

/// Whether a cancel was answered with something that did not come true.
fn contradiction(cancel: &crate::evidence::client::Cancel, result: &ResultRecord) -> Option<Violation> {
    let true_to_its_word = match (cancel.code, cancel.status.as_str()) {
        (200, "cancelled") => result.state == "cancelled",
        (200, "completed" | "failed") => false,
        // It is being stopped: it may be done before.
        (200, _) if cancel.stopping => matches!(result.state.as_str(), "cancelled" | "completed"),
        (200, _) => false,
        // Finished already, and not by this one.
        (409, _) => true,
        (429 | 500..=599, _) => true,
        _ => false,
    };
    let answer = format!("{} {} stopping={}", cancel.code, cancel.status, cancel.stopping);
    (!true_to_its_word).then(|| Violation::Cancelled { answer, state: result.state.clone() })
}
