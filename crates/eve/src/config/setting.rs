//! The list of settings: each with its key, its kind and one sentence of documentation.
//!
//! The list is what files, variables and flags are checked against, what `eve config` shows, and where suggestions
//! for mistyped keys come from. A test holds it together with the typed [`Config`](super::Config).

use std::net::SocketAddr;

use toml::Value;

/// Stands for any name in a key: `harness.*.program`.
const ANY: &str = "*";

/// How alike a mistyped key must be to suggest another.
const LIKENESS: f64 = 0.6;

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text that is masked when shown.
    Secret,
    /// The address of an HTTP server.
    Url,
    /// A host's address and a port.
    Address,
    /// A whole number within these limits.
    Count(i64, i64),
    /// Yes or no.
    Switch,
    /// A list of texts.
    List,
    /// A table of texts.
    Map,
    /// A table of whole numbers within these limits.
    Counts(i64, i64),
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Its dotted key.
    pub(crate) key: &'static str,
    /// What values it takes.
    pub(crate) kind: Kind,
    /// What it is for.
    pub(crate) doc: &'static str,
}

const fn setting(key: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting { key, kind, doc }
}

/// Longest time in days that anything is kept.
const DAYS: Kind = Kind::Count(1, 36_500);

/// A table of concurrency limits by name.
const LIMITS: Kind = Kind::Counts(0, 1_000_000);

/// Every setting, in the order in which they are shown.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("api_url", Kind::Url, "Where the API answers; found in <data_dir>/server.json when `eve up` runs here."),
    setting(
        "api_key",
        Kind::Secret,
        "The key that commands use; the content of <data_dir>/api-key when `eve up` made one.",
    ),
    setting("data_dir", Kind::Text, "Where Eve keeps its database, its keys and its files on this host."),
    setting(
        "output",
        Kind::Choice(&["table", "json", "jsonl"]),
        "How data is printed: for people, as JSON, or as JSON lines.",
    ),
    setting("server.listen", Kind::Address, "The address and port that the server listens on."),
    setting("server.database_url", Kind::Secret, "The PostgreSQL to use instead of the embedded one, as postgres://…"),
    setting(
        "server.migrate_database_url",
        Kind::Secret,
        "The same database with a role that owns the schema, for migrations only.",
    ),
    setting("server.log_format", Kind::Choice(&["text", "json"]), "How the server and the worker write their logs."),
    setting(
        "server.lease_seconds",
        Kind::Count(3, 3600),
        "How long a worker may be silent before its work is given to another.",
    ),
    setting("server.token_ttl_seconds", Kind::Count(60, 86_400), "How long a token counts after it was issued."),
    setting(
        "postgres.bin_dir",
        Kind::Text,
        "Where PostgreSQL's programs are; searched in the usual places when not set.",
    ),
    setting(
        "postgres.runtime_dir",
        Kind::Text,
        "Where Eve's own PostgreSQL is, or goes after a download; `runtime` in the usual data directory when not set.",
    ),
    setting("postgres.user", Kind::Text, "The system user that the embedded PostgreSQL runs as when Eve runs as root."),
    setting("worker.server_url", Kind::Url, "The server that `eve worker` takes work from."),
    setting("worker.key_file", Kind::Text, "The file with the key that `eve worker` shows to the server."),
    setting("worker.types", Kind::List, "The worker types that are served; `*` stands for all."),
    setting("worker.slots", Kind::Count(1, 1024), "How many agents the worker runs at once."),
    setting("worker.account", Kind::Text, "The account that the agents are signed in with, for concurrency limits."),
    setting(
        "worker.allow_local_repositories",
        Kind::Switch,
        "Whether requests may name repositories by a path on the worker's host.",
    ),
    setting(
        "queue.ageing_minutes",
        Kind::Count(0, 10_080),
        "Waiting that makes a request one level more urgent; 0 for never.",
    ),
    setting(
        "limits.worker_types",
        LIMITS,
        "How many attempts of a worker type run at once, in all organizations together.",
    ),
    setting(
        "limits.services",
        LIMITS,
        "How many attempts run at once with an agent that requests or worker types name.",
    ),
    setting("limits.accounts", LIMITS, "How many attempts run at once on an account that `worker.account` names."),
    setting("retention.requests_days", DAYS, "How many days finished requests and their results are kept."),
    setting("retention.logs_days", DAYS, "How many days the logs of finished requests are kept."),
    setting("retention.events_days", DAYS, "How many days events are kept."),
    setting(
        "harness.*.kind",
        Kind::Choice(&["claude-code", "codex", "command"]),
        "The protocol that this agent's program speaks.",
    ),
    setting("harness.*.program", Kind::Text, "The agent's program: a name on the PATH, or an absolute path."),
    setting("harness.*.env", Kind::Map, "Variables that are set for this agent."),
    setting("harness.*.pass_env", Kind::List, "Names of the worker's own variables that this agent may see."),
    setting(
        "harness.*.gateway_url",
        Kind::Url,
        "Where this agent reaches its model, instead of the provider's own address.",
    ),
];

