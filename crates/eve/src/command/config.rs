//! `eve config`: looks at settings and changes the configuration file.

use std::io::Read;

use clap::Args;
use clap::Subcommand;
use serde::Serialize;
use toml::Value;

use crate::config::Kind;
use crate::config::Layers;
use crate::config::MASK;
use crate::config::Origin;
use crate::config::SETTINGS;
use crate::config::Setting;
use crate::config::Sources;
use crate::config::set_in_file;
use crate::config::unknown;
use crate::config::unset_in_file;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Format;
use crate::output::Output;
use crate::output::Paint;
use crate::output::Style;

/// Show and change settings
///
/// A setting comes from, in rising order: the built-in defaults, what is found on this host, the configuration file,
/// variables (EVE_API_URL, EVE_WORKER__SLOTS for worker.slots, DATABASE_URL), and flags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config set api-url https://eve.example.com
  eve config set api-key KEY
  eve config explain")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Set(SetArgs),
    Get(GetArgs),
    Unset(UnsetArgs),
    List(ListArgs),
    Path(PathArgs),
    Explain(ExplainArgs),
}

/// Write a setting into the configuration file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config set api-url https://eve.example.com
  eve config set worker.types general,code-review
  eve config set harness.mclaude.kind claude-code")]
struct SetArgs {
    /// The setting
    key: String,
    /// Its value; lists are joined by commas; `-` reads it from standard input, which suits a key
    #[arg(allow_hyphen_values = true)]
    value: String,
}

/// Print the value of a setting; secrets are masked
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config get api-url
  eve config get api-key --reveal")]
struct GetArgs {
    /// The setting
    key: String,
    /// Print a secret, too
    #[arg(long)]
    reveal: bool,
}

/// Take a setting out of the configuration file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config unset api-url
  eve config unset worker.slots")]
struct UnsetArgs {
    /// The setting
    key: String,
}

/// List all settings that have a value
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config list
  eve config list -o json")]
struct ListArgs {}

/// Print where the configuration file is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config path
  $EDITOR \"$(eve config path)\"")]
struct PathArgs {}

/// Explain every setting: what it is for, its value, and where that comes from
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve config explain
  eve config explain worker.slots
  eve config explain -o json")]
struct ExplainArgs {
    /// Only this setting or section
    key: Option<String>,
}

/// Longest value that is read from standard input.
const VALUE_LIMIT: u64 = 64 * 1024;

/// Hands over to the subcommand.
pub(crate) fn run(sources: &Sources, output: &Output, args: ConfigArgs) -> Result<(), CliError> {
    match args.command {
        ConfigCommand::Set(args) => set(sources, output, &args),
        ConfigCommand::Get(args) => get(sources, output, &args),
        ConfigCommand::Unset(args) => unset(sources, output, &args),
        ConfigCommand::List(ListArgs {}) => list(sources, output),
        ConfigCommand::Path(PathArgs {}) => output.line(sources.path().to_string_lossy()),
        ConfigCommand::Explain(args) => explain(sources, output, args.key.as_deref()),
    }
}

fn set(sources: &Sources, output: &Output, args: &SetArgs) -> Result<(), CliError> {
    let value = if args.value == "-" { value_from_stdin()? } else { args.value.clone() };
    let path = sources.path();
    set_in_file(&path, &args.key, &value)?;
    let key = Setting::canonical(&args.key);
    output.say(format!("{key} is set in {}.", path.display()));
    let layers = sources.layers().unwrap_or_default();
    if let Some(entry) = layers.get(&key)
        && let Origin::Variable(_) | Origin::Flag(_) = entry.origin
    {
        output.warn(format!("the {} wins over it", entry.origin));
    }
    Ok(())
}

fn value_from_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin().lock().take(VALUE_LIMIT).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn unset(sources: &Sources, output: &Output, args: &UnsetArgs) -> Result<(), CliError> {
    let path = sources.path();
    let key = Setting::canonical(&args.key);
    if unset_in_file(&path, &key)? {
        output.say(format!("{key} is no longer set in {}.", path.display()));
        Ok(())
    } else {
        Err(CliError::new(ErrorKind::NotFound, format!("{key} is not set in {}", path.display())))
    }
}

