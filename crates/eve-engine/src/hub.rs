//! Waking whoever waits: at once within the process, coalesced to the others.
//!
//! A wake-up carries no data; the waiter reads the database. It is sent after the commit, so what it announces is
//! there, and a lost one costs a poll interval and no more. Other processes, if there are any, hear of it by at most one
//! notification each [`COALESCE`], sent by a transaction of its own: PostgreSQL takes a database-wide lock to commit one.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eve_core::AttemptId;
use eve_core::OrgId;
use eve_core::RequestId;
use eve_store::Store;
use eve_store::listen::Listener;
use eve_store::listen::Wake;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::Error;

/// Least time between two notifications to other processes.
const COALESCE: Duration = Duration::from_millis(10);
/// How often a process looks whether it is alone.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(1);
/// Topics kept for the next notification; beyond it, everybody looks at everything.
const OUTBOX: usize = 512;
/// Longest payload; PostgreSQL allows 8000 bytes. Beyond it, everybody looks at everything.
const PAYLOAD_LEN: usize = 7000;
/// The payload that says so.
const EVERYTHING: &str = "*";

/// What there may be news about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Something became ready to be claimed.
    Queue,
    /// An organization's stream of events grew.
    Events(OrgId),
    /// A request's log grew, or the request changed.
    Request(RequestId),
    /// An attempt is to be stopped.
    Stop(AttemptId),
    /// Anything may have happened.
    All,
}

impl Topic {
    fn text(&self) -> String {
        match self {
            Self::Queue => "q:".to_owned(),
            Self::Events(org) => format!("e:{org}"),
            Self::Request(id) => format!("r:{id}"),
            Self::Stop(id) => format!("s:{id}"),
            Self::All => EVERYTHING.to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == EVERYTHING {
            return Some(Self::All);
        }
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "q" => Some(Self::Queue),
            "e" => rest.parse().ok().map(Self::Events),
            "r" => rest.parse().ok().map(Self::Request),
            "s" => rest.parse().ok().map(Self::Stop),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Registry {
    waiters: HashMap<Topic, Vec<Arc<Notify>>>,
    /// For other processes, gathered until the next notification.
    outbox: BTreeSet<Topic>,
}

/// What the tasks of the hub share with it.
struct Shared {
    registry: Mutex<Registry>,
    outgoing: Notify,
    others: AtomicBool,
    /// Fires when another process put something into a queue.
    queue: Arc<Notify>,
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_local(&self, topics: &[Topic]) {
        let registry = self.registry();
        for topic in topics {
            if *topic == Topic::All {
                registry.waiters.values().flatten().for_each(|notify| notify.notify_one());
            } else if let Some(waiting) = registry.waiters.get(topic) {
                waiting.iter().for_each(|notify| notify.notify_one());
            }
        }
    }
}

pub(crate) struct Hub {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Hub {
    pub(crate) async fn start(store: &Store) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            registry: Mutex::default(),
            outgoing: Notify::new(),
            others: AtomicBool::new(true),
            queue: Arc::new(Notify::new()),
        });
        let node = crate::auth::hex(&crate::clock::random::<6>());
        let listener = Listener::start(store).await?;
        let receive = tokio::spawn(receive(listener, shared.clone(), node.clone()));
        let send = tokio::spawn(send(store.clone(), shared.clone(), node));
        Ok(Self { shared, _tasks: [AbortOnDropHandle::new(receive), AbortOnDropHandle::new(send)] })
    }

    /// Wakes whoever waits for these topics, here and elsewhere. Call it after the commit.
    pub(crate) fn wake(&self, topics: &[Topic]) {
        if topics.is_empty() {
            return;
        }
        self.shared.wake_local(topics);
        if !self.shared.others.load(Ordering::Relaxed) {
            return;
        }
        let mut registry = self.shared.registry();
        for topic in topics {
            if registry.outbox.len() >= OUTBOX {
                registry.outbox = BTreeSet::from([Topic::All]);
                break;
            }
            registry.outbox.insert(topic.clone());
        }
        drop(registry);
        self.shared.outgoing.notify_one();
    }

    pub(crate) fn waiter(&self, topics: Vec<Topic>) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut registry = self.shared.registry();
        for topic in &topics {
            registry.waiters.entry(topic.clone()).or_default().push(notify.clone());
        }
        drop(registry);
        Waiter { topics, notify, shared: self.shared.clone() }
    }

    /// Fires when another process put something into a queue.
    pub(crate) fn queue_news(&self) -> Arc<Notify> {
        self.shared.queue.clone()
    }
}

async fn receive(mut listener: Listener, shared: Arc<Shared>, node: String) {
    loop {
        let topics = match listener.next().await {
            Wake::Reconnected => vec![Topic::All],
            Wake::Notified(payload) => match payload.split_once(' ') {
                Some((from, topics)) if from != node => topics.split(' ').filter_map(Topic::parse).collect(),
                Some(_) | None => continue,
            },
        };
        shared.wake_local(&topics);
        if topics.iter().any(|topic| matches!(topic, Topic::Queue | Topic::All)) {
            shared.queue.notify_one();
        }
    }
}

async fn send(store: Store, shared: Arc<Shared>, node: String) {
    let mut look = tokio::time::interval(LOOK_FOR_OTHERS);
    loop {
        tokio::select! {
            _ = look.tick() => {
                // When it cannot be told, there may be others.
                let others = eve_store::listen::listener_count(&store).await.is_ok_and(|count| count <= 1);
                shared.others.store(!others, Ordering::Relaxed);
                continue;
            }
            () = shared.outgoing.notified() => {}
        }
        tokio::time::sleep(COALESCE).await;
        let topics = std::mem::take(&mut shared.registry().outbox);
        if topics.is_empty() {
            continue;
        }
        let mut payload = node.clone();
        for topic in &topics {
            payload.push(' ');
            payload.push_str(&topic.text());
            if payload.len() > PAYLOAD_LEN {
                payload = format!("{node} {EVERYTHING}");
                break;
            }
        }
        if let Err(error) = eve_store::listen::notify(&store, &payload).await {
            tracing::debug!(%error, "other processes were not notified; they poll");
        }
    }
}

/// Waits for news about some topics.
pub struct Waiter {
    topics: Vec<Topic>,
    notify: Arc<Notify>,
    shared: Arc<Shared>,
}

impl Waiter {
    /// Returns when there may be news, or after the time limit. News from before the call count.
    pub async fn wait(&mut self, limit: Duration) {
        // Timing out is the poll that makes a lost wake-up harmless.
        let _ = tokio::time::timeout(limit, self.notify.notified()).await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut registry = self.shared.registry();
        for topic in &self.topics {
            if let Some(waiting) = registry.waiters.get_mut(topic) {
                waiting.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
                if waiting.is_empty() {
                    registry.waiters.remove(topic);
                }
            }
        }
    }
}
