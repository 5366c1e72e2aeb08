//! Changes one setting in the configuration file and keeps everything else, comments included.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::Table;

use super::layer::Layers;
use super::read_if_there;
use super::setting::Setting;
use super::unknown;
use crate::error::CliError;
use crate::error::ErrorKind;

/// The file may hold a key.
const FILE_MODE: u32 = 0o600;

/// Sets a setting in the file, which is made when it is missing.
pub(crate) fn set_in_file(path: &Path, key: &str, text: &str) -> Result<(), CliError> {
    let key = Setting::canonical(key);
    let Some(setting) = Setting::find(&key) else { return Err(unknown(&key)) };
    let value = setting.kind.parse(text).map_err(|wrong| CliError::usage(format!("`{key}`: {wrong}")))?;
    let value: Item = value.to_string().parse().map_err(|error: toml_edit::TomlError| anyhow::Error::from(error))?;
    let mut document = read(path)?;
    let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
    let mut table = document.as_table_mut();
    for part in section.split('.').filter(|part| !part.is_empty()) {
        let item = table.entry(part).or_insert_with(|| {
            let mut section = Table::new();
            // `[harness]` alone above `[harness.claude]` would be noise.
            section.set_implicit(true);
            Item::Table(section)
        });
        table = item
            .as_table_mut()
            .ok_or_else(|| CliError::usage(format!("{}: `{section}` is not a section", path.display())))?;
    }
    match table.get_mut(name) {
        Some(old) => {
            let decor = old.as_value().map(|value| value.decor().clone());
            *old = value;
            if let (Some(decor), Some(new)) = (decor, old.as_value_mut()) {
                *new.decor_mut() = decor;
            }
        }
        None => {
            table.insert(name, value);
        }
    }
    write(path, &document.to_string())
}

/// Takes a setting out of the file. Says whether it was there.
pub(crate) fn unset_in_file(path: &Path, key: &str) -> Result<bool, CliError> {
    let key = Setting::canonical(key);
    if Setting::find(&key).is_none() {
        return Err(unknown(&key));
    }
    let mut document = read(path)?;
    let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
    let mut table = Some(document.as_table_mut());
    for part in section.split('.').filter(|part| !part.is_empty()) {
        table = table.and_then(|table| table.get_mut(part)).and_then(Item::as_table_mut);
    }
    let removed = table.and_then(|table| table.remove(name)).is_some();
    if removed {
        write(path, &document.to_string())?;
    }
    Ok(removed)
}

fn read(path: &Path) -> Result<DocumentMut, CliError> {
    let text = read_if_there(path)?.unwrap_or_default();
    text.parse().map_err(|error: toml_edit::TomlError| {
        CliError::usage(format!("{}: {}", path.display(), error.message())).hint("mend the file by hand first")
    })
}

/// Replaces the file in one step, and only by one that can be loaded: a half-written configuration stops everything.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    Layers::default().add_file(path, text)?;
    let failed = |error| CliError::caused(ErrorKind::Failed, format!("cannot write {}", path.display()), error);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let fresh = path.with_extension(format!("toml.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&fresh)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}
