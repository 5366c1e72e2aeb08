//! The command line. Read by hand: a parser would cost more to compile than the rest of this program.

use std::path::PathBuf;

use crate::bench::peers;

pub(crate) const HELP: &str = "\
Development tasks of Eve

Usage: cargo xtask TASK

Tasks:
  tidy                 Check what no compiler checks: crate edges, file names and lengths, migrations, error pages
  sqlx [--check]       Write the offline query cache (.sqlx) and the golden schema (crates/eve-store/schema.sql)
  openapi [--check]    Write openapi/v1.json
  fmt [--check]        Format all Rust code
  bench size           Size of the release binary
  bench start [--data-dir DIR] [--runs N]
                       Time from start to ready on an existing data directory, and memory when idle
  bench queue [ARGS]   Throughput of the queue; `bench queue --help` lists its arguments
  bench peers --peers DIR [--only NAMES] [--rounds N] [--scale N] [--tag NAME]
                       The queue beside other queues, into docs/benchmarks.md
  torture [ARGS]       Break a whole Eve and check what it promises; `torture --help` lists its arguments

  --check              Change nothing, fail if the committed files are not what would be written
  -h, --help           Print this

`sqlx` needs psql, and PostgreSQL's server programs: the system's, or those that `eve up` brings along.
`bench size` and `bench start` need `cargo build --release -p eve` first.";

/// How often `bench start` measures when nothing is said.
const RUNS: usize = 5;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Tidy,
    Sqlx(Mode),
    Openapi(Mode),
    Fmt(Mode),
    Bench(Bench),
    Torture(Vec<String>),
}

/// What to do with the files that are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bench {
    Size,
    Start { data_dir: Option<PathBuf>, runs: usize },
    Queue(Vec<String>),
    Peers(peers::Options),
}

/// Reads the arguments; the error is a message for the user.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let mut args = args.into_iter();
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    // These two have arguments and a help of their own.
    let passes_on = task == "torture" || (task == "bench" && rest.starts_with(&["queue".into()]));
    let wants_help = rest.iter().any(|arg| is_help(arg)) && !passes_on;
    if task.is_empty() || is_help(&task) || wants_help {
        return Ok(Task::Help);
    }
    match task.as_str() {
        "tidy" => no_arguments(&rest).map(|()| Task::Tidy),
        "sqlx" => mode(&rest).map(Task::Sqlx),
        "openapi" => mode(&rest).map(Task::Openapi),
        "fmt" => mode(&rest).map(Task::Fmt),
        "bench" => bench(&rest).map(Task::Bench),
        "torture" => Ok(Task::Torture(rest)),
        other => Err(format!("there is no task `{other}`")),
    }
}

fn is_help(arg: &str) -> bool {
    matches!(arg, "-h" | "--help" | "help")
}

fn no_arguments(args: &[String]) -> Result<(), String> {
    args.first().map_or(Ok(()), |arg| Err(unexpected(arg)))
}

fn mode(args: &[String]) -> Result<Mode, String> {
    match args {
        [] => Ok(Mode::Write),
        [flag] if flag == "--check" => Ok(Mode::Check),
        [first, ..] => Err(unexpected(first)),
    }
}

fn bench(args: &[String]) -> Result<Bench, String> {
    match args.split_first() {
        Some((name, rest)) if name == "size" => no_arguments(rest).map(|()| Bench::Size),
        Some((name, rest)) if name == "start" => bench_start(rest),
        Some((name, rest)) if name == "peers" => bench_peers(rest),
        Some((name, rest)) if name == "queue" => Ok(Bench::Queue(rest.to_vec())),
        Some((name, _)) => Err(format!("there is no benchmark `{name}`")),
        None => Err("which benchmark: size, start, queue or peers?".to_owned()),
    }
}

fn bench_start(args: &[String]) -> Result<Bench, String> {
    let mut data_dir = None;
    let mut runs = RUNS;
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{flag}` needs a value"));
        match flag.as_str() {
            "--data-dir" => data_dir = Some(PathBuf::from(value()?)),
            "--runs" => runs = above_zero(flag, value()?)?,
            other => return Err(unexpected(other)),
        }
    }
    Ok(Bench::Start { data_dir, runs })
}

fn bench_peers(args: &[String]) -> Result<Bench, String> {
    let mut options = peers::Options::default();
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{flag}` needs a value"));
        match flag.as_str() {
            "--peers" => options.peers = Some(PathBuf::from(value()?)),
            "--only" => options.only.clone_from(value()?),
            "--tag" => options.tag.clone_from(value()?),
            "--rounds" => options.rounds = above_zero(flag, value()?)?,
            "--scale" => options.scale = above_zero(flag, value()?)?,
            other => return Err(unexpected(other)),
        }
    }
    Ok(Bench::Peers(options))
}

fn above_zero<T: std::str::FromStr + PartialOrd + Default>(flag: &str, text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number > T::default());
    number.ok_or_else(|| format!("`{flag}` needs a number above 0"))
}

fn unexpected(arg: &str) -> String {
    format!("unexpected argument `{arg}`")
}

#[cfg(test)]
mod tests;
