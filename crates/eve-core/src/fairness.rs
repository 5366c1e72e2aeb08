//! Who is served next: urgency first, then organizations in turn.
//!
//! A slot goes to the most urgent level that has something; urgency grows with waiting, one level for each
//! [`Ageing::step`], so that nothing waits for ever behind a stream of urgent work. Within a level each slot goes to the
//! organization that was served least, counted in slots: deficit round-robin with a quantum of one. One that was idle
//! starts level with the least served of the others, so that idling earns no credit.

use std::collections::BTreeMap;
use std::collections::HashMap;

use jiff::SignedDuration;

use crate::OrgId;
use crate::Priority;

/// How waiting turns into urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ageing {
    /// Waiting that makes a request one level more urgent; nothing turns ageing off.
    pub step: Option<SignedDuration>,
}

impl Default for Ageing {
    fn default() -> Self {
        Self { step: Some(SignedDuration::from_mins(15)) }
    }
}

impl Ageing {
    /// How urgent a request is after waiting: 1 is the most urgent, as in [`Priority::number`].
    pub fn level(self, priority: Priority, waited: SignedDuration) -> i64 {
        let levels = match self.step {
            Some(step) if step.as_millis() > 0 => waited.as_millis() / step.as_millis(),
            Some(_) | None => 0,
        };
        let levels = i64::try_from(levels.clamp(0, 3)).unwrap_or(0);
        (i64::from(priority.number()) - levels).max(1)
    }
}

/// A stretch of the queue that has something to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is.
    pub org: OrgId,
    /// How urgent its oldest is, see [`Ageing::level`].
    pub level: i64,
}

/// How much each organization was served.
#[derive(Debug, Clone, Default)]
pub struct FairShare {
    served: HashMap<OrgId, u64>,
    /// What the organization that had the last turn had been served before: who competes all the time has no less.
    mark: u64,
}

/// Organizations remembered before those that are level with the least served are forgotten.
const REMEMBERED: usize = 10_000;

impl FairShare {
    /// Divides `slots` among candidates, each listed in the order in which its organization prefers them. Says how many
    /// slots each gets. `admit` takes one more into a candidate, or refuses because some limit leaves no room; a
    /// refused candidate gets no more and is in nobody's way.
    pub fn divide(
        &mut self,
        candidates: &[Candidate],
        slots: usize,
        mut admit: impl FnMut(usize) -> bool,
    ) -> Vec<usize> {
        let mut grants = vec![0; candidates.len()];
        let mut levels: BTreeMap<i64, BTreeMap<OrgId, Vec<usize>>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate().rev() {
            levels.entry(candidate.level).or_default().entry(candidate.org).or_default().push(index);
        }
        let mut left = slots;
        for (_, mut orgs) in levels {
            self.welcome(orgs.keys().copied());
            let mut turns: BTreeMap<(u64, OrgId), ()> =
                orgs.keys().map(|org| ((self.served(*org), *org), ())).collect();
            while left > 0
                && let Some(((served, org), ())) = turns.pop_first()
            {
                let Some(queue) = orgs.get_mut(&org) else { continue };
                self.mark = served;
                // The last is the first: the lists were filled from the end.
                while let Some(index) = queue.last().copied() {
                    if admit(index) {
                        if let Some(grant) = grants.get_mut(index) {
                            *grant += 1;
                        }
                        left -= 1;
                        self.served.insert(org, served + 1);
                        turns.insert((served + 1, org), ());
                        // The next slot of this organization goes to its next lane, so that its projects take turns too.
                        queue.rotate_right(1);
                        break;
                    }
                    queue.pop();
                }
            }
        }
        self.forget();
        grants
    }

    /// Takes back what was granted and could not be given: nothing was there.
    pub fn refund(&mut self, org: OrgId, slots: usize) {
        if let Some(served) = self.served.get_mut(&org) {
            *served = served.saturating_sub(u64::try_from(slots).unwrap_or(u64::MAX));
        }
    }

    fn served(&self, org: OrgId) -> u64 {
        self.served.get(&org).copied().unwrap_or_default()
    }

    /// An organization that did not compete for a while starts where those stand that did.
    fn welcome(&mut self, orgs: impl Iterator<Item = OrgId>) {
        for org in orgs {
            let served = self.served.entry(org).or_insert(self.mark);
            *served = self.mark.max(*served);
        }
    }

    fn forget(&mut self) {
        if self.served.len() > REMEMBERED {
            let mark = self.mark;
            self.served.retain(|_, served| *served > mark);
        }
        if self.served.len() > REMEMBERED {
            self.served.clear();
        }
    }
}

#[cfg(test)]
mod tests;
