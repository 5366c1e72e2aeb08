//! Removing a directory that an agent filled.
//!
//! `std::fs::remove_dir_all` does not follow links, but it stops at directories that their owner may not write to,
//! and it goes down one stack frame and one open file per level: a tree a hundred thousand levels deep, which takes
//! an agent a second to make, would end the worker. Here a directory's subdirectories are moved up to the top
//! before they are emptied, so nothing is ever more than two levels down. Every step is relative to an open
//! directory and follows no link. Files of other users in directories of other users stay, and are reported.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::fcntl::open;
use nix::fcntl::openat;
use nix::fcntl::renameat;
use nix::sys::stat::FchmodatFlags;
use nix::sys::stat::Mode;
use nix::sys::stat::fchmodat;
use nix::unistd::UnlinkatFlags;
use nix::unistd::unlinkat;

/// What a directory is opened with.
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes a directory with all that is in it, or as much of it as can be removed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let _ = fchmodat(nix::fcntl::AT_FDCWD, path, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink);
    let top = match open(path, DIRECTORY, Mode::empty()) {
        Ok(top) => File::from(top),
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => return std::fs::remove_file(path),
        Err(error) => return Err(error.into()),
    };
    let mut moved: u64 = 0;
    loop {
        let names = names_in(&top)?;
        if names.is_empty() {
            return std::fs::remove_dir(path);
        }
        let (mut progress, mut first_error) = (false, None);
        for name in names {
            match remove_entry(&top, &name, &mut moved, &mut progress) {
                Ok(()) => progress = true,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if let (false, Some(error)) = (progress, first_error) {
            return Err(error.into());
        }
    }
}

/// Removes an entry of the top directory; if it is a directory, its own subdirectories end up in the top directory.
fn remove_entry(top: &File, name: &OsString, moved: &mut u64, progress: &mut bool) -> nix::Result<()> {
    if unlink(top, name)? {
        return Ok(());
    }
    let dir = open_dir(top, name)?;
    let mut first_error = None;
    for child in names_in(&dir).map_err(errno)? {
        let done = unlink(&dir, &child).and_then(|gone| {
            if gone {
                return Ok(());
            }
            // A directory's owner needs to be able to write to it for `..` to change.
            make_writable(&dir, &child);
            lift(&dir, &child, top, moved)
        });
        match done {
            Ok(()) => *progress = true,
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => unlinkat(top, name.as_os_str(), UnlinkatFlags::RemoveDir),
    }
}

/// Moves a directory to the top under a name that is free.
fn lift(dir: &File, child: &OsString, top: &File, moved: &mut u64) -> nix::Result<()> {
    loop {
        *moved += 1;
        let name = format!("{moved}.lifted");
        match renameat(dir, child.as_os_str(), top, name.as_str()) {
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            lifted => return lifted,
        }
    }
}

/// Removes an entry unless it is a directory; says whether it is gone.
fn unlink(dir: &File, name: &OsString) -> nix::Result<bool> {
    match unlinkat(dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::EISDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_dir(parent: &File, name: &OsString) -> nix::Result<File> {
    make_writable(parent, name);
    openat(parent, name.as_os_str(), DIRECTORY, Mode::empty()).map(File::from)
}

/// Lets the owner in. Where that fails, the next step says why.
fn make_writable(parent: &File, name: &OsString) {
    let _ = fchmodat(parent.as_fd(), name.as_os_str(), Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink);
}

/// The names in an open directory, by way of the kernel's name for it, since the path may be another's by now.
fn names_in(dir: &File) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
