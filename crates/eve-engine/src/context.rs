//! Who does something: the argument that every use case takes first.

use eve_core::KeyId;
use eve_core::OrgId;
use eve_core::UserId;

/// A person or program of one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpContext {
    /// The organization: the only one that the use case can see.
    pub org_id: OrgId,
    /// The person behind the key.
    pub user_id: UserId,
    /// The key.
    pub key_id: KeyId,
    /// The person's role.
    pub role: Role,
    /// The person's name, for the record.
    pub user_name: String,
}

/// A member's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Owner,
    /// May change settings.
    Admin,
    /// May ask for things.
    Member,
}

impl Role {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "owner" => Some(Self::Owner),
            "admin" => Some(Self::Admin),
            "member" => Some(Self::Member),
            _ => None,
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

impl OpContext {
    /// The name under which events record this caller.
    pub fn actor(&self) -> String {
        format!("user:{}", self.user_name)
    }

    pub(crate) fn require_admin(&self) -> Result<(), crate::Error> {
        match self.role {
            Role::Owner | Role::Admin => Ok(()),
            Role::Member => Err(crate::Error::new(
                crate::ErrorKind::Forbidden,
                "Only an owner or an admin of the organization may do this.",
            )),
        }
    }
}

/// A worker that proved itself with a worker key, or runs in the same process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerContext {
    /// The key's name, for the log.
    pub name: String,
}

impl WorkerContext {
    /// The worker of this very process.
    pub fn in_process() -> Self {
        Self { name: "in-process".to_owned() }
    }
}
