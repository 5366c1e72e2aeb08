//! `eve tail`: everything that happens, as it happens.

use clap::Args;
use eve_api_types::Event;
use eve_core::WorkerTypeName;
use jiff::tz::TimeZone;

use super::App;
use crate::client::Client;
use crate::client::Incoming;
use crate::client::decode_event;
use crate::error::CliError;
use crate::log_view::LogView;
use crate::output::Format;

/// Show everything that happens, as it happens, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve tail
  eve tail --worker-type general
  eve tail -o jsonl | jq 'select(.kind == \"request:failed\")'")]
pub(crate) struct TailArgs {
    /// Only requests of this worker type; may be given more than once
    #[arg(long, value_name = "TYPE")]
    worker_type: Vec<WorkerTypeName>,
    /// The organization; a key sees one, and this checks that it is the one that is meant
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
}

/// Shows events.
pub(crate) async fn run(app: &App, args: TailArgs) -> Result<(), CliError> {
    let client = app.client()?;
    if let Some(org) = &args.org {
        check_org(&client, org).await?;
    }
    let types: Vec<String> = args.worker_type.into_iter().map(String::from).collect();
    let view = LogView::new(app.output.stdout).with_clock(TimeZone::system());
    let mut stream = client.events(&types);
    loop {
        match stream.next().await? {
            Incoming::Event(event) => {
                let event: Event = decode_event(&event.data)?;
                match app.output.format {
                    Format::Table => view.happening(&event).iter().try_for_each(|line| app.output.line(line))?,
                    // A stream has no end to close a document at.
                    Format::Json | Format::Jsonl => app.output.json_line(&event)?,
                }
            }
            Incoming::Reconnecting { why } => app.output.warn(format!("{why}; connecting again")),
        }
    }
}

async fn check_org(client: &Client, org: &str) -> Result<(), CliError> {
    let me = client.whoami().await?;
    if me.org == org || me.org_id.to_string() == org {
        return Ok(());
    }
    Err(CliError::usage(format!("the key belongs to the organization `{}`, not to `{org}`", me.org))
        .hint(format!("a key sees one organization: use a key of `{org}`, for example with the variable EVE_API_KEY")))
}
