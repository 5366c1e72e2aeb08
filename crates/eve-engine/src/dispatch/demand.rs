//! What workers want, while they wait for it.

use std::sync::Arc;

use eve_core::RequestId;
use eve_core::WorkerId;
use tokio::sync::oneshot;

use super::Dispatcher;
use super::State;
use super::claim::Claim;
use crate::Error;
use crate::catalog::Catalog;

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

    /// Whether the demand is gone. Otherwise a step has it in hand, or will have, since something is ready for it: it is
    /// answered then, even with nothing.
    pub(super) fn leave_demand(&mut self, id: u64, catalog: &Catalog) -> bool {
        let Some(index) = self.demands.iter().position(|demand| demand.id == id) else {
            // Reserved demands are answered in any case; those in a step's hand need to be marked.
            if self.claiming {
                self.leaving.insert(id);
            }
            return false;
        };
        let wanted = !self.is_resting() && self.demands.get(index).is_some_and(|demand| self.has_for(demand, catalog));
        if wanted {
            self.leaving.insert(id);
        } else {
            self.demands.swap_remove(index);
        }
        !wanted
    }

    /// Removes a demand that nobody waits for any more.
    pub(super) fn drop_demand(&mut self, id: u64) {
        self.demands.retain(|demand| demand.id != id);
        self.leaving.remove(&id);
    }

    /// Takes out the demands whose time is up and for which nothing is ready any more.
    pub(super) fn dismissed(&mut self, catalog: &Catalog) -> Vec<Demand> {
        if self.leaving.is_empty() {
            return Vec::new();
        }
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for demand in std::mem::take(&mut self.demands) {
            let gone = self.leaving.contains(&demand.id) && (self.is_resting() || !self.has_for(&demand, catalog));
            if gone { go.push(demand) } else { stay.push(demand) }
        }
        self.demands = stay;
        go.iter().for_each(|demand| {
            self.leaving.remove(&demand.id);
        });
        go
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
        if let Some(id) = self.id.take() {
            // It may have been marked while it was set aside for a request that goes straight to it.
            self.dispatcher.state().leaving.remove(&id);
        }
        answer.unwrap_or_else(|_| Err(Error::unavailable()))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.dispatcher.state().drop_demand(id);
        }
    }
}

/// The moment in a UUIDv7, in milliseconds.
pub(super) fn moment(id: RequestId) -> i64 {
    i64::try_from(id.uuid().as_u128() >> 80).unwrap_or(i64::MAX)
}
