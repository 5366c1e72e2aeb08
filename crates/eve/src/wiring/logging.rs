//! Logs of server and worker: on standard error, for people or as JSON with request, organization and worker ids.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// What is logged when the variable `EVE_LOG` says nothing.
const DEFAULT: &str = "info,sqlx=warn,hyper=warn";

/// Starts logging. A second start changes nothing.
pub(crate) fn start(format: LogFormat, default: Option<&str>) {
    let wanted = std::env::var("EVE_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = wanted.or_else(|| default.unwrap_or(DEFAULT).parse().ok()).unwrap_or_default();
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Somebody else's subscriber is as good.
    drop(tracing_subscriber::registry().with(lines.with_filter(filter)).try_init());
}
