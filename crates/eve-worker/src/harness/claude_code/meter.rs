//! What one run of Claude Code used, told apart from what its session used.

use eve_core::CostBasis;
use eve_core::Usage;
use rust_decimal::Decimal;

use super::wire::Assistant;
use super::wire::ReportedUsage;

/// Adds up a run.
///
/// `total_cost_usd` counts the whole session, also the runs before a resume, so it is the last resort: the reports
/// since the last result come first, and without them the total is compared with what it was before. A resumed
/// session whose earlier cost nobody knows has no cost then: unknown is not zero, and not the session's either.
#[derive(Debug)]
pub(super) struct Meter {
    /// The sum of the run's reports.
    used: Usage,
    reported: bool,
    /// The session's cost at the last report; nothing if it is not known.
    session_cost: Option<Decimal>,
    /// A lower bound for a run that is ended before its report: the tokens read by each message.
    live: Usage,
    last_message: String,
}

impl Meter {
    /// A meter for a session that cost so much before this run.
    pub(super) fn new(session_cost: Option<Decimal>) -> Self {
        Self {
            used: Usage::default(),
            reported: false,
            session_cost,
            live: Usage::default(),
            last_message: String::new(),
        }
    }

    /// Takes a message; a message is printed once for every block it has.
    pub(super) fn message(&mut self, message: &Assistant) {
        if message.message_id.is_empty() || message.error.is_some() || message.message_id == self.last_message {
            return;
        }
        self.last_message.clone_from(&message.message_id);
        self.live.add(&message.usage);
    }

    /// Takes a result line's report; gives what is new in it, by model, the one that wrote most first.
    pub(super) fn report(&mut self, report: ReportedUsage) -> Vec<Usage> {
        let by_total = self.session_cost_since(report.session_cost);
        let mut usages = match report.since_last_result {
            // No model was used since the last result, as when the provider refused the first request.
            Some(models) if models.is_empty() => vec![costing(report.tokens, Some(Decimal::ZERO))],
            Some(models) => models,
            None => vec![costing(report.tokens, by_total)],
        };
        usages.sort_by_key(|usage| std::cmp::Reverse(usage.output_tokens));
        for usage in &usages {
            self.used.add(usage);
        }
        self.reported = true;
        usages
    }

    fn session_cost_since(&mut self, now: Option<Decimal>) -> Option<Decimal> {
        let now = now?;
        let before = self.session_cost.replace(now);
        // A session that never cost anything did not in this run.
        if now.is_zero() { Some(now) } else { before.map(|before| (now - before).max(Decimal::ZERO)) }
    }

    /// All of it.
    pub(super) fn total(&self) -> Usage {
        if self.reported { self.used.clone() } else { self.live.clone() }
    }
}

fn costing(tokens: Usage, cost_usd: Option<Decimal>) -> Usage {
    Usage { cost_usd, cost_basis: cost_usd.map(|_| CostBasis::Observed), ..tokens }
}
