//! Counters of this process under the names that dashboards expect.

use eve_core::AttemptReport;
use eve_core::OrgId;
use eve_core::StateName;
use eve_store::health::Holder;
use eve_store::health::HotTable;
use eve_store::health::QueueAge;
use eve_store::queue::QueueDepth;
use eve_store::request::NewRequest;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::hub::ListenerReport;
use crate::seed;

/// What stands for the worker types that an organization named itself: the age of what waits is shown for all
/// organizations together, where one's names are none of another's business, and may be any number.
const OWN_TYPES: &str = "other";
/// The operations that may be refused for an old fence.
const FENCED_OPERATIONS: [&str; 5] =
    ["attempt_start", "attempt_log_append", "attempt_settle", "attempt_release", "worker_heartbeat"];

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AgeLabels {
    worker_type: String,
    priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TableLabels {
    table: String,
}

/// What the database says, as it becomes metrics.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) depth: Vec<QueueDepth>,
    pub(crate) oldest: Vec<QueueAge>,
    pub(crate) holders: Vec<Holder>,
    pub(crate) hot_tables: Vec<HotTable>,
}

/// What this process counted since its start, of what should be rare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Writes that were refused for an old fence, by operation; only those that happened.
    pub stale_writes: Vec<(&'static str, u64)>,
    /// Leases that ran out and were given away.
    pub takeovers: u64,
    /// Workers that were given up.
    pub workers_lost: u64,
    /// Requests that were quarantined.
    pub quarantined: u64,
}

type Decimal = Gauge<f64, AtomicU64>;

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
    pub(crate) workers_lost: Counter,
    pub(crate) quarantined: Counter,
    oldest: Family<AgeLabels, Decimal>,
    horizon_seconds: Decimal,
    horizon_transactions: Gauge,
    dead_rows: Family<TableLabels, Gauge>,
    listener_connected: Gauge,
    listener_lag: Decimal,
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
            workers_lost: Counter::default(),
            quarantined: Counter::default(),
            oldest: Family::default(),
            horizon_seconds: Decimal::default(),
            horizon_transactions: Gauge::default(),
            dead_rows: Family::default(),
            listener_connected: Gauge::default(),
            listener_lag: Decimal::default(),
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

    /// What should be rare, as numbers.
    pub(crate) fn counted(&self) -> Counted {
        let stale = FENCED_OPERATIONS.into_iter().filter_map(|operation| {
            let count = self.stale_writes.get(&OperationLabels { operation })?.get();
            Some((operation, count))
        });
        Counted {
            stale_writes: stale.collect(),
            takeovers: self.takeovers.get(),
            workers_lost: self.workers_lost.get(),
            quarantined: self.quarantined.get(),
        }
    }

    /// Takes over what the database says.
    pub(crate) fn show(&self, gauges: &Gauges) {
        self.queue_depth.clear();
        for lane in &gauges.depth {
            self.queue_depth.get_or_create(&TypeLabels { worker_type: lane.worker_type.clone() }).inc_by(lane.ready);
        }
        self.oldest.clear();
        for age in &gauges.oldest {
            let worker_type = if seed::is_seeded(&age.worker_type) { &age.worker_type } else { OWN_TYPES };
            let labels = AgeLabels { worker_type: worker_type.to_owned(), priority: age.priority.name() };
            let gauge = self.oldest.get_or_create(&labels);
            if age.seconds > gauge.get() {
                gauge.set(age.seconds);
            }
        }
        let pinning = || gauges.holders.iter().filter(|holder| holder.transactions.is_some());
        self.horizon_seconds.set(pinning().filter_map(|holder| holder.seconds).fold(0.0, f64::max));
        self.horizon_transactions.set(pinning().filter_map(|holder| holder.transactions).max().unwrap_or(0));
        for table in &gauges.hot_tables {
            self.dead_rows.get_or_create(&TableLabels { table: table.name.clone() }).set(table.dead_rows);
        }
    }

    /// All of them in the OpenMetrics text format.
    pub(crate) fn render(&self, listener: ListenerReport) -> String {
        self.listener_connected.set(i64::from(listener.connected));
        self.listener_lag.set(listener.lag.unwrap_or(Duration::ZERO).as_secs_f64());
        let reconnects = ConstCounter::new(listener.reconnects);
        let mut registry = Registry::default();
        registry.register("eve_requests", "Requests created and finished, by status", self.requests.clone());
        registry.register("eve_request_duration_seconds", "Run time of settled attempts", self.duration.clone());
        registry.register("eve_queue_depth", "Requests that are ready to be claimed", self.queue_depth.clone());
        registry.register("eve_tokens", "Tokens used by settled attempts", self.tokens.clone());
        registry.register("eve_cost_usd", "Known cost of settled attempts in US dollars", self.cost_usd.clone());
        registry.register("eve_worker_claims", "Claims by workers", self.claims.clone());
        registry.register("eve_stale_writes", "Writes refused for an old fence", self.stale_writes.clone());
        registry.register("eve_takeovers", "Leases that ran out and were given away", self.takeovers.clone());
        registry.register("eve_workers_lost", "Workers that were given up", self.workers_lost.clone());
        registry.register("eve_quarantined", "Requests that were quarantined", self.quarantined.clone());
        registry.register("eve_queue_oldest_seconds", "How long the oldest ready request waits", self.oldest.clone());
        let horizon = "Age of the oldest snapshot or transaction, which holds back vacuum";
        registry.register("eve_horizon_seconds", horizon, self.horizon_seconds.clone());
        registry.register("eve_horizon_transactions", horizon, self.horizon_transactions.clone());
        registry.register(
            "eve_dead_rows",
            "Dead rows of the tables that requests pass through",
            self.dead_rows.clone(),
        );
        registry.register(
            "eve_listener_connected",
            "Whether other processes' news arrives",
            self.listener_connected.clone(),
        );
        registry.register(
            "eve_listener_lag_seconds",
            "How long a notification takes to this process",
            self.listener_lag.clone(),
        );
        registry.register("eve_listener_reconnects", "How often the listening connection broke", reconnects);
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}
