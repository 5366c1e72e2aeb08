//! A cgroup for an attempt's processes, for hosts where they cannot have a PID namespace.
//!
//! Whatever a process starts is in its cgroup, no matter who becomes its parent, so the kernel's list of what must
//! die is complete, and from the directory's name everybody can tell whose it is. Only the agent and what it starts
//! are in there: keeper and init stay outside, so that each can end it when the other was killed. If both were, the
//! next keeper or the worker does, see [`clear_leftovers`].
//!
//! A cgroup v2 is killed at once, or frozen and then killed on kernels before 5.14. In a v1 hierarchy processes are
//! killed one by one while they are frozen or cannot fork; where the hierarchy offers neither, as fast as possible.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use super::descendants;

/// The hierarchies that will do, by controller, the best first; the unified one (v2) has no name.
const HIERARCHIES: [&str; 4] = ["", "freezer", "pids", "name=systemd"];
/// Rest between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Longest time that a v1 cgroup may take to freeze, and one round of killing waits for it.
const FREEZE_LIMIT: Duration = Duration::from_millis(100);
/// Longest time that what a killed keeper left may take to die.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(2);

/// A cgroup below that of the keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup of this keeper where processes can be moved in and out, if there is such a place.
    pub(super) fn create() -> Option<Self> {
        let name = Owner::this_process()?.to_string();
        places_of_this_process().into_iter().find_map(|place| {
            let cgroup = Self::at(place.join(&name));
            std::fs::create_dir(&cgroup.dir).ok()?;
            if cgroup.can_be_used(&name) {
                return Some(cgroup);
            }
            cgroup.remove();
            None
        })
    }

    /// One that was made already.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Not every directory in which one can be made is the keeper's own, or lets processes in and out.
    fn can_be_used(&self, name: &str) -> bool {
        let inside = || {
            let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            own.lines().any(|line| line.ends_with(&format!("/{name}")))
        };
        let way_out = self.dir.with_file_name("cgroup.procs");
        OpenOptions::new().write(true).open(way_out).is_ok()
            && self.enter().is_ok()
            && inside()
            && self.leave().is_ok()
            && !inside()
    }

    /// Moves this process in. What it starts from then on is in there, too.
    pub(super) fn enter(&self) -> io::Result<()> {
        // Zero is whoever writes, by whatever number others know it.
        set(&self.dir.join("cgroup.procs"), "0")
    }

    /// Moves this process back to the keeper's own cgroup. What it started stays.
    pub(super) fn leave(&self) -> io::Result<()> {
        set(&self.dir.with_file_name("cgroup.procs"), "0")
    }

    /// Kills everything in here and removes the cgroup; says whether that was done within the limit. One that is
    /// gone already is no error.
    pub(super) fn end(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        // The kernel refuses to remove one that has living processes.
        while !self.remove() {
            if Instant::now() >= end {
                return false;
            }
            if !self.kill_at_once() {
                self.kill_one_by_one();
            }
            sleep(LOOK_AGAIN);
        }
        true
    }

    /// Linux 5.14, v2 only.
    fn kill_at_once(&self) -> bool {
        set(&self.dir.join("cgroup.kill"), "1").is_ok()
    }

    fn kill_one_by_one(&self) {
        let cgroups = self.with_descendants();
        // Whichever of these there is: with it, the lists below have an end. Nothing in here needs to go on.
        let _ = set(&self.dir.join("cgroup.freeze"), "1");
        let _ = set(&self.dir.join("pids.max"), "0");
        freeze(&self.dir.join("freezer.state"));
        for cgroup in &cgroups {
            let list = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            // What the kernel shows as zero would be the own process group.
            let others = |pid: &u32| *pid > 0 && *pid != std::process::id();
            list.lines().filter_map(|line| line.parse().ok()).filter(others).for_each(descendants::kill);
        }
        // In v1 what is frozen does not even die.
        for cgroup in &cgroups {
            let _ = set(&cgroup.join("freezer.state"), "THAWED");
        }
    }

    fn remove(&self) -> bool {
        self.with_descendants().iter().rev().all(|dir| match std::fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }

    /// This one and those that its processes made in it, parents first.
    fn with_descendants(&self) -> Vec<PathBuf> {
        let mut found = vec![self.dir.clone()];
        let mut next = 0;
        while let Some(dir) = found.get(next) {
            found.extend(directories(dir));
            next += 1;
        }
        found
    }
}

/// Freezes a v1 cgroup and waits until it is: only then is the list of its processes final.
fn freeze(state: &Path) {
    let end = Instant::now() + FREEZE_LIMIT;
    while set(state, "FROZEN").is_ok()
        && std::fs::read_to_string(state).is_ok_and(|state| state.trim() != "FROZEN")
        && Instant::now() < end
    {
        sleep(LOOK_AGAIN);
    }
}

