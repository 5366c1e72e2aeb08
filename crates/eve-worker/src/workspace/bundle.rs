//! Reading what the harvest left, as data from a stranger.
//!
//! The scratch directory is the agent's: a file in it may be a link to one of the host's, a pipe that never ends, or
//! change while it is read. So files are opened step by step without following links, must be plain files with one
//! name, and are bounded. A bundle is a few lines of text and a pack; only the text is read here, the pack is for
//! `git index-pack`, which checks it. (`git fetch` of a bundle checks its objects only from git 2.46 on.)

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::fcntl::open;
use nix::fcntl::openat;
use nix::sys::stat::Mode;

use super::harvest::BUNDLE_FILE;
use super::harvest::RESULT_DIR;
use super::harvest::RESULT_REF;
use super::harvest::STATUS_FILE;
use super::refname::is_object_id;

/// Longest status file that is read, in bytes.
const STATUS_LIMIT: u64 = 64 << 10;
/// Longest head of a bundle, in bytes; one base and one ref need a few hundred.
const HEAD_LIMIT: u64 = 64 << 10;
/// Longest detail that is passed on, in characters.
const DETAIL_LIMIT: usize = 400;

/// How the harvest says it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Committed,
    Nothing,
    Rewound,
    NoRepository,
    Failed(String),
}

/// What the harvest says of itself. An agent may have written it instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: State,
    pub(super) conflicts: bool,
    pub(super) embedded: bool,
    pub(super) incomplete: bool,
}

/// A bundle, taken apart.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The commit that it delivers.
    pub(super) tip: String,
    /// The file, standing at the start of the pack.
    pub(super) pack: File,
}

/// Why a bundle is not taken.
#[derive(Debug)]
pub(super) enum BundleError {
    /// It cannot be opened, or is not a plain file.
    File(io::Error),
    /// It is larger than allowed.
    Size { bytes: u64 },
    /// It is no bundle, or none that the harvest would write.
    Form,
}

/// Reads the status of a harvest below this scratch directory.
pub(super) fn read_status(scratch: &Path) -> Status {
    let mut text = String::new();
    let read = open_result(scratch, STATUS_FILE).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(STATUS_LIMIT).read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    let missing = match read {
        Ok(()) => "it was stopped before it was done".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "it did not run".to_owned(),
        Err(error) => format!("its status cannot be read ({error})"),
    };
    let mut status = Status { state: State::Failed(missing), conflicts: false, embedded: false, incomplete: false };
    let mut detail = String::from("git failed without a word");
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("detail", words)) if !words.trim().is_empty() => {
                let plain = words.trim().chars().filter(|letter| !letter.is_control());
                detail = plain.take(DETAIL_LIMIT).collect();
            }
            Some(("state", "committed")) => status.state = State::Committed,
            Some(("state", "nothing")) => status.state = State::Nothing,
            Some(("state", "rewound")) => status.state = State::Rewound,
            Some(("state", "no-repository")) => status.state = State::NoRepository,
            Some(("state", "failed")) => status.state = State::Failed(detail.clone()),
            Some(("note", "conflicts")) => status.conflicts = true,
            Some(("note", "embedded")) => status.embedded = true,
            Some(("note", "incomplete")) => status.incomplete = true,
            Some(_) | None => {}
        }
    }
    status
}

/// Opens the bundle of a harvest below this scratch directory.
pub(super) fn open_bundle(scratch: &Path, limit: u64) -> Result<Bundle, BundleError> {
    let mut file = open_result(scratch, BUNDLE_FILE).map_err(BundleError::File)?;
    let bytes = file.metadata().map_err(BundleError::File)?.len();
    if bytes > limit {
        return Err(BundleError::Size { bytes });
    }
    let mut start = Vec::new();
    file.by_ref().take(HEAD_LIMIT).read_to_end(&mut start).map_err(BundleError::File)?;
    let (tip, length) = parse_head(&start).ok_or(BundleError::Form)?;
    file.seek(SeekFrom::Start(length)).map_err(BundleError::File)?;
    Ok(Bundle { tip, pack: file })
}

/// Finds the result's commit and the end of a bundle's head.
fn parse_head(start: &[u8]) -> Option<(String, u64)> {
    let end = start.windows(2).position(|pair| pair == b"\n\n")?;
    let text = std::str::from_utf8(&start[..end]).ok()?;
    let mut lines = text.lines();
    if !matches!(lines.next()?, "# v2 git bundle" | "# v3 git bundle") {
        return None;
    }
    let mut tip = None;
    for line in lines {
        if let Some(capability) = line.strip_prefix('@') {
            // A filtered bundle lacks objects on purpose.
            if !capability.starts_with("object-format=") {
                return None;
            }
        } else if !line.starts_with('-') {
            let (commit, name) = line.split_once(' ')?;
            if name == RESULT_REF && is_object_id(commit) {
                tip = Some(commit.to_owned());
            }
        }
    }
    Some((tip?, u64::try_from(end).ok()? + 2))
}

/// Opens a file that the harvest wrote, and nothing that only looks like it.
fn open_result(scratch: &Path, name: &str) -> io::Result<File> {
    let directory = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    let scratch = open(scratch, directory, Mode::empty())?;
    let result = openat(&scratch, RESULT_DIR, directory, Mode::empty())?;
    // Not to wait for whoever writes to a pipe of that name.
    let plain = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    let file = File::from(openat(&result, name, plain, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::Error::other("not a plain file"));
    }
    Ok(file)
}