impl Setting {
    /// The setting that a key names; `-` may stand for `_` in all but a harness's name.
    pub(crate) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.matches(key))
    }

    fn matches(&self, key: &str) -> bool {
        let mut mine = self.key.split('.');
        let mut given = key.split('.');
        loop {
            match (mine.next(), given.next()) {
                (None, None) => return true,
                (Some(ANY), Some(name)) if !name.is_empty() => {}
                (Some(mine), Some(given)) if mine == given => {}
                _ => return false,
            }
        }
    }

    /// Whether the key names a section, such as `server` or `harness.claude`.
    pub(crate) fn is_section(key: &str) -> bool {
        let depth = key.split('.').count();
        SETTINGS.iter().any(|setting| {
            let parts: Vec<&str> = setting.key.split('.').collect();
            parts.len() > depth && parts.iter().zip(key.split('.')).all(|(mine, given)| *mine == ANY || *mine == given)
        })
    }

    /// The key in the form of this list: `worker.allow-local-repositories` becomes `worker.allow_local_repositories`.
    pub(crate) fn canonical(key: &str) -> String {
        match key.split_once('.') {
            Some(("harness", rest)) => match rest.rsplit_once('.') {
                Some((name, field)) => format!("harness.{name}.{}", field.replace('-', "_")),
                None => key.to_owned(),
            },
            _ => key.replace('-', "_"),
        }
    }

    /// The known key or section that is most like this one.
    pub(crate) fn nearest(key: &str) -> Option<String> {
        let name = key.strip_prefix("harness.").and_then(|rest| rest.split('.').next()).unwrap_or("NAME");
        let likeness = |candidate: &str| {
            let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
            let whole = strsim::normalized_damerau_levenshtein(candidate, key);
            // `lisen` at the top level is meant for `server.listen`.
            let end = strsim::normalized_damerau_levenshtein(&last(candidate), &last(key));
            whole.max(end * 0.9)
        };
        let sections = SETTINGS.iter().filter_map(|setting| setting.key.split_once('.')).map(|(section, _)| section);
        SETTINGS
            .iter()
            .map(|setting| setting.key.replace(ANY, name))
            .chain(sections.map(str::to_owned))
            .map(|candidate| (likeness(&candidate), candidate))
            .filter(|(score, _)| *score >= LIKENESS)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, candidate)| candidate)
    }
}

impl Kind {
    /// Says what is wrong with a value, or nothing.
    pub(crate) fn check(self, value: &Value) -> Result<(), String> {
        let right = match (self, value) {
            (Self::Text | Self::Secret, Value::String(text)) => !text.is_empty(),
            (Self::Url, Value::String(text)) => is_http_url(text),
            (Self::Address, Value::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::Count(least, most), Value::Integer(number)) => (least..=most).contains(number),
            (Self::Switch, Value::Boolean(_)) => true,
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_str),
            (Self::Map, Value::Table(entries)) => entries.values().all(Value::is_str),
            (Self::Counts(least, most), Value::Table(entries)) => return check_counts(least, most, entries),
            (Self::Choice(choices), Value::String(text)) => choices.contains(&text.as_str()),
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("expected {}, found {}", self.expects(), found(self, value))) }
    }

    /// Reads a value from a variable, a flag or `eve config set`.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        let as_text = || Value::String(text.to_owned());
        let value = match self {
            Self::Text | Self::Secret | Self::Url | Self::Address | Self::Choice(_) => as_text(),
            Self::Count(..) => text.trim().parse().map_or_else(|_| as_text(), Value::Integer),
            Self::Switch => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Value::Boolean(true),
                "false" | "no" | "off" | "0" => Value::Boolean(false),
                _ => as_text(),
            },
            Self::List => parts(text).map(|part| Value::String(part.to_owned())).collect::<Vec<_>>().into(),
            Self::Map => pairs(text)
                .map(|pair| pair.map(|(name, value)| (name, Value::String(value))))
                .collect::<Result<toml::Table, _>>()?
                .into(),
            Self::Counts(..) => pairs(text)
                .map(|pair| {
                    pair.map(|(name, value)| (name, value.parse().map_or(Value::String(value), Value::Integer)))
                })
                .collect::<Result<toml::Table, _>>()?
                .into(),
        };
        self.check(&value)?;
        Ok(value)
    }

    fn expects(self) -> String {
        match self {
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Url => "an address that starts with http:// or https://".to_owned(),
            Self::Address => "an IP address and a port such as 127.0.0.1:7117".to_owned(),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Switch => "true or false".to_owned(),
            Self::List => "a list of texts".to_owned(),
            Self::Map => "a table of texts".to_owned(),
            Self::Counts(least, most) => format!("a table of whole numbers from {least} to {most}"),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn pairs(text: &str) -> impl Iterator<Item = Result<(String, String), &'static str>> {
    parts(text).map(|part| {
        let (name, value) = part.split_once('=').ok_or("expected NAME=VALUE,NAME=VALUE")?;
        Ok((name.to_owned(), value.to_owned()))
    })
}

/// Says which entry is wrong: one number among many is hard to find.
fn check_counts(least: i64, most: i64, entries: &toml::Table) -> Result<(), String> {
    let kind = Kind::Count(least, most);
    entries.iter().try_for_each(|(name, value)| match name.is_empty() {
        true => Err("expected a name for each number, found an empty one".to_owned()),
        false => kind.check(value).map_err(|wrong| format!("`{name}`: {wrong}")),
    })
}

fn is_http_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn found(kind: Kind, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        // It may be a secret, only not of the right type.
        _ if kind == Kind::Secret => format!("a value of type {}", value.type_str()),
        Value::String(text) => format!("the text \"{text}\""),
        Value::Integer(number) => format!("the number {number}"),
        Value::Boolean(switch) => switch.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Float(_) | Value::Datetime(_) => format!("a {}", value.type_str()),
    }
}
