//! `eve queue`: what waits, by worker type and priority.

use clap::Args;
use eve_api_types::QueueLane;
use jiff::Timestamp;

use super::App;
use crate::error::CliError;
use crate::output::Column;
use crate::output::Table;
use crate::output::age;

/// Show what waits, by worker type and priority
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve queue
  eve queue -o jsonl | jq 'select(.ready > 100)'")]
pub(crate) struct QueueArgs {}

/// Shows the queue.
pub(crate) async fn run(app: &App, _args: QueueArgs) -> Result<(), CliError> {
    let page = app.client()?.queue().await?;
    app.output.page(&page, "The queue is empty.", |lanes| table(lanes, Timestamp::now()))
}

/// The lanes in columns.
pub(crate) fn table(lanes: &[QueueLane], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("TYPE"),
        Column::text("PRIORITY"),
        Column::number("READY"),
        Column::number("LATER"),
        Column::number("OLDEST"),
    ]);
    for lane in lanes {
        table.row([
            lane.worker_type.as_str().into(),
            lane.priority.as_str().into(),
            lane.ready.to_string().into(),
            lane.delayed.to_string().into(),
            lane.oldest.map_or("-".to_owned(), |oldest| age(oldest, now)).into(),
        ]);
    }
    table
}
