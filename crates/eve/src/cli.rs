//! The command line: global flags, commands, and the arguments of those that run parts of Eve on this host.
//!
//! Doc comments are the help texts; the whole reference is one snapshot under `tests/it`. What a command does is in
//! its file under `command`.

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::command::bulk::BulkArgs;
use crate::command::completions::CompletionsArgs;
use crate::command::config::ConfigArgs;
use crate::command::diff::DiffArgs;
use crate::command::limits::LimitsArgs;
use crate::command::logs::LogsArgs;
use crate::command::queue::QueueArgs;
use crate::command::request::RequestArgs;
use crate::command::request::act::ReplayArgs;
use crate::command::result::ResultArgs;
use crate::command::run::RunArgs;
use crate::command::status::StatusArgs;
use crate::command::tail::TailArgs;
use crate::command::worker_types::WorkerTypesArgs;
use crate::command::workers::WorkersArgs;
use crate::config::FlagValue;
use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
    0  it worked
    1  it failed
    2  wrong arguments, configuration or request
    3  the server cannot be reached or cannot serve
    4  not authenticated, or not allowed
    5  there is no such thing
    6  the thing is not in a state that allows it
    7  the request finished unsuccessfully (`eve run`, `--wait`)
    8  the request is still running (`--wait-timeout`)
    9  the request needs a person (`eve run`, `--wait`)
  130  interrupted

Examples:
  eve up                                     Start everything on this host
  eve run \"Fix the failing test\" --repo .    Ask an agent and watch it work
  eve status                                 See how the installation stands";

/// A self-hosted control plane for coding agents
#[derive(Debug, Parser)]
#[command(name = "eve", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Where the API answers [variable: EVE_API_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) api_url: Option<String>,
    /// How to print data: `table`, `json` or `jsonl` [variable: EVE_OUTPUT]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<Format>,
    /// Short for `--output json`
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// Print no colours; NO_COLOR does the same
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Print data, warnings and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// The configuration file, instead of the user's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where Eve keeps its files on this host [variable: EVE_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArgs),
    Demo(DemoArgs),
    Doctor(DoctorArgs),
    Run(Box<RunArgs>),
    Request(RequestArgs),
    Bulk(BulkArgs),
    Result(ResultArgs),
    Diff(DiffArgs),
    Logs(LogsArgs),
    Replay(ReplayArgs),
    Status(StatusArgs),
    Queue(QueueArgs),
    Workers(WorkersArgs),
    Limits(LimitsArgs),
    Tail(TailArgs),
    WorkerTypes(WorkerTypesArgs),
    Config(ConfigArgs),
    Completions(CompletionsArgs),
    /// Print the OpenAPI document
    #[command(hide = true)]
    Openapi,
    Server(ServerArgs),
    Worker(WorkerArgs),
}

/// Start everything on this host: database, server, services and a worker
///
/// Runs in the foreground until Ctrl-C. The first start makes the data directory with a private PostgreSQL in it, an
/// organization and an API key, which the other commands find by themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve up
  eve up --data-dir ./eve-data --slots 2
  DATABASE_URL=postgres://eve@db.example.com/eve eve up --listen 0.0.0.0:7117")]
pub(crate) struct UpArgs {
    /// The address and port to listen on [default: 127.0.0.1:7117]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// How many agents to run at once [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// The PostgreSQL to use instead of the embedded one; others on this host can see flags, so rather use the
    /// variable DATABASE_URL for an address with a password
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

/// Run the server and the services, without a worker
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://eve@db.example.com/eve eve server
  eve server --config /etc/eve/config.toml --listen 0.0.0.0:7117")]
pub(crate) struct ServerArgs {
    /// The address and port to listen on [default: 127.0.0.1:7117]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// The PostgreSQL to use; others on this host can see flags, so rather use the variable DATABASE_URL for an
    /// address with a password
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

/// Run a worker that takes its work from a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve worker --server https://eve.example.com
  eve worker --server https://eve.example.com --worker-type code-review --slots 2")]
pub(crate) struct WorkerArgs {
    /// The server to take work from
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A worker type to serve; all of them when nothing is said
    #[arg(long = "worker-type", value_name = "TYPE")]
    pub(crate) worker_types: Vec<String>,
    /// How many agents to run at once [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
}

/// Check this host and the server, and say how to mend what is wrong
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve doctor
  eve doctor --deep
  eve doctor -o json")]
pub(crate) struct DoctorArgs {
    /// Look at every request whether it is in exactly one place, not only at the newest
    #[arg(long)]
    pub(crate) deep: bool,
}

/// See Eve at work: a small repository, a scripted agent, no key needed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve demo
  eve demo --stay")]
pub(crate) struct DemoArgs {
    /// Stay up until Ctrl-C afterwards, which is usual on a terminal
    #[arg(long)]
    pub(crate) stay: bool,
}

impl Cli {
    /// What the flags say about settings: the topmost layer of the configuration.
    pub(crate) fn flags(&self) -> Vec<FlagValue> {
        let mut flags = Vec::new();
        let mut add = |key, flag, text: Option<String>| {
            if let Some(text) = text {
                flags.push(FlagValue { key, flag, text });
            }
        };
        add("api_url", "--api-url", self.global.api_url.clone());
        add("data_dir", "--data-dir", self.global.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()));
        add("output", "--output", self.global.format().map(|format| format.name().to_owned()));
        match &self.command {
            Command::Up(args) => {
                add("server.listen", "--listen", args.listen.clone());
                add("worker.slots", "--slots", args.slots.map(|slots| slots.to_string()));
                add("server.database_url", "--database-url", args.database_url.clone());
            }
            Command::Server(args) => {
                add("server.listen", "--listen", args.listen.clone());
                add("server.database_url", "--database-url", args.database_url.clone());
            }
            Command::Worker(args) => {
                let types = args.worker_types.join(",");
                add("worker.server_url", "--server", args.server.clone());
                add("worker.types", "--worker-type", (!types.is_empty()).then_some(types));
                add("worker.slots", "--slots", args.slots.map(|slots| slots.to_string()));
            }
            _ => {}
        }
        flags
    }
}

impl GlobalArgs {
    /// The format that the flags ask for.
    pub(crate) fn format(&self) -> Option<Format> {
        if self.json { Some(Format::Json) } else { self.output }
    }
}
