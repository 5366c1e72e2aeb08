//! The keys of an installation, in files that only its user can read, and where others find the server.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_store::Store;

use crate::error::CliError;
use crate::error::ErrorKind;

/// The owner's API key.
const API_KEY: &str = "api-key";
/// The key of workers.
const WORKER_KEY: &str = "worker-key";
/// Where the server answers.
const SERVER: &str = "server.json";

/// Where the keys are.
#[derive(Debug, Clone)]
pub(crate) struct KeyFiles {
    /// The file with the owner's API key.
    pub(crate) api_key: PathBuf,
    /// The file with the workers' key.
    pub(crate) worker_key: PathBuf,
}

impl KeyFiles {
    /// Makes the first organization and its keys, or uses those that are kept here.
    pub(crate) async fn ensure(data_dir: &Path, store: &Store) -> Result<Self, CliError> {
        std::fs::create_dir_all(data_dir)?;
        let files = Self { api_key: data_dir.join(API_KEY), worker_key: data_dir.join(WORKER_KEY) };
        let kept = BootstrapOptions { api_key: read(&files.api_key)?, worker_key: read(&files.worker_key)? };
        // Written before they count: a crash in between leaves keys that the next start enters.
        let keys = Bootstrap::prepare(kept);
        write_private(&files.api_key, &keys.api_key)?;
        write_private(&files.worker_key, &keys.worker_key)?;
        keys.enter(store).await.map_err(super::engine_error)?;
        Ok(files)
    }

    /// The API key.
    pub(crate) fn api_key(&self) -> Result<String, CliError> {
        Ok(read(&self.api_key)?.unwrap_or_default())
    }
}

fn read(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::caused(ErrorKind::Failed, format!("cannot read {}", path.display()), error)),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, content: &str) -> Result<(), CliError> {
    let failed =
        |error: std::io::Error| CliError::caused(ErrorKind::Failed, format!("cannot write {}", path.display()), error);
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

/// Tells commands on this host where the server answers, as long as it does.
pub(crate) struct Announced {
    path: PathBuf,
}

impl Announced {
    /// Writes the address next to the keys.
    pub(crate) fn new(data_dir: &Path, url: &str) -> Result<Self, CliError> {
        let path = data_dir.join(SERVER);
        let note = serde_json::json!({"url": url, "pid": std::process::id()});
        write_private(&path, &note.to_string())?;
        Ok(Self { path })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A stale note does no harm: commands say that nobody answers there.
        let _ = std::fs::remove_file(&self.path);
    }
}
