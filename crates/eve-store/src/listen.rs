//! Notifications between processes: they only ever wake somebody who then reads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::Store;
use crate::StoreError;
use crate::error::During;

/// The one channel that all of Eve's processes listen on.
const CHANNEL: &str = "eve";
/// First and longest rest before connecting again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What a listener was woken by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Another process says that there is something new about these topics.
    Notified(String),
    /// The connection was away, so notifications may have been missed: look at everything.
    Reconnected,
}

/// How a listener's connection fares, for whoever watches it.
#[derive(Debug, Default)]
pub struct ListenerState {
    connected: AtomicBool,
    reconnects: AtomicU64,
}

impl ListenerState {
    /// Whether it is connected, as far as it noticed.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// How often it had to connect again.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    fn reconnected(&self) -> Wake {
        self.connected.store(true, Ordering::Relaxed);
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        Wake::Reconnected
    }
}

/// Listens until dropped, connecting again as often as needed.
#[derive(Debug)]
pub struct Listener {
    state: Arc<ListenerState>,
    store: Store,
    inner: Option<PgListener>,
    rest: Duration,
}

impl Listener {
    /// Registers before it returns, so that whatever is read afterwards misses nothing.
    pub async fn start(store: &Store) -> Result<Self, StoreError> {
        let mut listener = Self { state: Arc::default(), store: store.clone(), inner: None, rest: RECONNECT.0 };
        listener.connect().await.during("listen")?;
        listener.state.connected.store(true, Ordering::Relaxed);
        Ok(listener)
    }

    /// How its connection fares, now and later.
    pub fn state(&self) -> Arc<ListenerState> {
        self.state.clone()
    }

    async fn connect(&mut self) -> Result<(), sqlx::Error> {
        let mut inner = self.store.listener().await?;
        inner.listen(CHANNEL).await?;
        self.inner = Some(inner);
        Ok(())
    }

    /// Waits for the next reason to look.
    pub async fn next(&mut self) -> Wake {
        loop {
            if let Some(inner) = self.inner.as_mut() {
                match inner.try_recv().await {
                    Ok(Some(notification)) => {
                        self.rest = RECONNECT.0;
                        return Wake::Notified(notification.payload().to_owned());
                    }
                    // The driver has connected again by itself.
                    Ok(None) => return self.state.reconnected(),
                    Err(error) => {
                        tracing::warn!(%error, "the listening connection failed");
                        self.inner = None;
                        self.state.connected.store(false, Ordering::Relaxed);
                    }
                }
            }
            tokio::time::sleep(self.rest).await;
            self.rest = (self.rest * 2).min(RECONNECT.1);
            match self.connect().await {
                Ok(()) => return self.state.reconnected(),
                Err(error) => tracing::warn!(%error, rest = ?self.rest, "cannot listen yet"),
            }
        }
    }
}

/// Tells the other processes. A transaction of its own: never inside anybody's work, because PostgreSQL takes a
/// database-wide lock for the commit of a notification.
pub async fn notify(store: &Store, payload: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload)
        .execute(store.platform_pool())
        .await
        .during("notify")?;
    Ok(())
}

/// How many connections listen, this process's own among them.
pub async fn listener_count(store: &Store) -> Result<i64, StoreError> {
    // Of other log-ins a connection's name is not shown, so one without a name counts.
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend'
           AND coalesce(nullif(application_name, ''), 'eve-listen') = 'eve-listen'",
    )
    .fetch_one(store.platform_pool())
    .await
    .during("listener_count")
}
