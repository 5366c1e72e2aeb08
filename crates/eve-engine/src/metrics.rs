//! Counters of this process under the names that dashboards expect.

use eve_core::AttemptReport;
use eve_core::OrgId;
use eve_core::StateName;
use eve_store::request::NewRequest;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StatusLabels {
    pub(crate) worker_type: String,
    pub(crate) status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TypeLabels {
    pub(crate) worker_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TokenLabels {
    pub(crate) worker_type: String,
    pub(crate) direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CostLabels {
    pub(crate) org: String,
    pub(crate) worker_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabels {
    pub(crate) operation: &'static str,
}

/// The counters of this process.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) requests: Family<StatusLabels, Counter>,
    pub(crate) duration: Family<TypeLabels, Histogram, fn() -> Histogram>,
    pub(crate) queue_depth: Family<TypeLabels, Gauge>,
    pub(crate) tokens: Family<TokenLabels, Counter>,
    pub(crate) cost_usd: Family<CostLabels, Counter<f64, AtomicU64>>,
    pub(crate) claims: Family<OutcomeLabels, Counter>,
    pub(crate) stale_writes: Family<OperationLabels, Counter>,
    pub(crate) takeovers: Counter,
}

/// Seconds: agents run from moments to hours.
fn duration_buckets() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(duration_buckets),
            queue_depth: Family::default(),
            tokens: Family::default(),
            cost_usd: Family::default(),
            claims: Family::default(),
            stale_writes: Family::default(),
            takeovers: Counter::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn stale_write(&self, operation: &'static str) {
        self.stale_writes.get_or_create(&OperationLabels { operation }).inc();
    }

    pub(crate) fn count_finished(&self, worker_type: &str, state: StateName) {
        let labels = StatusLabels { worker_type: worker_type.to_owned(), status: state.name().to_owned() };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn count_created(&self, new: &[NewRequest]) {
        for request in new {
            let labels = StatusLabels { worker_type: request.lane.worker_type.clone(), status: "created".to_owned() };
            self.requests.get_or_create(&labels).inc();
        }
    }

    /// How many requests a claim got.
    pub(crate) fn count_claims(&self, count: usize) {
        let outcome = if count == 0 { "empty" } else { "claimed" };
        self.claims.get_or_create(&OutcomeLabels { outcome }).inc_by(u64::try_from(count.max(1)).unwrap_or(1));
    }

    pub(crate) fn count_usage(&self, worker_type: &str, org: OrgId, report: &AttemptReport) {
        let worker_type = worker_type.to_owned();
        #[expect(clippy::cast_precision_loss, reason = "a histogram needs no exact milliseconds")]
        let seconds = report.duration_ms as f64 / 1000.0;
        self.duration.get_or_create(&TypeLabels { worker_type: worker_type.clone() }).observe(seconds);
        for (direction, count) in [("input", report.usage.input_tokens), ("output", report.usage.output_tokens)] {
            self.tokens.get_or_create(&TokenLabels { worker_type: worker_type.clone(), direction }).inc_by(count);
        }
        if let Some(cost) = report.usage.cost_usd.and_then(|cost| f64::try_from(cost).ok()) {
            self.cost_usd.get_or_create(&CostLabels { org: org.to_string(), worker_type }).inc_by(cost);
        }
    }

    /// All of them in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register("eve_requests", "Requests created and finished, by status", self.requests.clone());
        registry.register("eve_request_duration_seconds", "Run time of settled attempts", self.duration.clone());
        registry.register("eve_queue_depth", "Requests that are ready to be claimed", self.queue_depth.clone());
        registry.register("eve_tokens", "Tokens used by settled attempts", self.tokens.clone());
        registry.register("eve_cost_usd", "Known cost of settled attempts in US dollars", self.cost_usd.clone());
        registry.register("eve_worker_claims", "Claims by workers", self.claims.clone());
        registry.register("eve_stale_writes", "Writes refused for an old fence", self.stale_writes.clone());
        registry.register("eve_takeovers", "Leases that ran out and were given away", self.takeovers.clone());
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}
