//! Eve's data directory: making it, and making sure that one Eve at a time uses it.
//!
//! The lock is the kernel's (`flock`), so it vanishes with its holder, however that ended; a file left behind by a
//! killed Eve locks nothing. Whoever takes the lock looks whether the file is still the one that has this name, since
//! a directory that nobody used may have been removed in between. The file's content is a note for people: who holds
//! the lock and where it listens. What the directory contains belongs to others (`cluster` keeps PostgreSQL in it).

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
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

const LOCK_FILE: &str = "eve.lock";

/// Others may pass through to the parts that are theirs, but not look around.
const DATA_DIR_MODE: u32 = 0o711;

/// How often a directory is made again that is removed while its lock is being taken.
const ATTEMPTS: u32 = 20;
/// What the name of a directory begins with that is being removed.
const GONE: &str = "gone-";

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
        for _ in 0..ATTEMPTS {
            if let Some(lock) = Self::try_acquire(data_dir, note)? {
                return Ok(lock);
            }
        }
        Err(DataDirError::Io { path: data_dir.to_path_buf(), source: io::ErrorKind::NotFound.into() })
    }

    /// Nothing if somebody removed the directory meanwhile.
    fn try_acquire(data_dir: &Path, note: &str) -> Result<Option<Self>, DataDirError> {
        create(data_dir)?;
        let path = data_dir.join(LOCK_FILE);
        let failed = |source| DataDirError::Io { path: path.clone(), source };
        // Not truncated: until the lock is ours, the content is somebody else's note.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) if !is_at(&file, &path) => return Ok(None),
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
        Ok(Some(lock))
    }

    /// Takes the lock of a directory that was used once and that nobody uses now. Makes nothing.
    pub fn take_abandoned(data_dir: &Path) -> Option<Self> {
        let path = data_dir.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        file.try_lock().ok()?;
        is_at(&file, &path).then_some(Self { path, file })
    }

    /// Removes the directory with everything in it. It has another name first, so that whoever wants one of this name
    /// need not wait.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove(self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(GONE) {
            return std::fs::remove_dir_all(directory);
        }
        let gone = directory.with_file_name(format!("{GONE}{name}-{}", self.file.metadata()?.ino()));
        std::fs::rename(directory, &gone)?;
        std::fs::remove_dir_all(gone)
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

/// Whether this is the file that has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (own.dev(), own.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_taken_is_not_cleared_away() {
        let kept = tempfile::tempdir().unwrap();
        let root = kept.path();
        let clear = || {
            for entry in std::fs::read_dir(root).unwrap().filter_map(Result::ok) {
                if let Some(lock) = DataDirLock::take_abandoned(&entry.path()) {
                    lock.remove().unwrap();
                }
            }
        };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|number| {
                    scope.spawn(move || {
                        let own = root.join(number.to_string());
                        for _ in 0..100 {
                            // Whoever clears holds the lock for moments, and then it is gone.
                            let lock = loop {
                                match DataDirLock::acquire(&own, "a taker") {
                                    Ok(lock) => break lock,
                                    Err(DataDirError::AlreadyRunning { .. }) => std::thread::yield_now(),
                                    Err(error) => panic!("{error}"),
                                }
                            };
                            std::fs::write(own.join("work"), "mine").unwrap();
                            std::thread::yield_now();
                            assert_eq!(std::fs::read_to_string(own.join("work")).unwrap(), "mine");
                            drop(lock);
                        }
                    })
                })
                .collect();
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        clear();
                    }
                });
            }
            for taker in takers {
                let ended = taker.join();
                if ended.is_err() {
                    done.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                ended.unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        clear();
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 0, "and everything else is");
    }

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
