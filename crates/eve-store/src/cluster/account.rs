//! The unprivileged user that PostgreSQL runs as, and what belongs to it.
//!
//! PostgreSQL refuses to run as root, and it asks for a name in the passwd database. An Eve without privileges runs
//! it as herself. An Eve that is root picks a user, gives it the server's two directories, and nothing else.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::os::unix::fs::fchown;
use std::os::unix::fs::lchown;
use std::path::Path;

use nix::unistd;
use nix::unistd::Uid;
use nix::unistd::User;

use super::error::ClusterError;

/// In this order, for an Eve that is root and was not told whom to take.
const CANDIDATES: [&str; 3] = ["eve", "postgres", "nobody"];

/// What the server's directories are to everybody else.
const PRIVATE: u32 = 0o700;

/// Who runs PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether Eve is root and has to change to this user.
    pub(super) switch: bool,
}

/// What the choice depends on; the tests make one up.
trait Passwd {
    fn by_name(&self, name: &str) -> Option<Account>;
    fn by_uid(&self, uid: u32) -> Option<Account>;
}

struct System;

impl System {
    fn account(user: User) -> Account {
        Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), switch: false }
    }
}

impl Passwd for System {
    fn by_name(&self, name: &str) -> Option<Account> {
        User::from_name(name).ok().flatten().map(Self::account)
    }

    fn by_uid(&self, uid: u32) -> Option<Account> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(Self::account)
    }
}

impl Account {
    /// Chooses the user: the one asked for, else the owner of the data that exist, else the first candidate.
    pub(super) fn choose(asked: Option<&str>, data: &Path) -> Result<Self, ClusterError> {
        let owner = fs::metadata(data).ok().map(|metadata| metadata.uid());
        let own = unistd::geteuid().as_raw();
        let account = choose(&System, own, asked, owner)?;
        match owner {
            Some(owner) if !account.switch && owner != own => {
                Err(ClusterError::ForeignData { path: data.to_path_buf(), owner, own })
            }
            _ => Ok(account),
        }
    }

    /// Makes a directory that only this user can enter, and gives it to the user.
    pub(super) fn make_private_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(PRIVATE).create(path)?;
        self.take(path)
    }

    /// Whether a directory is as [`Account::make_private_dir`] makes it, and not a link to somewhere else.
    pub(super) fn is_private_dir(&self, path: &Path) -> bool {
        fs::symlink_metadata(path)
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == self.uid && metadata.mode() & 0o777 == PRIVATE)
    }

    /// Gives a directory that Eve has just made to the user.
    fn take(&self, path: &Path) -> io::Result<()> {
        if self.switch { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Gives an open file to the user.
    pub(super) fn take_file(&self, file: &File) -> io::Result<()> {
        if self.switch { fchown(file, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Gives a whole tree to the user: data restored from a backup by root, or a change of user.
    pub(super) fn take_tree(&self, path: &Path) -> io::Result<()> {
        if !self.switch || fs::symlink_metadata(path)?.uid() == self.uid {
            return Ok(());
        }
        self.take_below(path)?;
        // Last, so that an interrupted change is begun again.
        lchown(path, Some(self.uid), Some(self.gid))?;
        fs::set_permissions(path, Permissions::from_mode(PRIVATE))
    }

    fn take_below(&self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.take_below(&entry.path())?;
            }
            lchown(entry.path(), Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}

fn choose(passwd: &impl Passwd, own: u32, asked: Option<&str>, owner: Option<u32>) -> Result<Account, ClusterError> {
    let refuse = |name: &str, reason: &str| ClusterError::User { name: name.to_owned(), reason: reason.to_owned() };
    if own != 0 {
        let Some(account) = passwd.by_uid(own) else {
            let name = format!("user id {own}");
            return Err(refuse(&name, "it has no entry in /etc/passwd, which PostgreSQL needs; add one"));
        };
        return match asked {
            Some(name) if name != account.name => {
                let reason = format!("only root can change to it, and Eve runs as `{}`", account.name);
                Err(refuse(name, &reason))
            }
            _ => Ok(account),
        };
    }
    let account = if let Some(name) = asked {
        passwd.by_name(name).ok_or_else(|| refuse(name, "there is no such user; next: `useradd --system` it"))?
    } else {
        owner
            .filter(|uid| *uid != 0)
            .and_then(|uid| passwd.by_uid(uid))
            .or_else(|| CANDIDATES.iter().find_map(|name| passwd.by_name(name)))
            .ok_or_else(|| ClusterError::NoUser { tried: CANDIDATES.join(", ") })?
    };
    if account.uid == 0 {
        return Err(refuse(&account.name, "PostgreSQL refuses to run as root; name an ordinary user"));
    }
    Ok(Account { switch: true, ..account })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Users(&'static [(&'static str, u32)]);

    impl Users {
        fn find(&self, wanted: impl Fn(&(&'static str, u32)) -> bool) -> Option<Account> {
            let (name, uid) = self.0.iter().find(|user| wanted(user))?;
            Some(Account { name: (*name).to_owned(), uid: *uid, gid: *uid, switch: false })
        }
    }

    impl Passwd for Users {
        fn by_name(&self, name: &str) -> Option<Account> {
            self.find(|user| user.0 == name)
        }

        fn by_uid(&self, uid: u32) -> Option<Account> {
            self.find(|user| user.1 == uid)
        }
    }

    const USERS: Users = Users(&[("root", 0), ("nobody", 65534), ("postgres", 101), ("ann", 1000)]);

    #[test]
    fn root_takes_who_is_asked_for_then_the_owner_then_a_candidate() {
        let name = |asked, owner| choose(&USERS, 0, asked, owner).map(|account| (account.name, account.switch));
        assert_eq!(name(Some("ann"), Some(101)).unwrap(), ("ann".to_owned(), true));
        assert_eq!(name(None, Some(65534)).unwrap().0, "nobody");
        assert_eq!(name(None, Some(0)).unwrap().0, "postgres");
        assert_eq!(name(None, Some(4711)).unwrap().0, "postgres", "an owner without a name");
        assert_eq!(name(None, None).unwrap().0, "postgres");
        assert!(name(Some("root"), None).unwrap_err().to_string().contains("refuses to run as root"));
        assert!(name(Some("bob"), None).unwrap_err().to_string().contains("no such user"));
        let message = choose(&Users(&[]), 0, None, None).unwrap_err().to_string();
        assert!(message.contains("none of the users eve, postgres, nobody"), "{message}");
    }

    #[test]
    fn others_take_themselves() {
        let account = choose(&USERS, 1000, None, None).unwrap();
        assert_eq!((account.name.as_str(), account.switch), ("ann", false));
        assert!(choose(&USERS, 1000, Some("ann"), None).is_ok());
        let message = choose(&USERS, 1000, Some("postgres"), None).unwrap_err().to_string();
        assert!(message.contains("only root can change to it, and Eve runs as `ann`"), "{message}");
        let message = choose(&USERS, 4711, None, None).unwrap_err().to_string();
        assert!(message.contains("no entry in /etc/passwd"), "{message}");
    }

    #[test]
    fn a_link_is_not_a_private_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private");
        let account = choose(&System, unistd::geteuid().as_raw(), None, None).unwrap();
        account.make_private_dir(&path).unwrap();
        assert!(account.is_private_dir(&path));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!account.is_private_dir(&link));
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(!account.is_private_dir(&path));
    }
}
