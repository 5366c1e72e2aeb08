//! After a claim: who waited gets it, and what nobody waits for any more goes back.

use super::Dispatcher;
use super::claim::Claim;
use super::claim::Claimed;
use super::plan::Plan;
use crate::clock;

impl Dispatcher {
    /// After the commit: the claims go out, and those that nobody waits for any more go back.
    pub(super) fn hand_out(self: &std::sync::Arc<Self>, plan: Plan, claimed: Claimed) {
        let mut unheard = Vec::new();
        let mut topics = Vec::new();
        let count = claimed.count();
        self.metrics.count_claims(count);
        let mut state = self.state();
        state.claiming = false;
        // Only a look at what is there now may say that there are none: this claim may have counted before there were.
        state.limited |= claimed.limited;
        let version = plan.version;
        claimed.taken.iter().for_each(|taken| state.book.took(taken, version));
        if count == 0 && claimed.limited {
            // What is ready has no room: look again when something ends, or soon.
            state.rest_until = Some(clock::instant() + super::LIMITED_REST);
        }
        for (demand, answer) in plan.demands.into_iter().zip(claimed.answers) {
            let leaving = state.leaving.remove(&demand.id);
            match answer {
                Ok(claims)
                    if claims.is_empty()
                        && (!leaving || (!state.is_resting() && state.has_for(&demand, &self.catalog))) =>
                {
                    if leaving {
                        state.leaving.insert(demand.id);
                    }
                    state.demands.push(demand);
                }
                answer => {
                    if let Ok(claims) = &answer {
                        topics.extend(claims.iter().map(|claim| crate::Topic::Request(claim.request_id)));
                    }
                    unheard.extend(demand.answer(answer));
                }
            }
        }
        let resting = state.is_resting();
        drop(state);
        self.hub.wake(&topics);
        self.give_back(unheard);
        if resting {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(super::LIMITED_REST).await;
                this.kick();
            });
        }
    }

    /// Releases claims whose worker went away before it heard of them.
    pub(super) fn give_back(self: &std::sync::Arc<Self>, claims: Vec<Claim>) {
        if claims.is_empty() {
            return;
        }
        tracing::debug!(count = claims.len(), "claims that nobody waited for are given back");
        let mut state = self.state();
        state.settlements.extend(claims.into_iter().map(|claim| super::Settlement {
            fenced: (claim.request_id, claim.fence),
            ending: super::Ending::Release,
            reply: None,
        }));
        drop(state);
        self.kick();
    }
}
