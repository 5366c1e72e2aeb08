//! Settings that depend on the host: directories, a server that runs here, and its key.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Value;

use super::layer::Layers;
use super::layer::Origin;
use super::read_if_there;
use crate::error::CliError;
use crate::error::ErrorKind;

/// Written by `eve up` into the data directory: where it listens.
pub(crate) const SERVER_FILE: &str = "server.json";

/// Written by `eve up` into the data directory: a key of the first organization's owner.
pub(crate) const KEY_FILE: &str = "api-key";

/// The data directory of an Eve that runs as root.
const SYSTEM_DATA_DIR: &str = "/var/lib/eve";

/// The protocols that harnesses with these names speak when nothing is said.
const KNOWN_HARNESSES: &[(&str, &str)] = &[("claude", "claude-code"), ("codex", "codex"), ("command", "command")];

/// What is asked of the host, as data.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Whether the process runs as root.
    pub(crate) is_root: bool,
    /// Where users' configuration is kept.
    pub(crate) config_home: PathBuf,
    /// Where users' data is kept.
    pub(crate) data_home: PathBuf,
}

/// The part of the server file that is read.
#[derive(Deserialize)]
struct ServerFile {
    url: String,
}

impl Host {
    /// This host, as this process sees it.
    pub(crate) fn this() -> Self {
        let directory =
            |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = directory("HOME").unwrap_or_else(|| PathBuf::from("/"));
        Self {
            is_root: nix::unistd::geteuid().is_root(),
            config_home: directory("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            data_home: directory("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local").join("share")),
        }
    }

    /// Fills in what no layer says.
    pub(crate) fn complete(&self, layers: &mut Layers) -> Result<(), CliError> {
        let data_dir = self.data_dir(layers)?;
        if layers.get("postgres.runtime_dir").is_none() {
            // One download for all data directories of a user: it is a program, not data.
            let runtime_dir = self.usual_data_dir().join("runtime");
            layers.set("postgres.runtime_dir", text(&runtime_dir), Origin::Default);
        }
        find_server(&data_dir, layers)?;
        find_key(&data_dir, layers);
        name_protocols(layers)
    }

    fn data_dir(&self, layers: &mut Layers) -> Result<PathBuf, CliError> {
        if let Some(entry) = layers.get("data_dir") {
            let given = PathBuf::from(entry.value.as_str().unwrap_or_default());
            let origin = entry.origin.clone();
            let path = std::path::absolute(&given)?;
            layers.set("data_dir", text(&path), origin);
            return Ok(path);
        }
        let path = self.usual_data_dir();
        layers.set("data_dir", text(&path), Origin::Default);
        Ok(path)
    }

    fn usual_data_dir(&self) -> PathBuf {
        if self.is_root { PathBuf::from(SYSTEM_DATA_DIR) } else { self.data_home.join("eve") }
    }
}

fn text(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

/// A server that runs on this host wrote down where; that beats the built-in address and nothing else.
fn find_server(data_dir: &Path, layers: &mut Layers) -> Result<(), CliError> {
    if layers.get("api_url").is_some_and(|entry| entry.origin != Origin::Default) {
        return Ok(());
    }
    let path = data_dir.join(SERVER_FILE);
    // Not to be allowed to look into a data directory is like not having one.
    let Ok(Some(content)) = read_if_there(&path) else { return Ok(()) };
    let place = path.display().to_string();
    let file: ServerFile = serde_json::from_str(&content).map_err(|error| {
        CliError::caused(ErrorKind::Failed, format!("{place} is damaged"), error)
            .hint("remove it, or start `eve up`, which writes it anew")
    })?;
    layers.set("api_url", Value::String(file.url), Origin::Found(place));
    Ok(())
}

/// The key that `eve up` made is for the server on this host, and is shown to no other.
fn find_key(data_dir: &Path, layers: &mut Layers) {
    let is_here = layers.get("api_url").is_some_and(|entry| match entry.origin {
        Origin::Default | Origin::Found(_) => true,
        Origin::File(_) | Origin::Variable(_) | Origin::Flag(_) => entry.value.as_str().is_some_and(is_loopback),
    });
    if layers.get("api_key").is_some() || !is_here {
        return;
    }
    let path = data_dir.join(KEY_FILE);
    if let Ok(Some(content)) = read_if_there(&path)
        && !content.trim().is_empty()
    {
        layers.set("api_key", Value::String(content.trim().to_owned()), Origin::Found(path.display().to_string()));
    }
}

/// Whether an address is this host's own.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

fn name_protocols(layers: &mut Layers) -> Result<(), CliError> {
    let harnesses: Vec<(String, Origin)> = layers
        .iter()
        .filter_map(|(key, entry)| Some((key.strip_prefix("harness.")?.split('.').next()?, entry)))
        .map(|(name, entry)| (name.to_owned(), entry.origin.clone()))
        .collect();
    for (name, origin) in harnesses {
        let key = format!("harness.{name}.kind");
        if layers.get(&key).is_some() {
            continue;
        }
        let Some((_, kind)) = KNOWN_HARNESSES.iter().find(|(known, _)| *known == name) else {
            return Err(CliError::usage(format!("{origin}: the harness `{name}` needs a `kind`"))
                .hint(format!("add kind = \"claude-code\", \"codex\" or \"command\" to [harness.{name}]")));
        };
        layers.set(key, Value::String((*kind).to_owned()), Origin::Default);
    }
    Ok(())
}
