//! Stale writes: provoked by the harness under the name of an attempt that was given up, and counted by the servers.

use std::collections::BTreeMap;

use eve_core::AttemptId;
use eve_core::RequestId;
use serde_json::Value;
use serde_json::json;

use super::Silence;
use crate::bed::Bed;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::proxy;

/// What a stale result and a stale line say, to be found where they must not be.
const LATE: &str = "said too late";
/// The operations that are provoked, as the counter calls them.
const PROVOKED: [&str; 4] = ["attempt_start", "attempt_log_append", "attempt_settle", "attempt_release"];

/// Writes under old fences, and keeps count of the answers.
pub(super) struct Refusals {
    http: reqwest::Client,
    server: String,
    key: String,
    provoked: u64,
    accepted: Vec<String>,
    /// Given back by their workers before, whose answer got lost: a repetition is answered as the first one was.
    repeated: Vec<AttemptId>,
}

impl Refusals {
    /// Through the first server.
    pub(super) fn new(bed: &Bed) -> anyhow::Result<Self> {
        let server = bed.world.servers.first().map(|server| server.front.url()).unwrap_or_default();
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            server,
            key: bed.world.worker_key()?,
            provoked: 0,
            accepted: Vec::new(),
            repeated: Vec::new(),
        })
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let call = self.http.post(format!("{}/api/v1/worker/attempts/{path}", self.server)).bearer_auth(&self.key);
        let answer = call.json(body).send().await?;
        Ok((answer.status().as_u16(), serde_json::from_str(&answer.text().await?).unwrap_or_default()))
    }

    /// Writes everything that an attempt can write.
    pub(super) async fn provoke(&mut self, request: RequestId, attempt: AttemptId, fence: u64) -> anyhow::Result<()> {
        let fenced = json!({"request_id": request, "attempt_id": attempt, "fence": fence});
        let with = |name: &str, value: Value| {
            let mut body = fenced.clone();
            body[name] = value;
            body
        };
        let report = json!({
            "outcome": {"kind": "succeeded", "output": {"text": LATE}, "summary": LATE},
            "usage": {}, "delivery": {}, "duration_ms": 1, "dropped_bytes": 0,
        });
        let entry = json!({"seq": 1_000_000, "at": "2026-01-01T00:00:00Z", "event": {"type": "text", "text": LATE}});
        let calls = [
            ("start", with("harness", json!("command")), false),
            ("log", with("entries", json!([entry])), false),
            ("settle", json!({"settlements": [with("report", report)]}), true),
            ("release", json!({"attempts": [fenced]}), true),
        ];
        for (path, body, in_batch) in calls {
            let (code, answer) = self.post(path, &body).await?;
            let refused = match in_batch {
                true => code == 200 && answer["outcomes"] == json!([{"outcome": "stale"}]),
                false => code == 409 && answer["code"] == "stale_fence",
            };
            if path == "release" && code == 200 && answer["outcomes"][0]["outcome"] == "ended" {
                self.repeated.push(attempt);
            } else if !refused {
                self.accepted.push(format!("{path} of {attempt}: {code} {answer}"));
            }
        }
        self.provoked += 1;
        Ok(())
    }

    /// Compares what was provoked, what workers say was refused, what the servers counted, and what the database has.
    pub(super) async fn judge(self, bed: &mut Bed, silence: Silence, outcome: &mut Outcome) -> anyhow::Result<()> {
        let writes = self.provoked * u64::try_from(PROVOKED.len())?;
        outcome.fault("stale write provoked", writes);
        outcome.gate(
            format!("{writes} stale writes provoked, accepted: {:?}", self.accepted.iter().take(3).collect::<Vec<_>>()),
            self.accepted.is_empty() && writes > 0,
        );
        let records = bed.evidence().await?.records;
        let released = |id: &AttemptId| records.attempts.iter().any(|one| one.id == *id && one.state == "released");
        if !self.repeated.is_empty() {
            outcome.gate(
                format!(
                    "{} were given back before, and a repetition of that was answered as it was",
                    self.repeated.len()
                ),
                self.repeated.iter().all(released),
            );
        }
        let late = database::late_words(&mut bed.look().await?, LATE).await?;
        outcome.gate(format!("their words are in {late} results and lines of logs"), late == 0);
        let counted = self.counted(bed).await?;
        let of = |operation: &str| counted.get(operation).copied().unwrap_or_default();
        let said = |words: &str| -> u64 {
            let logs = bed.world.workers.iter().map(|worker| worker.daemon.log());
            logs.map(|log| u64::try_from(log.matches(words).count()).unwrap_or_default()).sum()
        };
        let told = said("attempt over, but its lease was given away");
        let entered_again = said("this worker was given up; entering again");
        let ends = of("attempt_settle") + of("attempt_release");
        let provoked = 2 * self.provoked - u64::try_from(self.repeated.len())?;
        let expected = provoked + told;
        // Where answers are lost, a refusal that was counted may not have been heard.
        let agrees = |counted: u64, expected: u64| match silence {
            Silence::Frozen => counted == expected,
            Silence::CutOff => counted >= expected,
        };
        let sign = if silence == Silence::Frozen { "=" } else { "≥" };
        outcome.gate(
            format!("stale ends counted by servers {ends} {sign} {provoked} provoked + {told} that workers say"),
            agrees(ends, expected),
        );
        let beats = of("worker_heartbeat");
        outcome.gate(
            format!("stale heartbeats counted {beats} {sign} {entered_again} that workers say"),
            agrees(beats, entered_again),
        );
        let (starts, logs) = (of("attempt_start"), of("attempt_log_append"));
        outcome.gate(
            format!("stale starts counted {starts}, lines {logs}, both ≥ {} provoked", self.provoked),
            starts >= self.provoked && logs >= self.provoked,
        );
        Ok(())
    }

    /// `eve_stale_writes_total` of all servers, by operation.
    async fn counted(&self, bed: &Bed) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for server in &bed.world.servers {
            let Some(address) = proxy::address_of(&server.target) else { continue };
            let text = self.http.get(format!("http://{address}/metrics")).send().await?.text().await?;
            for line in text.lines() {
                let Some(rest) = line.strip_prefix("eve_stale_writes_total{operation=\"") else { continue };
                let Some((operation, count)) = rest.split_once("\"} ") else { continue };
                *counted.entry(operation.to_owned()).or_default() += count.trim().parse::<u64>()?;
            }
        }
        Ok(counted)
    }
}
