//! Waking whoever waits: at once within the process, coalesced to the others.
//!
//! A wake-up carries no data; the waiter reads the database. It is sent after the commit, so what it announces is
//! there, and a lost one costs a poll interval and no more. Other processes hear of it by at most one notification
//! each [`COALESCE`], sent by a transaction of its own: PostgreSQL takes a database-wide lock to commit one.

use std::collections::BTreeSet;
use std::time::Duration;

use eve_core::AttemptId;
use eve_core::OrgId;
use eve_core::RequestId;
use eve_store::Store;
use eve_store::listen::Listener;
use eve_store::listen::Wake;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::Error;

/// Least time between two notifications to other processes.
const COALESCE: Duration = Duration::from_millis(10);
/// Wake-ups that a slow waiter may miss before it is told to look at everything.
const BACKLOG: usize = 1024;
/// Longest payload; PostgreSQL allows 8000 bytes. Beyond it, everybody looks at everything.
const PAYLOAD_LEN: usize = 7000;
/// The payload that says so.
const EVERYTHING: &str = "*";

/// What there may be news about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Something became claimable for this worker type; a waiter may say `*` for any.
    Queue(String),
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
            Self::Queue(name) => format!("q:{name}"),
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
            "q" => Some(Self::Queue(rest.to_owned())),
            "e" => rest.parse().ok().map(Self::Events),
            "r" => rest.parse().ok().map(Self::Request),
            "s" => rest.parse().ok().map(Self::Stop),
            _ => None,
        }
    }
}

pub(crate) struct Hub {
    local: broadcast::Sender<Topic>,
    remote: mpsc::UnboundedSender<Topic>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Hub {
    pub(crate) async fn start(store: &Store) -> Result<Self, Error> {
        let (local, _) = broadcast::channel(BACKLOG);
        // Bounded in fact: the sender below drains it into a set every few milliseconds.
        let (remote, outbox) = mpsc::unbounded_channel();
        let node = crate::auth::hex(&crate::clock::random::<6>());
        let listener = Listener::start(store).await?;
        let receive = tokio::spawn(receive(listener, local.clone(), node.clone()));
        let send = tokio::spawn(send(store.clone(), outbox, node));
        Ok(Self { local, remote, _tasks: [AbortOnDropHandle::new(receive), AbortOnDropHandle::new(send)] })
    }

    /// Wakes whoever waits for these topics, here and elsewhere. Call it after the commit.
    pub(crate) fn wake(&self, topics: impl IntoIterator<Item = Topic>) {
        for topic in topics {
            // Nobody listening is no error, and a closed outbox means that the process ends.
            let _ = self.local.send(topic.clone());
            let _ = self.remote.send(topic);
        }
    }

    pub(crate) fn waiter(&self, topics: Vec<Topic>) -> Waiter {
        Waiter { topics, news: self.local.subscribe() }
    }
}

async fn receive(mut listener: Listener, local: broadcast::Sender<Topic>, node: String) {
    loop {
        match listener.next().await {
            Wake::Reconnected => {
                let _ = local.send(Topic::All);
            }
            Wake::Notified(payload) => {
                let Some((from, topics)) = payload.split_once(' ') else { continue };
                if from == node {
                    continue;
                }
                for topic in topics.split(' ').filter_map(Topic::parse) {
                    let _ = local.send(topic);
                }
            }
        }
    }
}

async fn send(store: Store, mut outbox: mpsc::UnboundedReceiver<Topic>, node: String) {
    while let Some(first) = outbox.recv().await {
        tokio::time::sleep(COALESCE).await;
        let mut topics = BTreeSet::from([first]);
        while let Ok(topic) = outbox.try_recv() {
            topics.insert(topic);
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
    news: broadcast::Receiver<Topic>,
}

impl Waiter {
    fn wants(&self, topic: &Topic) -> bool {
        match topic {
            Topic::All => true,
            Topic::Queue(_) if self.topics.contains(&Topic::Queue(EVERYTHING.to_owned())) => true,
            Topic::Queue(_) | Topic::Events(_) | Topic::Request(_) | Topic::Stop(_) => self.topics.contains(topic),
        }
    }

    /// Returns when there may be news, or after the time limit.
    pub async fn wait(&mut self, limit: Duration) {
        let heard = async {
            loop {
                match self.news.recv().await {
                    Ok(topic) if self.wants(&topic) => return,
                    Ok(_) => {}
                    // Missed some: there may have been ours among them.
                    Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Timing out is the poll that makes a lost wake-up harmless.
        let _ = tokio::time::timeout(limit, heard).await;
    }
}
