//! Layers of settings: each value with where it comes from; later layers win.
//!
//! Every layer is checked against the list of settings when it is read, so that an error names the file and line,
//! the variable or the flag that is wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use toml::Table;
use toml::Value;
use toml::de::DeTable;

use super::setting::Setting;
use crate::error::CliError;
use crate::error::ErrorKind;

const DEFAULTS: &str = include_str!("defaults.toml");

/// What every variable of Eve's starts with.
const PREFIX: &str = "EVE_";

/// Variables that an agent gets from Eve: they are data, not settings.
const CONTEXT_PREFIX: &str = "EVE_CONTEXT";

/// Other names for settings, each weaker than the setting's own variable.
const ALIASES: &[(&str, &str)] = &[("DATABASE_URL", "server.database_url")];

/// How alike a variable must be to a known one to count as mistyped; others belong to somebody else.
const VARIABLE_LIKENESS: f64 = 0.85;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// Found on this host, for this reason or in this file.
    Found(String),
    /// The configuration file.
    File(PathBuf),
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Found(place) => write!(f, "found: {place}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The value, of the kind that its setting asks for.
    pub(crate) value: Value,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// A flag that sets a setting: the setting's key, the flag's name, and what was given.
#[derive(Debug, Clone)]
pub(crate) struct FlagValue {
    /// The setting's key.
    pub(crate) key: &'static str,
    /// The flag.
    pub(crate) flag: &'static str,
    /// What was given.
    pub(crate) text: String,
}

/// All layers, merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    entries: BTreeMap<String, Entry>,
}

impl Layers {
    /// The value of a setting that has one.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All values by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Sets a value, over whatever was there.
    pub(crate) fn set(&mut self, key: impl Into<String>, value: Value, origin: Origin) {
        self.entries.insert(key.into(), Entry { value, origin });
    }

    /// The values as one nested table.
    pub(crate) fn to_table(&self) -> Table {
        let mut root = Table::new();
        for (key, entry) in &self.entries {
            insert(&mut root, key, entry.value.clone());
        }
        root
    }

    /// Adds the built-in layer.
    pub(crate) fn add_defaults(&mut self) -> Result<(), CliError> {
        self.add_text(DEFAULTS, &Origin::Default)
    }

    /// Adds a file's text.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) -> Result<(), CliError> {
        self.add_text(text, &Origin::File(path.to_path_buf()))
    }

    fn add_text(&mut self, text: &str, origin: &Origin) -> Result<(), CliError> {
        let place = |offset: usize| match origin {
            Origin::File(path) => format!("{}:{}", path.display(), line_of(text, offset)),
            other => other.to_string(),
        };
        let bad_toml = |error: &toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            CliError::usage(format!("{}: {}", place(offset), error.message()))
        };
        let spans = DeTable::parse(text).map_err(|error| bad_toml(&error))?;
        let values: Table = toml::from_str(text).map_err(|error| bad_toml(&error))?;
        self.add_table("", spans.get_ref(), &values, origin, &place)
    }

    fn add_table(
        &mut self,
        prefix: &str,
        spans: &DeTable<'_>,
        values: &Table,
        origin: &Origin,
        place: &dyn Fn(usize) -> String,
    ) -> Result<(), CliError> {
        for (name, span) in spans {
            let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
            let key = join(prefix, name.get_ref());
            let at = place(name.span().start);
            if let Some(setting) = Setting::find(&key) {
                setting.kind.check(value).map_err(|wrong| CliError::usage(format!("{at}: `{key}`: {wrong}")))?;
                self.set(key, value.clone(), origin.clone());
                continue;
            }
            match (span.get_ref().as_table(), value.as_table()) {
                (Some(spans), Some(values)) if Setting::is_section(&key) => {
                    self.add_table(&key, spans, values, origin, place)?;
                }
                _ if Setting::is_section(&key) => {
                    return Err(CliError::usage(format!(
                        "{at}: `{key}` is a section: write [{key}] above its settings"
                    )));
                }
                _ => return Err(unknown_at(&at, &key)),
            }
        }
        Ok(())
    }

    /// Adds the environment. Variables of others are left alone; mistyped ones of Eve's are errors.
    pub(crate) fn add_environment(&mut self, variables: &[(OsString, OsString)]) -> Result<(), CliError> {
        let mut named: BTreeMap<&str, &OsString> = BTreeMap::new();
        for (name, value) in variables {
            if let Some(name) = name.to_str()
                && !value.is_empty()
            {
                named.insert(name, value);
            }
        }
        for (name, key) in ALIASES {
            if let Some(value) = named.get(name) {
                self.add_variable(name, key, value)?;
            }
        }
        for (name, value) in named {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if name.starts_with(CONTEXT_PREFIX) {
                continue;
            }
            let key = rest.to_ascii_lowercase().replace("__", ".");
            if Setting::find(&key).is_some() {
                self.add_variable(name, &key, value)?;
            } else if key.contains('.') || is_mistyped(&key) {
                return Err(unknown_variable(name, &key));
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, name: &str, key: &str, value: &OsString) -> Result<(), CliError> {
        let text = value.to_str().ok_or_else(|| CliError::usage(format!("variable {name}: the value is not UTF-8")))?;
        self.add_parsed(key, text, Origin::Variable(name.to_owned()))
    }

    /// Adds the flags.
    pub(crate) fn add_flags(&mut self, flags: &[FlagValue]) -> Result<(), CliError> {
        flags.iter().try_for_each(|flag| self.add_parsed(flag.key, &flag.text, Origin::Flag(flag.flag.to_owned())))
    }

    fn add_parsed(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), CliError> {
        let Some(setting) = Setting::find(key) else {
            return Err(CliError::new(ErrorKind::Failed, format!("{origin}: there is no setting `{key}`")));
        };
        let value = setting.kind.parse(text).map_err(|wrong| CliError::usage(format!("{origin}: `{key}`: {wrong}")))?;
        self.set(key, value, origin);
        Ok(())
    }
}

/// The error for a key that nobody knows, where nothing needs to be said about the place.
pub(crate) fn unknown(key: &str) -> CliError {
    let error = CliError::usage(format!("there is no setting `{key}`"));
    match Setting::nearest(key) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error.hint("`eve config explain` shows all settings"),
    }
}

fn unknown_at(place: &str, key: &str) -> CliError {
    let error = unknown(key);
    CliError::usage(format!("{place}: {error}")).hints(error.hints)
}

fn unknown_variable(name: &str, key: &str) -> CliError {
    let error = CliError::usage(format!("variable {name}: there is no setting `{key}`"));
    match Setting::nearest(key) {
        Some(nearest) => {
            error.hint(format!("did you mean {PREFIX}{}?", nearest.replace('.', "__").to_ascii_uppercase()))
        }
        None => error.hint("`eve config explain` shows all settings"),
    }
}

fn is_mistyped(key: &str) -> bool {
    super::setting::SETTINGS
        .iter()
        .filter(|setting| !setting.key.contains('.'))
        .any(|setting| strsim::normalized_damerau_levenshtein(setting.key, key) >= VARIABLE_LIKENESS)
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
