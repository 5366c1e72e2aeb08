//! What a worker is from entering until it is given up: an id, and the one lease of everything that runs under it.
//!
//! A worker that was given up enters again with a new session. Nothing goes over from the old one: what was claimed
//! under its id runs under its lease or not at all, and that lease wins no more time.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eve_api_types::RegisterAnswer;
use eve_core::WorkerId;
use tokio::sync::watch;

use crate::boot_time::BootTime;

/// Longest margin: killing a tree takes moments, and clocks of two hosts only differ in how fast they go.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    pub(crate) id: WorkerId,
    /// How often to send a heartbeat.
    pub(crate) heartbeat: Duration,
    /// How long everything may run after a heartbeat was sent: a lease without its margin.
    period: Duration,
    lease_until: watch::Sender<BootTime>,
    given_up: AtomicBool,
}

impl Session {
    /// A session that was asked for at that time.
    pub(crate) fn new(answer: &RegisterAnswer, asked_at: BootTime) -> Self {
        let lease = Duration::from_millis(answer.lease_ms);
        let period = lease.saturating_sub((lease / 6).min(LONGEST_MARGIN));
        Self {
            id: answer.worker_id,
            heartbeat: Duration::from_millis(answer.heartbeat_ms),
            period,
            lease_until: watch::Sender::new(asked_at + period),
            given_up: AtomicBool::new(false),
        }
    }

    /// Until when everything that runs here may run.
    pub(crate) fn lease_until(&self) -> watch::Receiver<BootTime> {
        self.lease_until.subscribe()
    }

    /// Whether everything that runs here must have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.lease_until.borrow().has_come()
    }

    /// A heartbeat that was sent at that time has been answered.
    pub(crate) fn heard(&self, sent_at: BootTime) {
        self.lease_until.send_replace(sent_at + self.period);
    }

    /// The control plane knows the worker by this id no more.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for_and_ends_early() {
        let seconds = |seconds: u64| BootTime::from_millis(seconds * 1000);
        for (lease_ms, at_first) in [(30_000, 125), (6_000, 105), (0, 100)] {
            let answer = RegisterAnswer {
                worker_id: WorkerId::from_uuid(uuid::Uuid::nil()),
                lease_ms,
                heartbeat_ms: lease_ms / 6,
            };
            let session = Session::new(&answer, seconds(100));
            let until = session.lease_until();
            assert_eq!(*until.borrow(), seconds(at_first));
            session.heard(seconds(110));
            assert_eq!(*until.borrow(), seconds(at_first + 10));
        }
    }
}
