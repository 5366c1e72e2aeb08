//! Finding PostgreSQL on this machine.
//!
//! The order: the directory that the operator names; the product's own runtime folder, which also brings pgvector;
//! the same folder after a download ([`provision`](super::provision)); the newest PostgreSQL that the system has. A
//! database that exists already only accepts the major version that made it. Looking is [`plan`], which changes
//! nothing and is what `eve doctor` shows; acting on it is [`resolve`]. What to use for which data is decided by
//! a function without side effects, `decide`.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::files;
use super::provision;
use super::run;

/// The oldest major version that Eve's SQL runs on.
pub const OLDEST_MAJOR: u32 = 15;

/// Where Debian and its relatives keep the server, one directory for each major version.
pub(super) const SYSTEM_ROOT: &str = "/usr/lib/postgresql";

/// `postgres --version` reads no data and takes milliseconds.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// Tells the operator what happens, one short line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// A PostgreSQL version, as `postgres --version` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The part that the data depend on.
    pub major: u32,
    /// The part that may change freely.
    pub minor: u32,
}

impl Version {
    /// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` and `postgres (PostgreSQL) 19beta1`.
    fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let mut numbers = word.split(|letter: char| !letter.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = if word.contains('.') { numbers.next()?.parse().ok()? } else { 0 };
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Where a PostgreSQL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The operator named the directory.
    Explicit,
    /// The product's runtime folder.
    Runtime,
    /// The operating system.
    System,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "named by the configuration",
            Self::Runtime => "Eve's own",
            Self::System => "the system's",
        })
    }
}

/// A PostgreSQL that can run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where it comes from.
    pub source: Source,
    /// The directory with `postgres` and `initdb`.
    pub bin_dir: PathBuf,
    /// Its version.
    pub version: Version,
    /// Whether the pgvector extension is there.
    pub pgvector: bool,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pgvector = if self.pgvector { "with pgvector" } else { "without pgvector" };
        write!(f, "PostgreSQL {} {pgvector}, {}, in {}", self.version, self.source, self.bin_dir.display())
    }
}

/// Where to look, and for what.
#[derive(Debug, Clone)]
pub(super) struct Search<'a> {
    /// The operator's choice; nothing else is considered when it is set.
    pub pg_bin_dir: Option<&'a Path>,
    /// The directory of the product's runtime folders.
    pub runtime_dir: &'a Path,
    /// Usually [`SYSTEM_ROOT`].
    pub system_root: &'a Path,
    /// Whether the runtime folder may be downloaded.
    pub may_download: bool,
    /// The major version of the data that exist already.
    pub data_major: Option<u32>,
}

/// What a start would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Use what is there.
    Use(Installation),
    /// Download Eve's own PostgreSQL; should that fail, use the fallback.
    Download {
        /// What the system has.
        fallback: Option<Installation>,
    },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(installation) => installation.fmt(f),
            Self::Download { fallback: None } => {
                write!(f, "PostgreSQL {} with pgvector, to be downloaded", provision::VERSION)
            }
            Self::Download { fallback: Some(fallback) } => {
                write!(f, "PostgreSQL {} with pgvector, to be downloaded; else {fallback}", provision::VERSION)
            }
        }
    }
}

/// Why no PostgreSQL can be used.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// The operator's choice is no use, and second-guessing it would surprise.
    #[error(
        "cannot use the PostgreSQL in `{}`: {reason}; correct the setting, or remove it to let Eve look by herself",
        bin_dir.display()
    )]
    Explicit {
        /// The directory.
        bin_dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing was found.
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} or later on this machine:\n{}\n\
         next: `apt-get install postgresql`, or set DATABASE_URL to use a server elsewhere",
        list(tried)
    )]
    NothingFound {
        /// Where Eve looked and what it saw.
        tried: Vec<String>,
    },
    /// Something was found, but not for these data.
    #[error(
        "the database was made by PostgreSQL {major}, which is not on this machine any more:\n{}\n\
         next: `apt-get install postgresql-{major}`, or name its programs with \
         pg_bin_dir, or move the data with pg_upgrade",
        list(tried)
    )]
    WrongMajor {
        /// The version of the data.
        major: u32,
        /// Where Eve looked and what it saw.
        tried: Vec<String>,
    },
}

fn list(tried: &[String]) -> String {
    tried.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}