fn get(sources: &Sources, output: &Output, args: &GetArgs) -> Result<(), CliError> {
    let key = Setting::canonical(&args.key);
    let Some(setting) = Setting::find(&key) else { return Err(unknown(&key)) };
    let layers = sources.layers()?;
    let Some(entry) = layers.get(&key) else {
        return Err(CliError::new(ErrorKind::NotFound, format!("{key} has no value"))
            .hint(format!("set it with `eve config set {key} VALUE`")));
    };
    let value = if args.reveal { entry.value.clone() } else { masked(setting, &entry.value) };
    match output.format {
        Format::Json | Format::Jsonl => output.json(&value),
        Format::Table => output.line(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    }
}

fn list(sources: &Sources, output: &Output) -> Result<(), CliError> {
    let layers = sources.layers()?;
    let shown: toml::Table = layers
        .iter()
        .filter_map(|(key, entry)| Some((key.to_owned(), masked(Setting::find(key)?, &entry.value))))
        .collect();
    match output.format {
        Format::Json | Format::Jsonl => output.json(&shown),
        Format::Table => shown.iter().try_for_each(|(key, value)| output.line(format!("{key} = {value}"))),
    }
}

/// A setting as `explain` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    key: String,
    value: Option<Value>,
    origin: Option<String>,
    doc: &'static str,
}

fn explain(sources: &Sources, output: &Output, only: Option<&str>) -> Result<(), CliError> {
    let only = only.map(Setting::canonical);
    let mut explained = explained(&sources.layers()?);
    if let Some(only) = &only {
        if Setting::find(only).is_none() && !Setting::is_section(only) {
            return Err(unknown(only));
        }
        let section = format!("{only}.");
        explained.retain(|setting| setting.key == *only || setting.key.starts_with(&section));
    }
    match output.format {
        Format::Json => output.json(&explained),
        Format::Jsonl => explained.iter().try_for_each(|setting| output.json(setting)),
        Format::Table => output.raw(&text(&explained, output.stdout.paint)),
    }
}

/// Every setting in the order of the list; those of harnesses once for each harness that has any.
fn explained(layers: &Layers) -> Vec<Explained> {
    let mut harnesses: Vec<&str> =
        layers.iter().filter_map(|(key, _)| key.strip_prefix("harness.")?.split('.').next()).collect();
    harnesses.dedup();
    let mut explained = Vec::new();
    for setting in SETTINGS {
        let keys = match setting.key.contains('*') {
            true => harnesses.iter().map(|name| setting.key.replace('*', name)).collect(),
            false => vec![setting.key.to_owned()],
        };
        for key in keys {
            let entry = layers.get(&key);
            explained.push(Explained {
                value: entry.map(|entry| masked(setting, &entry.value)),
                origin: entry.map(|entry| entry.origin.to_string()),
                doc: setting.doc,
                key,
            });
        }
    }
    explained
}

/// The settings as TOML with comments, so that it can be pasted into a file.
fn text(explained: &[Explained], paint: Paint) -> String {
    let mut text = String::new();
    for setting in explained {
        text.push_str(&paint.apply(Style::Faint, &format!("# {}", setting.doc)));
        text.push('\n');
        match (&setting.value, &setting.origin) {
            (Some(value), Some(origin)) => {
                let key = paint.apply(Style::Strong, &setting.key);
                let origin = paint.apply(Style::Accent, &format!("# {origin}"));
                text.push_str(&format!("{key} = {value}  {origin}\n\n"));
            }
            _ => text.push_str(&format!("# {} is not set\n\n", setting.key)),
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn masked(setting: &Setting, value: &Value) -> Value {
    match setting.kind {
        Kind::Secret => Value::String(MASK.to_owned()),
        // Variables for agents are often keys.
        Kind::Map => value.as_table().map_or_else(
            || value.clone(),
            |entries| entries.keys().map(|name| (name.clone(), MASK.into())).collect::<toml::Table>().into(),
        ),
        _ => value.clone(),
    }
}
