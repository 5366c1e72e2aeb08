//! The passwords of the cluster's roles: made once, before the cluster, and kept in one file that only Eve can read.

use std::fs;
use std::io;

use aws_lc_rs::rand;
use serde::Deserialize;
use serde::Serialize;

use super::Role;
use super::error::ClusterError;
use super::files;
use super::files::Layout;

const PASSWORD_BYTES: usize = 24;
const FILE_MODE: u32 = 0o600;

/// One password for each role that can log in. Has no `Debug`, so that it cannot be logged by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    eve_admin: String,
    eve_owner: String,
    eve_service: String,
}

impl Credentials {
    /// Reads the file, or makes it if there is no database yet.
    pub(super) fn load_or_create(layout: &Layout, initialised: bool) -> Result<Self, ClusterError> {
        let path = &layout.credentials;
        let problem =
            |problem: String| ClusterError::Credentials { path: path.clone(), problem, data: layout.data.clone() };
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| problem(format!("cannot be read ({error})"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && initialised => {
                Err(problem("is missing".to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = Self {
                    eve_admin: random_hex(PASSWORD_BYTES)?,
                    eve_owner: random_hex(PASSWORD_BYTES)?,
                    eve_service: random_hex(PASSWORD_BYTES)?,
                };
                serde_json::to_vec_pretty(&new)
                    .map_err(io::Error::other)
                    .and_then(|text| files::write_durably(path, &text, FILE_MODE))
                    .map_err(ClusterError::io(format!("write `{}`", path.display())))?;
                Ok(new)
            }
            Err(error) => Err(problem(format!("cannot be read ({error})"))),
        }
    }

    /// The password of a role: hexadecimal digits, so it needs no quoting in SQL.
    pub(super) fn password(&self, role: Role) -> &str {
        match role {
            Role::Admin => &self.eve_admin,
            Role::Owner => &self.eve_owner,
            Role::Service => &self.eve_service,
        }
    }
}

/// Random bytes in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> Result<String, ClusterError> {
    let mut buffer = vec![0; bytes];
    rand::fill(&mut buffer).map_err(|_| ClusterError::Random)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let first = Credentials::load_or_create(&layout, false).ok().unwrap();
        assert!(first == Credentials::load_or_create(&layout, true).ok().unwrap());
        assert_eq!(fs::metadata(&layout.credentials).unwrap().permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(first.password(Role::Admin).len(), 2 * PASSWORD_BYTES);
        assert_ne!(first.password(Role::Owner), first.password(Role::Service));
    }

    #[test]
    fn new_passwords_are_not_made_for_an_old_database() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let lost = Credentials::load_or_create(&layout, true).err().unwrap().to_string();
        assert!(lost.contains("is missing") && lost.contains("backup"), "{lost}");
        fs::write(&layout.credentials, "{").unwrap();
        let broken = Credentials::load_or_create(&layout, false).err().unwrap().to_string();
        assert!(broken.contains("cannot be read"), "{broken}");
    }
}
