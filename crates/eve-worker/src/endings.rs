//! Tells the control plane how attempts ended: one call at a time, with everything that ended while the last one was
//! under way. A worker that is not busy tells at once; one that ends hundreds a second needs few calls for them.

use std::sync::Arc;

use eve_api_types::EndOutcome;
use eve_api_types::FencedAttempt;
use eve_api_types::ReleaseRequest;
use eve_api_types::SettleRequest;
use eve_api_types::Settlement;
use eve_core::AttemptReport;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::control_plane::ControlPlane;
use crate::control_plane::PlaneError;

/// Most endings in one call, and most that wait for their turn.
const BATCH: usize = 200;
/// Most that the reports of one call may weigh, in bytes, unless one alone weighs more: patches and answers may be large,
/// and a call that is too large would be refused with all that is in it.
const CALL_WEIGHT: usize = 4 * 1024 * 1024;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// With this report.
    Report(Box<AttemptReport>),
    /// Given back unfinished.
    Release,
}

struct Told {
    attempt: FencedAttempt,
    ending: Ending,
    reply: oneshot::Sender<Result<&'static str, PlaneError>>,
}

/// Sends endings until it is dropped.
pub(crate) struct Endings {
    queue: mpsc::Sender<Told>,
}

impl Endings {
    pub(crate) fn start(plane: Arc<dyn ControlPlane>) -> Self {
        let (queue, told) = mpsc::channel(BATCH);
        tokio::spawn(send(plane, told));
        Self { queue }
    }

    /// Tells how an attempt ended, and hears how its request stands then. Not heard is no answer: tell again.
    pub(crate) async fn tell(&self, attempt: FencedAttempt, ending: Ending) -> Result<&'static str, PlaneError> {
        let gone = || PlaneError::Unavailable("the worker stops".to_owned());
        let (reply, answer) = oneshot::channel();
        self.queue.send(Told { attempt, ending, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn send(plane: Arc<dyn ControlPlane>, mut queue: mpsc::Receiver<Told>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let (mut settlements, mut settled) = (Vec::new(), Vec::new());
        let (mut attempts, mut released) = (Vec::new(), Vec::new());
        for Told { attempt, ending, reply } in batch.drain(..) {
            match ending {
                Ending::Report(report) => {
                    settlements.push(Settlement { attempt, report: *report });
                    settled.push(reply);
                }
                Ending::Release => {
                    attempts.push(attempt);
                    released.push(reply);
                }
            }
        }
        let mut settled = settled.into_iter();
        for settlements in calls(settlements) {
            let replies = settled.by_ref().take(settlements.len()).collect();
            let answer = plane.attempt_settle(&SettleRequest { settlements }).await;
            reply(replies, answer.map(|answer| answer.outcomes));
        }
        if !attempts.is_empty() {
            let answer = plane.attempt_release(&ReleaseRequest { attempts }).await;
            reply(released, answer.map(|answer| answer.outcomes));
        }
    }
}

/// Divides reports among calls, in their order, so that none weighs too much.
fn calls(settlements: Vec<Settlement>) -> Vec<Vec<Settlement>> {
    let (mut calls, mut weight) = (Vec::<Vec<Settlement>>::new(), 0);
    for settlement in settlements {
        // What cannot be written as JSON is refused by the call that tries.
        let own = serde_json::to_vec(&settlement).map_or(0, |body| body.len());
        match calls.last_mut() {
            Some(call) if weight + own <= CALL_WEIGHT => {
                call.push(settlement);
                weight += own;
            }
            Some(_) | None => {
                calls.push(vec![settlement]);
                weight = own;
            }
        }
    }
    calls
}

type Reply = oneshot::Sender<Result<&'static str, PlaneError>>;

/// Each hears its own outcome, or all hear why there are none.
fn reply(to: Vec<Reply>, outcomes: Result<Vec<EndOutcome>, PlaneError>) {
    match outcomes {
        Ok(outcomes) => {
            for (reply, outcome) in to.into_iter().zip(outcomes) {
                // An attempt that does not wait for its answer any more was given up.
                let _ = reply.send(match outcome {
                    EndOutcome::Ended { status } => Ok(status.name()),
                    EndOutcome::Stale => Err(PlaneError::Stale),
                    EndOutcome::Unavailable { detail } => Err(PlaneError::Unavailable(detail)),
                    EndOutcome::Refused { detail } => Err(PlaneError::Refused(detail)),
                });
            }
        }
        Err(error) => {
            for reply in to {
                let _ = reply.send(Err(match &error {
                    PlaneError::Stale => PlaneError::Stale,
                    PlaneError::Unavailable(detail) => PlaneError::Unavailable(detail.clone()),
                    PlaneError::Refused(detail) => PlaneError::Refused(detail.clone()),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use eve_core::AttemptId;
    use eve_core::Delivery;
    use eve_core::Fence;
    use eve_core::Outcome;
    use eve_core::RequestId;
    use eve_core::Usage;

    use super::*;

    fn settlement(patch: usize) -> Settlement {
        let attempt = FencedAttempt {
            request_id: RequestId::from_uuid(uuid::Uuid::nil()),
            attempt_id: AttemptId::from_uuid(uuid::Uuid::nil()),
            fence: Fence(1),
        };
        let report = AttemptReport {
            outcome: Outcome::Cancelled,
            usage: Usage::default(),
            delivery: Delivery { patch: Some("x".repeat(patch)), ..Delivery::default() },
            duration_ms: 1,
            session_id: None,
            exit_code: None,
            dropped_bytes: 0,
        };
        Settlement { attempt, report }
    }

    #[test]
    fn heavy_reports_are_divided_among_calls_and_keep_their_order() {
        let sizes = [1, 2, 3 << 20, 1 << 19, 5 << 20, 7, 8, 3 << 20, 3 << 20];
        let divided = calls(sizes.iter().map(|size| settlement(*size)).collect());
        let counts: Vec<usize> = divided.iter().map(Vec::len).collect();
        assert_eq!(counts, [4, 1, 3, 1]);
        let order: Vec<usize> =
            divided.iter().flatten().map(|one| one.report.delivery.patch.as_ref().map_or(0, String::len)).collect();
        assert_eq!(order, sizes);
        assert!(calls(Vec::new()).is_empty());
    }
}
