//! Listening, and stopping without cutting anybody off.

use std::io;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::extract::Shutdown;

/// Longest time that requests may still take once the server is to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown` fires, then ends streams and long polls at once and lets other requests finish.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Entries of a stream are small and should not wait for each other.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let router = router.layer(Extension(Shutdown(shutdown.clone())));
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = overdue => {
            tracing::warn!(limit = ?DRAIN_TIMEOUT, "some connections did not end in time and are cut off");
            Ok(())
        }
    }
}
