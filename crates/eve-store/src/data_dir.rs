//! Eve's data directory: making it, and making sure that one Eve at a time uses it.
//!
//! The lock is the kernel's (`flock`), so it vanishes with its holder, however that ended; a file left behind by a
//! killed Eve locks nothing. The file's content is a note for people: who holds the lock and where it listens. What
//! the directory contains belongs to others (`cluster` keeps PostgreSQL in it).

use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::fs::TryLockError;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

const LOCK_FILE: &str = "eve.lock";

/// Others may pass through to the parts that are theirs, but not look around.
const DATA_DIR_MODE: u32 = 0o711;

/// How much of a note is read back.
const NOTE_LIMIT: u64 = 1024;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another Eve holds the lock.
    #[error(
        "another Eve uses the data directory `{}` ({note}); stop it first, or choose another data directory",
        path.display()
    )]
    AlreadyRunning {
        /// The data directory.
        path: PathBuf,
        /// What the holder wrote about itself.
        note: String,
    },
    /// The file system said no.
    #[error("cannot use the data directory `{}`: {source}", path.display())]
    Io {
        /// The file or directory in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the data directory if it is missing. An existing one keeps its permissions.
///
/// # Errors
/// When the directory or one of its parents cannot be made.
pub fn create(data_dir: &Path) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io { path: data_dir.to_path_buf(), source };
    if data_dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DATA_DIR_MODE).create(data_dir).map_err(failed)?;
    // The umask took its share of the mode above.
    std::fs::set_permissions(data_dir, Permissions::from_mode(DATA_DIR_MODE)).map_err(failed)
}

/// The lock on a data directory, held for as long as this value lives.
#[derive(Debug)]
pub struct DataDirLock {
    path: PathBuf,
    file: File,
}

impl DataDirLock {
    /// Takes the lock, making the directory if needed, and leaves `note` for whoever comes second.
    ///
    /// # Errors
    /// [`DataDirError::AlreadyRunning`] with the holder's note when the lock is held, else what the system said.
    pub fn acquire(data_dir: &Path, note: &str) -> Result<Self, DataDirError> {
        create(data_dir)?;
        let path = data_dir.join(LOCK_FILE);
        let failed = |source| DataDirError::Io { path: path.clone(), source };
        // Not truncated: until the lock is ours, the content is somebody else's note.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                (&file).take(NOTE_LIMIT).read_to_string(&mut note).map_err(failed)?;
                let note = if note.trim().is_empty() { "it left no note".into() } else { note.trim().into() };
                return Err(DataDirError::AlreadyRunning { path: data_dir.to_path_buf(), note });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut lock = Self { path, file };
        lock.set_note(note)?;
        Ok(lock)
    }

    /// Replaces the note, for example once the address is known.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_note(&mut self, note: &str) -> Result<(), DataDirError> {
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(note.as_bytes())?;
            // Cut only now: a reader in between sees a long note rather than none.
            self.file.set_len(note.len() as u64)
        };
        write().map_err(|source| DataDirError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("deep/data");
        let mut lock = DataDirLock::acquire(&data_dir, "pid 41, not listening yet").unwrap();
        lock.set_note("pid 41, http://127.0.0.1:7070").unwrap();
        lock.set_note("pid 41, :7070").unwrap();

        let refused = DataDirLock::acquire(&data_dir, "pid 42").unwrap_err();
        let DataDirError::AlreadyRunning { note, .. } = &refused else { panic!("{refused}") };
        assert_eq!(note, "pid 41, :7070");
        assert!(refused.to_string().contains("stop it first"), "{refused}");

        drop(lock);
        DataDirLock::acquire(&data_dir, "pid 42").unwrap();
    }

    #[test]
    fn a_file_left_behind_locks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCK_FILE), "pid 41, killed long ago").unwrap();
        DataDirLock::acquire(dir.path(), "pid 42").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(LOCK_FILE)).unwrap(), "pid 42");
    }

    #[test]
    fn others_may_pass_through_a_new_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        create(&data_dir).unwrap();
        assert_eq!(std::fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, DATA_DIR_MODE);
    }
}
