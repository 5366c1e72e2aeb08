//! `cargo xtask sqlx`: what is generated from the migrations and the queries.
//!
//! The offline query cache lets everybody build without a database; the golden schema lets a reviewer see what a
//! migration does to the whole. Both come from one throw-away PostgreSQL, and appear in the tree only once all of it
//! worked.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use anyhow::Result;

use crate::cli::Mode;
use crate::postgres::Postgres;
use crate::process;
use crate::schema;
use crate::workspace::Workspace;

const MIGRATIONS: &str = "crates/eve-store/migrations";
const CACHE: &str = ".sqlx";
const SCHEMA: &str = "crates/eve-store/schema.sql";

/// Whatever is newer than its build is built again, and with it every query.
const REBUILT: &str = "crates/eve-store/src/lib.rs";

/// The database and its roles, as eve-store makes them (cluster/roles.rs) but without passwords.
const DATABASE: &str = "eve";
const OWNER: &str = "eve_owner";
const SETUP: &[&str] = &[
    "CREATE ROLE eve_owner LOGIN",
    "CREATE ROLE eve_service LOGIN NOINHERIT",
    "CREATE ROLE eve_platform NOLOGIN",
    "GRANT eve_platform TO eve_service",
    "CREATE DATABASE eve OWNER eve_owner",
    "REVOKE ALL ON DATABASE eve FROM PUBLIC",
    "GRANT CONNECT ON DATABASE eve TO eve_service",
];

/// How a migration says that it must not run in a transaction; sqlx's own convention.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Files by their path relative to the root.
type Files = BTreeMap<String, String>;

/// Generates, then writes or compares.
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result<bool> {
    let generated = generate(workspace)?;
    let committed = committed(&workspace.root)?;
    let differences = differences(&committed, &generated);
    let mut out = io::stdout().lock();
    if mode == Mode::Check {
        for (path, difference) in &differences {
            writeln!(out, "{path}: error[sqlx]: {}; run `cargo xtask sqlx`", difference.as_finding())?;
        }
        writeln!(out, "sqlx: {} files, {} differ", generated.len(), differences.len())?;
        return Ok(differences.is_empty());
    }
    fs::create_dir_all(workspace.root.join(CACHE)).with_context(|| format!("cannot make {CACHE}"))?;
    for (path, difference) in &differences {
        let file = workspace.root.join(path);
        match generated.get(*path) {
            Some(text) => fs::write(&file, text),
            None => fs::remove_file(&file),
        }
        .with_context(|| format!("cannot change {path}"))?;
        writeln!(out, "{path}: {}", difference.as_deed())?;
    }
    writeln!(out, "sqlx: {} files, {} changed", generated.len(), differences.len())?;
    Ok(true)
}

fn generate(workspace: &Workspace) -> Result<Files> {
    let postgres = Postgres::start()?;
    for statement in SETUP {
        postgres.admin(statement)?;
    }
    for path in migrations(&workspace.root.join(MIGRATIONS))? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        postgres.file(OWNER, DATABASE, &path, !text.starts_with(NO_TRANSACTION))?;
    }
    let mut files = cache(workspace, &postgres)?;
    files.insert(SCHEMA.to_owned(), schema::normalise(&postgres.dump(DATABASE, "eve")?));
    Ok(files)
}

fn migrations(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    Ok(paths)
}

/// Builds the store against the database; its macros leave a description of each query in a directory.
fn cache(workspace: &Workspace, postgres: &Postgres) -> Result<Files> {
    let directory = workspace.target.join("xtask").join(format!("sqlx-{}", std::process::id()));
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let files = build(workspace, postgres, &directory).and_then(|()| read_cache(&directory));
    let _ = fs::remove_dir_all(&directory);
    files
}

fn build(workspace: &Workspace, postgres: &Postgres, directory: &Path) -> Result<()> {
    let rebuilt = File::options().append(true).open(workspace.root.join(REBUILT));
    rebuilt.and_then(|file| file.set_modified(SystemTime::now())).with_context(|| format!("cannot touch {REBUILT}"))?;
    let mut check = workspace.cargo(&["check", "--quiet", "--package", "eve-store"]);
    check.env("EVE_BUILD_DATABASE_URL", postgres.url(OWNER, DATABASE));
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", directory);
    process::run(&mut check)
}

/// The cache in a directory, under the names that it has in the tree.
fn read_cache(directory: &Path) -> Result<Files> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(Files::new()) };
    let mut files = Files::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(format!("{CACHE}/{name}"), format!("{}\n", text.trim_end()));
        }
    }
    Ok(files)
}

fn committed(root: &Path) -> Result<Files> {
    let mut files = read_cache(&root.join(CACHE))?;
    if let Ok(text) = fs::read_to_string(root.join(SCHEMA)) {
        files.insert(SCHEMA.to_owned(), text);
    }
    Ok(files)
}

/// How a committed file differs from the generated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Missing,
    Stale,
    Left,
}

impl Difference {
    fn as_finding(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Stale => "is not what would be generated",
            Self::Left => "belongs to no query any more",
        }
    }

    fn as_deed(self) -> &'static str {
        match self {
            Self::Missing => "added",
            Self::Stale => "changed",
            Self::Left => "removed",
        }
    }
}

fn differences<'a>(committed: &'a Files, generated: &'a Files) -> BTreeMap<&'a str, Difference> {
    let mut differences = BTreeMap::new();
    for (path, text) in generated {
        match committed.get(path) {
            None => differences.insert(path.as_str(), Difference::Missing),
            Some(found) if found != text => differences.insert(path, Difference::Stale),
            Some(_) => continue,
        };
    }
    differences.extend(
        committed.keys().filter(|path| !generated.contains_key(*path)).map(|path| (path.as_str(), Difference::Left)),
    );
    differences
}

#[cfg(test)]
mod tests;
