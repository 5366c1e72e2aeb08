//! Typed ids: a UUIDv7 shown with a prefix that says what it names.
//!
//! The text form is that of the TypeID specification 0.3: prefix, underscore, and the UUID's 128 bits as 26
//! letters of lower-case Crockford base32, so ids sort by creation in both forms. A plain UUID is accepted too,
//! because other systems store one. Ids are made by the caller (`eve-store`), since making one needs a clock.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LEN: usize = 26;

/// Why a text is not the id that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text names another kind of thing.
    #[error("expected an id that starts with `{expected}_`, found `{found}_`")]
    Prefix {
        /// The prefix of the kind that was asked for.
        expected: &'static str,
        /// The prefix that the text has.
        found: String,
    },
    /// Neither the prefixed form nor a UUID.
    #[error("`{text}` is neither `{expected}_…` (26 characters after the underscore) nor a UUID")]
    Form {
        /// The prefix of the kind that was asked for.
        expected: &'static str,
        /// The text as given, cut at 64 characters.
        text: String,
    },
}

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..ENCODED_LEN).rev().map(|digit| char::from(ALPHABET[((bits >> (digit * 5)) & 31) as usize])).collect()
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != ENCODED_LEN {
        return None;
    }
    let mut bits: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|letter| *letter == byte.to_ascii_lowercase())?;
        // 26 digits hold 130 bits; the first may use only three of its five.
        if index == 0 && value > 7 {
            return None;
        }
        bits = (bits << 5) | value as u128;
    }
    Some(Uuid::from_u128(bits))
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    if let Some((found, rest)) = text.split_once('_') {
        if found != prefix {
            return Err(IdError::Prefix { expected: prefix, found: found.chars().take(16).collect() });
        }
        if let Some(uuid) = decode(rest) {
            return Ok(uuid);
        }
    } else if let Ok(uuid) = Uuid::try_parse(text) {
        return Ok(uuid);
    }
    Err(IdError::Form { expected: prefix, text: text.chars().take(64).collect() })
}

/// The number of a lane: where requests of one organization, worker type, project and service queue up.
///
/// It is the database's own and is shown to nobody, hence no typed id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i32);

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The letters before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that is known to name this kind of thing.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID as PostgreSQL stores it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The last eight characters: enough to tell two apart on a screen or in a branch name.
            pub fn short(self) -> String {
                encode(self.0).split_off(ENCODED_LEN - 8)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_ids! {
    /// An organization: the tenant.
    OrgId = "org";
    /// A person, in one or more organizations.
    UserId = "usr";
    /// An API key, without its secret.
    KeyId = "key";
    /// A goal over time.
    ProjectId = "prj";
    /// What was asked.
    RequestId = "req";
    /// One execution of a request.
    AttemptId = "att";
    /// A running worker process.
    WorkerId = "wrk";
    /// One change for many requests.
    BulkActionId = "blk";
}

#[cfg(test)]
mod tests;