/// Looks, and decides, and changes nothing.
///
/// # Errors
/// When nothing on this machine fits and nothing may be downloaded.
pub(super) async fn plan(search: &Search<'_>) -> Result<Plan, BinariesError> {
    if let Some(bin_dir) = search.pg_bin_dir {
        return explicit(bin_dir, search.data_major).await.map(Plan::Use);
    }
    let mut seen = Seen::default();
    let runtime = provision::bin_dir(search.runtime_dir);
    seen.add(Source::Runtime, &runtime).await;
    let mut system: Vec<PathBuf> = std::fs::read_dir(search.system_root)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    system.sort();
    if system.is_empty() {
        seen.tried.push(format!("{}: no versions there", search.system_root.display()));
    }
    for bin_dir in system {
        seen.add(Source::System, &bin_dir).await;
    }
    let downloadable = search.may_download && provision::is_supported();
    if !downloadable {
        let why = if search.may_download { "none for this kind of machine" } else { "switched off" };
        seen.tried.push(format!("a download: {why}"));
    }
    match (decide(seen.found, search.data_major, downloadable), search.data_major) {
        (Some(plan), _) => Ok(plan),
        (None, Some(major)) => Err(BinariesError::WrongMajor { major, tried: seen.tried }),
        (None, None) => Err(BinariesError::NothingFound { tried: seen.tried }),
    }
}

/// Finds PostgreSQL, downloading Eve's own if that is the plan.
///
/// # Errors
/// When nothing on this machine fits and nothing can be downloaded.
pub(super) async fn resolve(search: &Search<'_>, progress: Progress<'_>) -> Result<Installation, BinariesError> {
    let fallback = match plan(search).await? {
        Plan::Use(installation) => return Ok(installation),
        Plan::Download { fallback } => fallback,
    };
    let failure = match provision::provision(search.runtime_dir, progress).await {
        Ok(()) => match inspect(Source::Runtime, &provision::bin_dir(search.runtime_dir)).await {
            Ok(installation) => return Ok(installation),
            Err(reason) => reason,
        },
        Err(error) => error.to_string(),
    };
    if let Some(fallback) = fallback {
        progress(&format!("no download ({}); using {fallback}", failure.replace('\n', "; ")));
        return Ok(fallback);
    }
    let tried =
        vec![format!("download of {}: {failure}", provision::PACKAGE), format!("{}", search.system_root.display())];
    Err(match search.data_major {
        Some(major) => BinariesError::WrongMajor { major, tried },
        None => BinariesError::NothingFound { tried },
    })
}

async fn explicit(bin_dir: &Path, data_major: Option<u32>) -> Result<Installation, BinariesError> {
    let refuse = |reason| BinariesError::Explicit { bin_dir: bin_dir.to_path_buf(), reason };
    let installation = inspect(Source::Explicit, bin_dir).await.map_err(refuse)?;
    match data_major {
        Some(major) if major != installation.version.major => {
            Err(refuse(format!("it is version {}, but the database was made by {major}", installation.version)))
        }
        _ => Ok(installation),
    }
}

#[derive(Default)]
struct Seen {
    found: Vec<Installation>,
    tried: Vec<String>,
}

impl Seen {
    async fn add(&mut self, source: Source, bin_dir: &Path) {
        match inspect(source, bin_dir).await {
            Ok(installation) => {
                self.tried.push(format!("{}: version {}", bin_dir.display(), installation.version));
                self.found.push(installation);
            }
            Err(reason) => self.tried.push(format!("{}: {reason}", bin_dir.display())),
        }
    }
}

/// Chooses among what was found: the runtime folder, else a download, else the newest of the system's.
fn decide(found: Vec<Installation>, data_major: Option<u32>, downloadable: bool) -> Option<Plan> {
    let fits = |major: u32| data_major.is_none_or(|wanted| wanted == major);
    let (own, system): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|installation| fits(installation.version.major))
        .partition(|installation| installation.source == Source::Runtime);
    if let Some(own) = own.into_iter().next() {
        return Some(Plan::Use(own));
    }
    let fallback = system.into_iter().max_by_key(|installation| installation.version);
    if downloadable && fits(provision::VERSION.major) {
        return Some(Plan::Download { fallback });
    }
    fallback.map(Plan::Use)
}

