//! Logs of server and worker: on standard error, for people or as JSON with request, organization and worker ids.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;

/// What is logged when the variable `EVE_LOG` says nothing.
const DEFAULT: &str = "info,sqlx=warn,hyper=warn";

/// Starts logging. A second start changes nothing.
pub(crate) fn start(format: LogFormat, default: Option<&str>) {
    let filter = EnvFilter::try_from_env("EVE_LOG").unwrap_or_else(|_| EnvFilter::new(default.unwrap_or(DEFAULT)));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let done = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Somebody else's subscriber is as good.
    drop(done);
}
