//! Looking until something is so, and saying what was measured.

use std::io;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Longest wait for what takes moments on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

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

/// Prints a figure; nextest shows it with `--success-output immediate`.
pub(crate) fn figure(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(io::stderr(), "figure: {text}");
}
