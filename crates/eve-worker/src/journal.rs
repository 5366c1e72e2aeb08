//! Sends an attempt's log to the control plane while it grows.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eve_api_types::AppendEntries;
use eve_api_types::FencedAttempt;
use eve_core::AgentEvent;
use eve_crash::Point;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::control_plane::PlaneError;
use crate::log::LogBook;

/// Rest before lines are sent, so that many go together.
const GATHER: Duration = Duration::from_millis(50);
/// First and longest rest when the control plane does not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Longest time that the rest of a log may take once the attempt is over.
const FINISH_LIMIT: Duration = Duration::from_secs(30);

struct Shared {
    book: Mutex<LogBook>,
    news: Notify,
    closed: AtomicBool,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, LogBook> {
        // A panic elsewhere leaves the log as it was; what it holds is still worth sending.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of a running attempt.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    sender: JoinHandle<()>,
}

impl Journal {
    pub(crate) fn start(plane: Arc<dyn ControlPlane>, attempt: FencedAttempt) -> Self {
        let shared = Arc::new(Shared { book: Mutex::default(), news: Notify::new(), closed: AtomicBool::new(false) });
        let sender = tokio::spawn(send(shared.clone(), plane, attempt));
        Self { shared, sender }
    }

    /// Takes an entry, as of now.
    pub(crate) fn push(&self, event: AgentEvent) {
        self.shared.book().push(Timestamp::now(), event);
        self.shared.news.notify_one();
    }

    /// Sends what is left. Returns how many bytes were left out of the log.
    pub(crate) async fn finish(mut self) -> u64 {
        self.shared.book().finish();
        self.shared.closed.store(true, Ordering::Release);
        self.shared.news.notify_one();
        if tokio::time::timeout(FINISH_LIMIT, &mut self.sender).await.is_err() {
            tracing::warn!("the rest of an attempt's log could not be sent in time");
            self.sender.abort();
        }
        self.shared.book().dropped_bytes()
    }
}

async fn send(shared: Arc<Shared>, plane: Arc<dyn ControlPlane>, attempt: FencedAttempt) {
    let mut rest = RETRY.0;
    loop {
        let closed = shared.closed.load(Ordering::Acquire);
        let entries = shared.book().batch();
        let Some(last) = entries.last().map(|line| line.seq) else {
            if closed {
                return;
            }
            shared.news.notified().await;
            tokio::time::sleep(GATHER).await;
            continue;
        };
        match plane.attempt_log_append(&AppendEntries { attempt, entries }).await {
            Ok(()) => {
                eve_crash::pass(Point::LogFlushed);
                shared.book().sent(last);
                rest = RETRY.0;
            }
            // The heartbeat learns the same and ends the attempt.
            Err(PlaneError::Stale) => return,
            Err(PlaneError::Refused(error)) => {
                tracing::error!(attempt_id = %attempt.attempt_id, error, "log entries were refused");
                shared.book().sent(last);
            }
            Err(PlaneError::Unavailable(error)) => {
                tracing::debug!(attempt_id = %attempt.attempt_id, error, "the log waits");
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(RETRY.1);
            }
        }
    }
}