/// Ends the cgroups of keepers that were killed together with their inits, and says how many there were.
///
/// They are looked for beside the cgroup that a keeper started by this process would make.
pub fn clear_leftovers() -> usize {
    let Some(this) = Owner::this_process() else { return 0 };
    let cgroups = places_of_this_process().into_iter().flat_map(|place| directories(&place));
    let left = cgroups.filter(|dir| {
        let owner = dir.file_name().and_then(|name| Owner::parse(name.to_str()?));
        // Processes of other namespaces cannot be seen from here, or have another number.
        owner.is_some_and(|owner| owner.namespace == this.namespace && !owner.is_alive())
    });
    left.filter(|dir| Cgroup::at(dir.clone()).end(LEFTOVER_LIMIT)).count()
}

/// The keeper that a cgroup belongs to, which is the cgroup's name.
///
/// Numbers of processes come again, but not with the same time of start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    namespace: u64,
    pid: u32,
    /// In ticks since the host's start.
    started: u64,
}

impl Owner {
    fn this_process() -> Option<Self> {
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        let namespace = namespace.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()?;
        let stat = Stat::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
        Some(Self { namespace, pid: stat.pid, started: stat.started })
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("eve-")?.split('-');
        let owner = Self {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(owner)
    }

    /// Whether it may still end its cgroup itself. When in doubt, it may.
    fn is_alive(self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => Stat::parse(&stat).is_none_or(|stat| stat.started == self.started && !stat.dead),
            // The second comes if it ends between opening and reading.
            Err(error) => error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(nix::libc::ESRCH),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "eve-{}-{}-{}", self.namespace, self.pid, self.started)
    }
}

/// What matters of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    /// Waits only for its parent to collect it.
    dead: bool,
    started: u64,
}

impl Stat {
    /// The second field is in parentheses and may hold anything; the first after it is the third.
    fn parse(stat: &str) -> Option<Self> {
        let (head, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid: head.split_once(' ')?.0.parse().ok()?,
            dead: matches!(state, "Z" | "X"),
            started: fields.nth(22 - 4)?.parse().ok()?,
        })
    }
}

fn places_of_this_process() -> Vec<PathBuf> {
    let read = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match (read("/proc/self/mountinfo"), read("/proc/self/cgroup")) {
        (Ok(mounts), Ok(own)) => places(&mounts, &own),
        _ => Vec::new(),
    }
}

/// The directories of a process's own cgroups, as far as they are mounted, in the order in which to try them.
fn places(mountinfo: &str, own: &str) -> Vec<PathBuf> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    let own: Vec<(&str, &str)> = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
    let mut places: Vec<PathBuf> = HIERARCHIES
        .into_iter()
        .filter_map(|hierarchy| own.iter().find(|(names, _)| names.split(',').any(|name| name == hierarchy)))
        .flat_map(|(names, path)| mounts.iter().filter_map(|mount| mount.place(names, Path::new(path))))
        .collect();
    // Two controllers may share a hierarchy.
    places.dedup();
    places
}

/// A mounted cgroup hierarchy.
#[derive(Debug)]
struct Mount {
    /// What of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
    /// The controllers of a v1 hierarchy, among other options.
    v1: Option<String>,
}

impl Mount {
    /// A line of mountinfo; nothing if it is no cgroup file system.
    fn parse(line: &str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut system = system.split(' ');
        let v1 = match system.next()? {
            "cgroup2" => None,
            "cgroup" => Some(system.nth(1)?.to_owned()),
            _ => return None,
        };
        Some(Self { root: unescape(mount.next()?), point: unescape(mount.next()?), v1 })
    }

    /// Where in this mount a process's own cgroup is, from a line of its /proc/PID/cgroup.
    fn place(&self, names: &str, path: &Path) -> Option<PathBuf> {
        let same = match &self.v1 {
            None => names.is_empty(),
            Some(options) => {
                !names.is_empty() && names.split(',').all(|name| options.split(',').any(|one| one == name))
            }
        };
        let below = path.strip_prefix(&self.root).ok()?;
        // A cgroup outside of what this namespace may see.
        let visible = !path.components().any(|component| component == Component::ParentDir);
        (same && visible)
            .then(|| if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) })
    }
}

/// Blanks and the like are octal in mountinfo.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\')
            .then(|| after.split_at_checked(3))
            .flatten()
            .and_then(|(digits, after)| Some((u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?, after)));
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let directories = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// Writes to a file of the kernel's; unlike [`std::fs::write`] it makes none.
fn set(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests;
