//! A stream of events that survives broken connections.
//!
//! When the connection ends it is made anew with `Last-Event-ID`, so that nothing is missed or told twice. The waits
//! grow, and after a number of failures in a row the stream gives up. Silence counts as a broken connection, since
//! the server sends a heartbeat.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use reqwest::Response;
use reqwest::header::ACCEPT;
use tokio::time::sleep;
use tokio::time::timeout;

use super::Client;
use super::sse::Decoder;
use super::sse::SseEvent;
use crate::error::CliError;
use crate::error::ErrorKind;

/// Connections that fail in a row before the stream gives up.
const RECONNECT_LIMIT: u32 = 8;

/// The wait before the first new connection; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest wait between two connections.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long the server's first answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the stream may be silent: three of the server's heartbeats.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// A connection that lasted so long was a good one: what fails later is not another failure in a row.
const STEADY: Duration = Duration::from_secs(10);

/// What comes out of a stream.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// An event.
    Event(SseEvent),
    /// The connection broke and is made anew after a wait.
    Reconnecting {
        /// Why, in words.
        why: String,
    },
}

/// The stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    client: Client,
    path: String,
    query: Vec<(String, String)>,
    last_id: Option<String>,
    decoder: Decoder,
    response: Option<Response>,
    ready: VecDeque<SseEvent>,
    failures: u32,
    connected_once: bool,
    connected_at: Instant,
}

impl EventStream {
    pub(super) fn new(client: Client, path: String, query: Vec<(String, String)>, after: Option<String>) -> Self {
        Self {
            client,
            path,
            query,
            last_id: after,
            decoder: Decoder::default(),
            response: None,
            ready: VecDeque::new(),
            failures: 0,
            connected_once: false,
            connected_at: Instant::now(),
        }
    }

    /// Makes the first connection as stubborn as all others, for streams whose server was there a moment ago.
    #[must_use]
    pub(crate) fn patient(mut self) -> Self {
        self.connected_once = true;
        self
    }

    /// The next event, or the news that there is a hitch. Not to be dropped half-way: run it in a task of its own.
    ///
    /// # Errors
    /// When the server refuses, or cannot be reached time and again.
    pub(crate) async fn next(&mut self) -> Result<Incoming, CliError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.last_id.clone_from(&event.id);
                }
                self.failures = 0;
                return Ok(Incoming::Event(event));
            }
            let hitch = match self.response.take() {
                None => match self.connect().await {
                    Ok(response) => {
                        self.response = Some(response);
                        self.connected_once = true;
                        self.connected_at = Instant::now();
                        continue;
                    }
                    Err(error) => error,
                },
                Some(mut response) => match timeout(SILENCE_LIMIT, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        let events = self.decoder.push(&bytes).map_err(anyhow::Error::from)?;
                        if self.connected_at.elapsed() >= STEADY {
                            self.failures = 0;
                        }
                        self.ready.extend(events);
                        self.response = Some(response);
                        continue;
                    }
                    Ok(Ok(None)) => CliError::new(ErrorKind::Unreachable, "the server closed the stream"),
                    Ok(Err(error)) => self.client.broken(error),
                    Err(_) => CliError::new(ErrorKind::Unreachable, "the stream fell silent"),
                },
            };
            return self.after(hitch).await;
        }
    }

    /// Waits before the next connection, or gives up.
    async fn after(&mut self, hitch: CliError) -> Result<Incoming, CliError> {
        self.decoder.reset();
        self.failures += 1;
        let hopeless = hitch.kind != ErrorKind::Unreachable || !self.connected_once;
        if hopeless || self.failures > RECONNECT_LIMIT {
            return Err(hitch);
        }
        let doublings = 2_u32.saturating_pow(self.failures - 1);
        sleep(FIRST_PAUSE.saturating_mul(doublings).min(LONGEST_PAUSE)).await;
        Ok(Incoming::Reconnecting { why: hitch.to_string() })
    }

    async fn connect(&self) -> Result<Response, CliError> {
        let mut call =
            self.client.unlimited(Method::GET, &self.path).query(&self.query).header(ACCEPT, "text/event-stream");
        if let Some(id) = &self.last_id {
            call = call.header("Last-Event-ID", id);
        }
        match timeout(ANSWER_TIMEOUT, self.client.send(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(CliError::new(ErrorKind::Unreachable, "the server does not answer")),
        }
    }
}
