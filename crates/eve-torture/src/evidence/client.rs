//! The client ledger, and the client that keeps it: what was asked, what was answered, and what never was.
//!
//! A call without an answer may have been heard or not. With an idempotency key it is repeated until it is answered,
//! so that one request must come of it; without a key it is left at that, and there may be one or none.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use eve_core::RequestId;
use serde_json::Value;
use serde_json::json;

use crate::clock;

/// Longest wait for one answer: longer than a takeover, shorter than a scenario.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(150);
/// Longest time in which a call is repeated.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a request may come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Done, and nothing else.
    Completed,
    /// Given up with this error code.
    Failed(&'static str),
    /// Called off.
    Cancelled,
    /// Done or called off: a race, or called off before an answer was lost.
    CompletedOrCancelled,
}

/// A call and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// When it was sent, in milliseconds since the host's start.
    pub(crate) at: u64,
    /// The status and the id, or why there is no answer.
    pub(crate) answer: Result<(u16, Option<RequestId>), String>,
}

/// What a cancel was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cancel {
    /// The status.
    pub(crate) code: u16,
    /// How the request stood by the answer.
    pub(crate) status: String,
    /// Whether it was said to be stopping.
    pub(crate) stopping: bool,
}

/// A request that a client wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) key: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) expect: Expect,
    pub(crate) cancels: Vec<Cancel>,
}

impl Asked {
    /// The id, once a call was answered with one.
    pub(crate) fn acknowledged(&self) -> Option<RequestId> {
        self.calls.iter().find_map(|call| match &call.answer {
            Ok((200 | 201, id)) => *id,
            _ => None,
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// How long the agent works.
    pub(crate) run_ms: u64,
    /// Rest between two of its steps.
    pub(crate) step_ms: u64,
    /// What else the agent is told, as `NAME=VALUE`.
    pub(crate) orders: Vec<String>,
    /// Whether the call carries an idempotency key.
    pub(crate) keyed: bool,
    /// What else the request says.
    pub(crate) fields: Value,
    pub(crate) expect: Expect,
}

impl Work {
    /// A request whose agent works for so long.
    pub(crate) fn of(run_ms: u64) -> Self {
        let (orders, fields) = (Vec::new(), json!({}));
        Self { run_ms, step_ms: 20, orders, keyed: true, fields, expect: Expect::Completed }
    }

    /// Tells the agent something more.
    pub(crate) fn told(mut self, order: impl Into<String>) -> Self {
        self.orders.push(order.into());
        self
    }

    /// Sets a field of the request.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(fields) = self.fields.as_object_mut() {
            fields.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Says what it may come to.
    pub(crate) fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// A client of an Eve with one or more servers. Clones keep the same ledger.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    servers: Arc<Vec<String>>,
    key: Arc<str>,
    agent: Arc<PathBuf>,
    world: Arc<PathBuf>,
    next: Arc<AtomicU64>,
    ledger: Arc<Mutex<Ledger>>,
}

/// The ledger, and where in it each request is.
#[derive(Default)]
struct Ledger {
    asked: Vec<Asked>,
    by_id: HashMap<RequestId, usize>,
}

impl Client {
    /// For servers at these addresses.
    pub(crate) fn new(servers: Vec<String>, key: &str, agent: PathBuf, world: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?,
            servers: Arc::new(servers),
            key: key.into(),
            agent: Arc::new(agent),
            world: Arc::new(world),
            next: Arc::new(AtomicU64::new(1)),
            ledger: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the ledger says by now.
    pub(crate) fn ledger(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Asks for something, if need be again and again. The id, if there was an answer.
    pub(crate) async fn ask(&self, work: &Work) -> Option<RequestId> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = work.keyed.then(|| format!("torture-{number}"));
        let index = {
            let mut ledger = self.lock();
            let (calls, cancels) = (Vec::new(), Vec::new());
            ledger.asked.push(Asked { number, key: key.clone(), calls, expect: work.expect.clone(), cancels });
            ledger.asked.len() - 1
        };
        let body = self.body(work, number);
        let began = Instant::now();
        let mut turn = number;
        loop {
            let at = clock::now_ms();
            let answer = self.post("/requests", key.as_deref(), &body, turn).await;
            let answer = answer.map(|(code, body)| (code, body["id"].as_str().and_then(|id| id.parse().ok())));
            let done = match &answer {
                Ok((200 | 201, id)) => Some(*id),
                // Overloaded or without its database: it says so, and is asked again.
                Ok((429 | 500..=599, _)) | Err(_) => None,
                Ok(_) => Some(None),
            };
            {
                let mut ledger = self.lock();
                if let Some(Some(id)) = done {
                    ledger.by_id.insert(id, index);
                }
                if let Some(asked) = ledger.asked.get_mut(index) {
                    asked.calls.push(Call { at, answer });
                }
            }
            if let Some(id) = done {
                return id;
            }
            if key.is_none() || began.elapsed() > PATIENCE {
                return None;
            }
            // Another server may be alive.
            turn += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn body(&self, work: &Work, number: u64) -> Value {
        let orders: String = work.orders.iter().map(|order| format!(" '{order}'")).collect();
        let mut body = json!({
            "harness": "command",
            "title": format!("torture {number}"),
            "prompt": format!(
                "exec '{}' 'world={}' run_ms={} step_ms={}{orders}\n",
                self.agent.display(), self.world.display(), work.run_ms, work.step_ms
            ),
            "metadata": {"torture": number},
        });
        for (name, value) in work.fields.as_object().into_iter().flatten() {
            body[name.as_str()] = value.clone();
        }
        body
    }

    /// Asks for many things, so many at a time.
    pub(crate) async fn ask_all(&self, works: Vec<Work>, at_once: usize) -> Vec<Option<RequestId>> {
        let works = Arc::new(Mutex::new(works.into_iter().enumerate()));
        let mut tasks = Vec::new();
        for _ in 0..at_once {
            let (this, works) = (self.clone(), works.clone());
            tasks.push(tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let next = works.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, work)) = next else { return ids };
                    ids.push((index, this.ask(&work).await));
                }
            }));
        }
        let mut ids = Vec::new();
        for task in tasks {
            ids.extend(task.await.unwrap_or_default());
        }
        ids.sort_unstable_by_key(|(index, _)| *index);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Calls a request off, once. The answer is kept; no answer is none.
    pub(crate) async fn cancel(&self, id: RequestId) -> Option<Cancel> {
        let (code, body) =
            self.post(&format!("/requests/{id}/cancel"), None, &json!({}), id.uuid().as_u64_pair().1).await.ok()?;
        let cancel = Cancel {
            code,
            status: body["status"].as_str().unwrap_or_default().to_owned(),
            stopping: body["stopping"] == true,
        };
        let mut ledger = self.lock();
        if let Some(index) = ledger.by_id.get(&id).copied()
            && let Some(asked) = ledger.asked.get_mut(index)
        {
            asked.cancels.push(cancel.clone());
        }
        Some(cancel)
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value, turn: u64) -> Result<(u16, Value), String> {
        let count = u64::try_from(self.servers.len()).unwrap_or(1).max(1);
        let server = self.servers.get(usize::try_from(turn % count).unwrap_or(0)).map_or("", String::as_str);
        let mut request = self.http.post(format!("{server}/api/v1{path}")).bearer_auth(&self.key).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let code = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        Ok((code, serde_json::from_str(&text).unwrap_or_default()))
    }
}
