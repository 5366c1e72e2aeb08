//! What workers want, while they wait for it.

use std::sync::Arc;

use eve_core::RequestId;
use eve_core::WorkerId;
use tokio::sync::oneshot;

use super::Dispatcher;
use super::State;
use super::claim::Claim;
use crate::Error;

/// What a worker wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The worker.
    pub(crate) worker: WorkerId,
    /// What it serves; `*` for everything.
    pub(crate) types: Vec<String>,
    /// At most so many.
    pub(crate) limit: usize,
}

/// A worker that waits.
pub(super) struct Demand {
    pub(super) id: u64,
    pub(super) wanted: Wanted,
    reply: Option<oneshot::Sender<Result<Vec<Claim>, Error>>>,
}

impl Demand {
    /// Whether it takes requests of this worker type.
    pub(super) fn serves(&self, worker_type: &str) -> bool {
        self.wanted.types.iter().any(|name| name == worker_type || name == eve_store::queue::EVERY_TYPE)
    }

    /// Answers it. The claims come back if nobody listens any more.
    pub(super) fn answer(mut self, answer: Result<Vec<Claim>, Error>) -> Vec<Claim> {
        match self.reply.take().map(|reply| reply.send(answer)) {
            Some(Err(Ok(unheard))) => unheard,
            Some(Err(Err(_)) | Ok(())) | None => Vec::new(),
        }
    }
}

impl State {
    pub(super) fn enter_demand(&mut self, wanted: Wanted, reply: oneshot::Sender<Result<Vec<Claim>, Error>>) -> u64 {
        self.next_demand += 1;
        self.demands.push(Demand { id: self.next_demand, wanted, reply: Some(reply) });
        self.next_demand
    }

    /// Whether it was still waiting. Otherwise a step has it in hand, and will answer it now even with nothing.
    pub(super) fn leave_demand(&mut self, id: u64) -> bool {
        let before = self.demands.len();
        self.demands.retain(|demand| demand.id != id);
        let waited = self.demands.len() < before;
        if !waited && self.claiming {
            self.leaving.insert(id);
        }
        waited
    }

    /// Takes a demand that a request may be given to without queueing: nothing else that it serves waits anywhere.
    pub(super) fn reserve(&mut self, worker_type: &str, ready: impl Fn(&Demand) -> bool) -> Option<Demand> {
        if self.limited || self.claiming {
            return None;
        }
        let index = self.demands.iter().position(|demand| demand.serves(worker_type) && !ready(demand))?;
        Some(self.demands.swap_remove(index))
    }
}

/// Removes a demand when its caller goes away.
pub(super) struct Guard<'a> {
    dispatcher: &'a Arc<Dispatcher>,
    id: Option<u64>,
}

impl<'a> Guard<'a> {
    pub(super) const fn new(dispatcher: &'a Arc<Dispatcher>, id: u64) -> Self {
        Self { dispatcher, id: Some(id) }
    }

    /// The demand was answered.
    pub(super) fn answered(
        mut self,
        answer: Result<Result<Vec<Claim>, Error>, oneshot::error::RecvError>,
    ) -> Result<Vec<Claim>, Error> {
        self.id = None;
        answer.unwrap_or_else(|_| Err(Error::unavailable()))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.dispatcher.state().leave_demand(id);
        }
    }
}

/// The moment in a UUIDv7, in milliseconds.
pub(super) fn moment(id: RequestId) -> i64 {
    i64::try_from(id.uuid().as_u128() >> 80).unwrap_or(i64::MAX)
}
