//! A model that says what a script tells it to, for running the real agent CLIs without a provider.
//!
//! [`ModelStub`] listens on loopback and speaks as much of the Anthropic Messages API and of the OpenAI Responses API
//! as Claude Code and Codex use. One stub plays many models at once: `/r/NAME/…` is answered by the script of that
//! name, so that every run of a test has its own.
//!
//! A [`Script`] is a list of [`Step`]s. Which one answers a request follows from the request itself, from the number
//! of turns that the model has taken in the conversation. So a client may retry, several conversations may follow one
//! script side by side, and a resumed conversation goes on where it stopped. The one thing that a request cannot tell
//! is how often it has failed before; that is counted, per session and turn. Requests that offer no tools (titles,
//! summaries, probes) are not part of the conversation: they get a fixed text, cost nothing and use up no step.
//!
//! Every request is recorded for [`ModelStub::requests`], with secrets blanked out.

mod anthropic;
mod openai;
mod record;
mod script;
mod server;
mod sse;

use std::collections::HashMap;
use std::future::IntoFuture;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use self::record::RecordedRequest;
pub use self::record::Served;
pub use self::script::Failure;
pub use self::script::FailureKind;
pub use self::script::Script;
pub use self::script::Step;
pub use self::script::TokenUsage;
use self::server::Shared;

/// A running stub. It stops, and cuts every open connection, when dropped.
///
/// It has a thread and a runtime of its own, so that it also answers a test that blocks its own thread.
#[derive(Debug)]
pub struct ModelStub {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ModelStub {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    ///
    /// If no port, no thread or no runtime is to be had.
    pub fn start(scripts: HashMap<String, Script>) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), scripts)
    }

    /// Starts on a given address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and if the address is taken.
    pub fn start_on(address: SocketAddr, scripts: HashMap<String, Script>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };

        let shared = Arc::new(Shared::new(scripts));
        let service = axum::serve(listener, server::router(Arc::clone(&shared)));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("model-stub".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = service.into_future() => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of a script for clients of the Anthropic API: `ANTHROPIC_BASE_URL`.
    pub fn base_url(&self, name: &str) -> String {
        format!("http://{}/r/{name}", self.address)
    }

    /// The base URL of a script for clients of the OpenAI API, which expect the version in it.
    pub fn openai_base_url(&self, name: &str) -> String {
        format!("{}/v1", self.base_url(name))
    }

    /// The latest requests for a script, oldest first, at most [`RecordedRequest::KEPT`] of them.
    pub fn requests(&self, name: &str) -> Vec<RecordedRequest> {
        self.shared.requests(name)
    }

    /// How many requests there have been for a script.
    pub fn request_count(&self, name: &str) -> usize {
        self.shared.request_count(name)
    }
}

impl Drop for ModelStub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Refused only if the thread is gone already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the stub has failed the test by its own symptoms; a second one while dropping would abort.
            let _ = thread.join();
        }
    }
}
