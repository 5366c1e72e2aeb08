//! Keeping the server up: a task that waits for the guard to exit and starts the server again.
//!
//! Restarts are spaced by a growing pause, and given up after a number of failures in a row; a server that has been
//! up for a while clears the count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::earlier;
use super::error::ClusterError;
use super::server::Port;
use super::server::Running;
use super::server::Server;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Failures in a row; with the pauses above, some four minutes.
const RESTARTS: u32 = 15;

/// A server that was up for this long did not fail in a row with the one before.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// What the supervisor is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterState {
    /// The first start.
    Starting,
    /// The server accepts connections.
    Running,
    /// The server ended by itself; connections fail until it is back.
    Restarting {
        /// Counted from 1; a server that stays up for a minute clears it.
        attempt: u32,
    },
    /// It was stopped on request.
    Stopped,
    /// The supervisor has given up, or the stop failed; the text is the last error.
    Failed(String),
}

/// Runs until it is told to stop, which includes that nobody is left to tell.
pub(super) async fn supervise(
    server: Arc<Server>,
    mut running: Running,
    state: watch::Sender<ClusterState>,
    mut stop: watch::Receiver<bool>,
) {
    let port = Port::Keep(running.port);
    let mut attempt = 0;
    loop {
        let since = Instant::now();
        tokio::select! {
            biased;
            () = told_to_stop(&mut stop) => {
                finish(&state, server.stop(running).await);
                return;
            }
            status = running.exit() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(%status, log = %server.layout.log.display(), "PostgreSQL ended by itself");
            }
        }
        if since.elapsed() >= STABLE_AFTER {
            attempt = 0;
        }
        tokio::select! {
            biased;
            () = told_to_stop(&mut stop) => {
                finish(&state, earlier::settle(&server.layout.data, &|_| {}).await);
                return;
            }
            restarted = restart(&server, port, &mut attempt, &state) => match restarted {
                Ok(new) => running = new,
                Err(error) => {
                    finish(&state, Err(error));
                    return;
                }
            }
        }
        tracing::info!(attempt, "PostgreSQL is up again");
        state.send_replace(ClusterState::Running);
    }
}

async fn restart(
    server: &Server,
    port: Port,
    attempt: &mut u32,
    state: &watch::Sender<ClusterState>,
) -> Result<Running, ClusterError> {
    loop {
        *attempt += 1;
        state.send_replace(ClusterState::Restarting { attempt: *attempt });
        tokio::time::sleep(pause(*attempt)).await;
        match Box::pin(server.launch(port, &|line| tracing::info!("{line}"))).await {
            Ok(running) => return Ok(running),
            Err(error) if *attempt >= RESTARTS => return Err(error),
            Err(error) => tracing::error!(attempt, %error, "PostgreSQL does not start"),
        }
    }
}

/// Also returns when nobody is left to tell.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn finish(state: &watch::Sender<ClusterState>, result: Result<(), ClusterError>) {
    state.send_replace(match result {
        Ok(()) => ClusterState::Stopped,
        Err(error) => {
            tracing::error!(%error, "PostgreSQL is no longer supervised");
            ClusterState::Failed(error.to_string())
        }
    });
}

fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(3), FIRST_PAUSE * 4);
        assert_eq!(pause(12), LONGEST_PAUSE);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
        let all: Duration = (1..=RESTARTS).map(pause).sum();
        assert!((180..300).contains(&all.as_secs()), "{all:?}");
    }
}
