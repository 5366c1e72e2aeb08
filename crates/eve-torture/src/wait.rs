//! Looking until something is so.

use std::time::Duration;
use std::time::Instant;

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest time that a server may take until it answers.
pub(crate) const READY: Duration = Duration::from_secs(60);
/// Longest wait for what takes moments.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// Longest time from the last fault until everything is finished.
pub(crate) const QUIET: Duration = Duration::from_secs(180);

/// Looks until there is something, and hands it over.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
