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
use std::time::Instant;

use eve_core::OrgId;
use eve_core::RequestId;
use eve_core::WorkerId;
use eve_store::Store;
use eve_store::listen::Listener;
use eve_store::listen::ListenerState;
use eve_store::listen::Wake;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::Error;
use crate::clock;

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
/// How often a process notifies itself, to know how long notifications take.
const PROBE: Duration = Duration::from_secs(10);
/// What such a notification begins with; nobody waits for it.
const PROBE_KIND: &str = "p:";

/// What there may be news about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Something became ready to be claimed.
    Queue,
    /// An organization's stream of events grew.
    Events(OrgId),
    /// A request's log grew, or the request changed.
    Request(RequestId),
    /// An attempt of a worker is to be stopped. Of the worker, because an attempt may be younger than the heartbeat that
    /// waits for news of it.
    Stop(WorkerId),
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
    listener: Arc<ListenerState>,
    probe: Mutex<Probe>,
}

/// Notifications of this process to itself.
#[derive(Debug, Default)]
struct Probe {
    number: u64,
    /// When the last one was sent, while it has not come back.
    under_way: Option<Instant>,
    /// How long the last one took that came back.
    took: Option<Duration>,
}

/// How notifications of other processes reach this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListenerReport {
    /// Whether the listening connection stands, as far as it noticed.
    pub connected: bool,
    /// How often it had to connect again.
    pub reconnects: u64,
    /// How long a notification takes from before it is sent until it is heard, its commit included: the last one that
    /// came back, or the one that is under way if that takes longer already.
    pub lag: Option<Duration>,
}

impl Shared {
    fn probe(&self) -> MutexGuard<'_, Probe> {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a probe, unless one is under way: a listener that is far behind need not hear more.
    fn probe_begin(&self) -> Option<u64> {
        let mut probe = self.probe();
        if probe.under_way.is_some() && self.listener.connected() {
            return None;
        }
        probe.number += 1;
        probe.under_way = Some(clock::instant());
        Some(probe.number)
    }

    fn probe_end(&self, text: &str) {
        let mut probe = self.probe();
        if text.parse() == Ok(probe.number)
            && let Some(sent) = probe.under_way.take()
        {
            probe.took = Some(clock::instant().duration_since(sent));
        }
    }

    /// Forgets a probe that cannot come back any more.
    fn probe_lost(&self) {
        self.probe().under_way = None;
    }

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
        let listener = Listener::start(store).await?;
        let shared = Arc::new(Shared {
            registry: Mutex::default(),
            outgoing: Notify::new(),
            others: AtomicBool::new(true),
            queue: Arc::new(Notify::new()),
            listener: listener.state(),
            probe: Mutex::default(),
        });
        let node = crate::auth::hex(&clock::random::<6>());
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

    /// How notifications reach this process.
    pub(crate) fn listener_report(&self) -> ListenerReport {
        let probe = self.shared.probe();
        let pending = probe.under_way.map(|sent| clock::instant().duration_since(sent));
        ListenerReport {
            connected: self.shared.listener.connected(),
            reconnects: self.shared.listener.reconnects(),
            lag: probe.took.max(pending),
        }
    }

    /// Fires when another process put something into a queue.
    pub(crate) fn queue_news(&self) -> Arc<Notify> {
        self.shared.queue.clone()
    }
}

async fn receive(mut listener: Listener, shared: Arc<Shared>, node: String) {
    loop {
        let topics = match listener.next().await {
            Wake::Reconnected => {
                shared.probe_lost();
                vec![Topic::All]
            }
            Wake::Notified(payload) => match payload.split_once(' ') {
                Some((from, topics)) if from != node => topics.split(' ').filter_map(Topic::parse).collect(),
                Some((_, own)) => {
                    if let Some(number) = own.strip_prefix(PROBE_KIND) {
                        shared.probe_end(number);
                    }
                    continue;
                }
                None => continue,
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
    let mut probe = tokio::time::interval(PROBE);
    for one in [&mut look, &mut probe] {
        one.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = probe.tick() => {
                if let Some(number) = shared.probe_begin() {
                    let payload = format!("{node} {PROBE_KIND}{number}");
                    if let Err(error) = eve_store::listen::notify(&store, &payload).await {
                        shared.probe_lost();
                        tracing::debug!(%error, "a notification to this process was not sent");
                    }
                }
                continue;
            }
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
