//! Where the queue has something, as far as is known, and how far each stretch of it has been taken.
//!
//! A stretch is a lane at a priority. Its cursor is the last id taken there: the next claim starts behind it, so that
//! rows which are deleted but still held by an old snapshot are not walked again. Ids below it may turn up (a commit
//! that came late, a request given back); whoever writes one notes it here, and a look at the heads finds the others.

use std::collections::HashMap;
use std::time::Instant;

use eve_core::LaneId;
use eve_core::Priority;
use eve_core::RequestId;
use eve_store::queue::Head;

#[derive(Debug, Clone, Copy)]
struct Stretch {
    after: RequestId,
    /// The oldest known to wait; what waits is not older.
    head: RequestId,
    ready: bool,
    /// When something was last noted here, in versions.
    noted: u64,
}

/// What a claim got of a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) lane: LaneId,
    pub(super) priority: Priority,
    /// The last that was taken.
    pub(super) last: Option<RequestId>,
    /// The next that waits behind it, if one does.
    pub(super) next: Option<RequestId>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    stretches: HashMap<(LaneId, Priority), Stretch>,
    version: u64,
    fresh_until: Option<Instant>,
}

fn before(id: RequestId) -> RequestId {
    RequestId::from_uuid(uuid::Uuid::from_u128(id.uuid().as_u128().saturating_sub(1)))
}

impl Book {
    /// Something waits in a stretch.
    pub(super) fn note(&mut self, lane: LaneId, priority: Priority, id: RequestId) {
        self.version += 1;
        let noted = self.version;
        let fresh = Stretch { after: before(id), head: id, ready: true, noted };
        self.stretches
            .entry((lane, priority))
            .and_modify(|stretch| {
                stretch.after = stretch.after.min(before(id));
                stretch.head = if stretch.ready { stretch.head.min(id) } else { id };
                stretch.ready = true;
                stretch.noted = noted;
            })
            .or_insert(fresh);
    }

    /// What is in here may be out of date: look again soon.
    pub(super) fn doubt(&mut self) {
        self.version += 1;
        self.fresh_until = None;
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
    }

    /// The version to hand to [`Self::looked`].
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// The heads as they were read after `version`.
    pub(super) fn looked(&mut self, heads: &[Head], version: u64, fresh_until: Instant) {
        for stretch in self.stretches.values_mut() {
            stretch.ready &= stretch.noted > version;
        }
        for head in heads {
            let after = before(head.id);
            let seen = Stretch { after, head: head.id, ready: true, noted: 0 };
            self.stretches
                .entry((head.lane, head.priority))
                .and_modify(|stretch| {
                    let newer = stretch.noted > version;
                    stretch.after = if newer { stretch.after.min(after) } else { after };
                    stretch.head = if newer { stretch.head.min(head.id) } else { head.id };
                    stretch.ready = true;
                })
                .or_insert(seen);
        }
        self.fresh_until = Some(fresh_until);
    }

    /// What a claim that was planned at `version` got.
    pub(super) fn took(&mut self, taken: &Taken, version: u64) {
        let Some(stretch) = self.stretches.get_mut(&(taken.lane, taken.priority)) else { return };
        let newer = stretch.noted > version;
        if newer {
            // What was noted meanwhile may be older than what was taken.
            return;
        }
        stretch.after = taken.last.map_or(stretch.after, |last| stretch.after.max(last));
        stretch.head = taken.next.unwrap_or(stretch.head);
        stretch.ready = taken.next.is_some();
    }

    /// Stretches that have something, with their cursors and the oldest that is known of.
    pub(super) fn ready(&self) -> impl Iterator<Item = (LaneId, Priority, RequestId, RequestId)> + '_ {
        self.stretches
            .iter()
            .filter(|(_, stretch)| stretch.ready)
            .map(|((lane, priority), stretch)| (*lane, *priority, stretch.after, stretch.head))
    }
}

#[cfg(test)]
mod tests;
