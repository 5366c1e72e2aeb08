//! Counters of this process under the names that dashboards expect.

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