/// Looks at one directory; the error says what is wrong with it.
pub(super) async fn inspect(source: Source, bin_dir: &Path) -> Result<Installation, String> {
    for program in ["postgres", "initdb"] {
        if !bin_dir.join(program).is_file() {
            return Err(format!("no program `{program}` there"));
        }
    }
    let mut command = Command::new(bin_dir.join("postgres"));
    let output = run::output(command.arg("--version").env("LC_ALL", "C"), VERSION_LIMIT)
        .await
        .map_err(|error| format!("`postgres --version` failed: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(version) = Version::parse(&text).filter(|_| output.status.success()) else {
        let stderr = files::last_lines(&String::from_utf8_lossy(&output.stderr));
        return Err(format!("`postgres --version` failed: {} {stderr}", text.trim()));
    };
    if version.major < OLDEST_MAJOR {
        return Err(format!("version {version} is older than {OLDEST_MAJOR}"));
    }
    let pgvector = extension_dirs(bin_dir, version.major).iter().any(|dir| dir.join("vector.control").is_file());
    Ok(Installation { source, bin_dir: bin_dir.to_path_buf(), version, pgvector })
}

/// Where the extensions may be: beside `bin`, or where distributions move them. Links are followed, as PostgreSQL does.
fn extension_dirs(bin_dir: &Path, major: u32) -> Vec<PathBuf> {
    let real = bin_dir.join("postgres").canonicalize().ok();
    let bin_dir = real.as_deref().and_then(Path::parent).unwrap_or(bin_dir);
    let mut dirs = Vec::new();
    if let Some(prefix) = bin_dir.parent() {
        dirs.push(prefix.join("share/extension"));
        dirs.push(prefix.join("share/postgresql/extension"));
        dirs.push(prefix.join("share/pgsql/extension"));
        if prefix.starts_with(SYSTEM_ROOT) {
            dirs.push(PathBuf::from(format!("/usr/share/postgresql/{major}/extension")));
        }
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(source: Source, major: u32) -> Installation {
        Installation { source, bin_dir: PathBuf::from("/bin"), version: Version { major, minor: 1 }, pgvector: false }
    }

    #[test]
    fn versions_are_read_as_the_program_prints_them() {
        let parse = |text| Version::parse(text).map(|version| version.to_string());
        assert_eq!(parse("postgres (PostgreSQL) 18.6\n").as_deref(), Some("18.6"));
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").as_deref(), Some("15.18"));
        assert_eq!(parse("postgres (PostgreSQL) 19beta1").as_deref(), Some("19.0"));
        assert_eq!(parse("postgres (PostgreSQL) 9.6.24").as_deref(), Some("9.6"));
        assert_eq!(parse("no such file"), None);
    }

    #[test]
    fn the_own_one_comes_first_and_the_newest_of_the_system_last() {
        let own = installation(Source::Runtime, 18);
        let old = installation(Source::System, 15);
        let new = installation(Source::System, 17);
        let all = vec![new.clone(), old.clone(), own.clone()];
        assert_eq!(decide(all, None, true), Some(Plan::Use(own)));
        let system = vec![new.clone(), old];
        assert_eq!(decide(system.clone(), None, true), Some(Plan::Download { fallback: Some(new.clone()) }));
        assert_eq!(decide(system, None, false), Some(Plan::Use(new)));
        assert_eq!(decide(Vec::new(), None, true), Some(Plan::Download { fallback: None }));
        assert_eq!(decide(Vec::new(), None, false), None);
    }

    #[test]
    fn existing_data_decide_the_major_version() {
        let own = installation(Source::Runtime, 18);
        let old = installation(Source::System, 15);
        let all = vec![own.clone(), old.clone()];
        assert_eq!(decide(all.clone(), Some(15), true), Some(Plan::Use(old.clone())));
        assert_eq!(decide(all.clone(), Some(18), false), Some(Plan::Use(own)));
        assert_eq!(decide(all, Some(16), true), None);
        // Data of the downloadable version: downloading it again is the way, and the other version no fallback.
        assert_eq!(decide(vec![old], Some(18), true), Some(Plan::Download { fallback: None }));
    }

    #[tokio::test]
    async fn an_error_says_what_was_tried_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("system/14/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let mut search = Search {
            pg_bin_dir: None,
            runtime_dir: dir.path(),
            system_root: &dir.path().join("system"),
            may_download: false,
            data_major: None,
        };
        let message = plan(&search).await.unwrap_err().to_string();
        for part in
            ["system/14/bin: no program `postgres`", "switched off", "apt-get install postgresql", "DATABASE_URL"]
        {
            assert!(message.contains(part), "{message}");
        }
        search.data_major = Some(16);
        let message = plan(&search).await.unwrap_err().to_string();
        assert!(message.contains("apt-get install postgresql-16"), "{message}");
        search.pg_bin_dir = Some(&bin);
        let message = plan(&search).await.unwrap_err().to_string();
        assert!(message.contains("system/14/bin`: no program `postgres` there; correct the setting"), "{message}");
    }

    #[tokio::test]
    async fn a_fake_installation_is_described() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let bin = provision::bin_dir(dir.path());
        std::fs::create_dir_all(&bin).unwrap();
        let extensions = bin.parent().unwrap().join("share/extension");
        std::fs::create_dir_all(&extensions).unwrap();
        std::fs::write(extensions.join("vector.control"), "").unwrap();
        for program in ["postgres", "initdb"] {
            std::fs::write(bin.join(program), "#!/bin/sh\necho 'postgres (PostgreSQL) 18.6'\n").unwrap();
            std::fs::set_permissions(bin.join(program), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let search = Search {
            pg_bin_dir: None,
            runtime_dir: dir.path(),
            system_root: &dir.path().join("none"),
            may_download: true,
            data_major: None,
        };
        let plan = plan(&search).await.unwrap();
        let expected = format!("PostgreSQL 18.6 with pgvector, Eve's own, in {}", bin.display());
        assert_eq!(plan.to_string(), expected);
        assert_eq!(Plan::Use(resolve(&search, &|_| {}).await.unwrap()), plan);
    }
}
