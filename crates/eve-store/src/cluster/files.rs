//! Where the cluster keeps what, and files that are whole even after a power cut.
//!
//! Everything Eve writes lies in directories that belong to Eve. The server's user owns two directories and nothing
//! above them, so what it puts there cannot lead a privileged Eve astray.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

/// At a start, a larger log becomes `postgres.log.1` and replaces the one before.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// How much of the end of the log goes into an error message.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 8;

/// The paths of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Eve's part: settings, the record, and the two directories of the server.
    pub(super) root: PathBuf,
    /// The server's data directory.
    pub(super) data: PathBuf,
    /// The socket's directory, unless its path is too long.
    pub(super) run: PathBuf,
    pub(super) config: PathBuf,
    /// Settings of the operator, read after Eve's own.
    pub(super) local_config: PathBuf,
    pub(super) hba: PathBuf,
    pub(super) record: PathBuf,
    pub(super) credentials: PathBuf,
    pub(super) log: PathBuf,
}

impl Layout {
    pub(super) fn new(data_dir: &Path) -> Self {
        let root = data_dir.join("postgres");
        Self {
            data: root.join("data"),
            run: root.join("run"),
            config: root.join("postgresql.conf"),
            local_config: root.join("local.conf"),
            hba: root.join("pg_hba.conf"),
            record: root.join("cluster.json"),
            credentials: data_dir.join("postgres-credentials.json"),
            log: data_dir.join("postgres.log"),
            root,
        }
    }

    /// The major version that made the data, or `None` before the first `initdb` has finished.
    pub(super) fn major(&self) -> io::Result<Option<u32>> {
        match fs::read_to_string(self.data.join("PG_VERSION")) {
            Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Replaces a file in one step, and has it on the disk before returning.
pub(super) fn write_durably(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Makes renames in a directory last.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Opens the log for appending and tells its length, after moving one that has grown too large out of the way.
pub(super) fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, old)?;
    }
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The last lines written to the log since it was `from` bytes long.
pub(super) fn log_tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let start = from.max(file.metadata()?.len().saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_or_else(|error| format!("(the log cannot be read: {error})"), |text| last_lines(&text))
}

/// The last lines of a program's output.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_too_large_is_moved_away_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("postgres.log");
        open_log(&log).unwrap().0.write_all(b"first").unwrap();
        open_log(&log).unwrap().0.write_all(b" second").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "first second");

        File::options().write(true).open(&log).unwrap().set_len(LOG_LIMIT + 1).unwrap();
        open_log(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert_eq!(fs::metadata(dir.path().join("postgres.log.1")).unwrap().len(), LOG_LIMIT + 1);
    }

    #[test]
    fn the_tail_begins_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("postgres.log");
        fs::write(&log, "an old FATAL\nnew line\n\nlast line\n").unwrap();
        assert_eq!(log_tail(&log, 13), "new line\nlast line");
        assert!(log_tail(&dir.path().join("none"), 0).starts_with("(the log cannot be read"));
    }

    #[test]
    fn a_durable_file_has_its_content_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_durably(&path, b"one", 0o644).unwrap();
        write_durably(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
