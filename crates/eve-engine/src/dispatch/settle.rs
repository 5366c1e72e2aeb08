//! Ending attempts: all that was reported since the last step, decided one by one and written together.

use std::collections::HashMap;

use eve_core::AttemptReport;
use eve_core::AttemptState;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::RequestEvent;
use eve_core::StateName;
use eve_store::PlatformTx;
use eve_store::attempt;
use eve_store::lease;
use eve_store::lease::Fenced;
use eve_store::standing::Standing;
use tokio::sync::oneshot;

use crate::Error;
use crate::clock;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Decided;

/// How an attempt ends.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// Its worker reports.
    Report(Box<AttemptReport>),
    /// Its worker gives the request back.
    Release,
}

impl Ending {
    fn report(&self) -> Option<&AttemptReport> {
        match self {
            Self::Report(report) => Some(report),
            Self::Release => None,
        }
    }

    const fn leads_to(&self) -> AttemptState {
        match self {
            Self::Report(_) => AttemptState::Settled,
            Self::Release => AttemptState::Released,
        }
    }

    const fn operation(&self) -> &'static str {
        match self {
            Self::Report(_) => "attempt_settle",
            Self::Release => "attempt_release",
        }
    }
}

/// An ending that waits to be written, and who waits for the answer.
pub(super) struct Settlement {
    pub(super) fenced: Fenced,
    pub(super) ending: Ending,
    pub(super) reply: Option<oneshot::Sender<Result<StateName, Error>>>,
}

impl Settlement {
    pub(super) fn answer(&mut self, answer: Result<StateName, Error>) {
        if let Some(reply) = self.reply.take() {
            // Whoever asked may be gone; what was done stays done.
            let _ = reply.send(answer);
        }
    }
}

/// What became of one ending.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settled {
    /// It is written; the request stands so now.
    Written { state: StateName, lane: LaneId, org: OrgId },
    /// It was written before: this is a repetition of a call whose answer was lost.
    Repeated(StateName),
    /// The fence is old.
    Stale(&'static str),
}

impl Settled {
    pub(super) const fn lane(&self) -> Option<LaneId> {
        match self {
            Self::Written { lane, .. } => Some(*lane),
            Self::Repeated(_) | Self::Stale(_) => None,
        }
    }
}

/// Writes endings, and everything that follows from them. One answer each, in order.
pub(super) async fn write(
    tx: &mut PlatformTx,
    settlements: &[Settlement],
    aftermath: &mut Aftermath,
) -> Result<Vec<Settled>, Error> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    // Taken in the order of ids, so that two batches do not lock each other out.
    let mut fenced: Vec<Fenced> = settlements.iter().map(|settlement| settlement.fenced).collect();
    fenced.sort_unstable();
    fenced.dedup();
    let taken = lease::lease_take(tx, &fenced).await?;
    let mut held: HashMap<Fenced, Standing> =
        taken.into_iter().map(|standing| ((standing.id, standing.life.fence), standing)).collect();
    let missing: Vec<Fenced> = fenced.into_iter().filter(|fenced| !held.contains_key(fenced)).collect();
    let earlier: HashMap<(Fenced, AttemptState), StateName> = if missing.is_empty() {
        HashMap::new()
    } else {
        let list = attempt::attempt_settled_list(tx, &missing).await?;
        list.into_iter().map(|(fenced, ended, state)| ((fenced, ended), state)).collect()
    };
    let mut decided = Vec::with_capacity(held.len());
    let mut answers = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let Some(before) = held.remove(&settlement.fenced) else {
            answers.push(match earlier.get(&(settlement.fenced, settlement.ending.leads_to())) {
                Some(state) => Settled::Repeated(*state),
                None => Settled::Stale(settlement.ending.operation()),
            });
            continue;
        };
        let fence = before.life.fence;
        let event = match &settlement.ending {
            Ending::Report(report) => RequestEvent::Settled { fence, outcome: report.outcome.clone() },
            Ending::Release => RequestEvent::Released { fence },
        };
        let transition = before.life.apply(&event, before.now, clock::jitter())?;
        answers.push(Settled::Written { state: transition.life.state.name(), lane: before.lane, org: before.org_id });
        let report = settlement.ending.report();
        decided.push(Decided { before, transition, actor: "worker", report, taken: true });
    }
    transition::write(tx, decided, aftermath).await?;
    Ok(answers)
}
