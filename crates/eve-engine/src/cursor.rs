//! Cursors of lists: opaque, signed, and bound to organization and list.
//!
//! A client can neither make one up nor carry one over to another tenant's list.

use std::fmt::Display;
use std::str::FromStr;

use aws_lc_rs::hmac;
use eve_core::OrgId;

use crate::Engine;
use crate::Error;
use crate::auth::hex;

/// Which list a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorKind {
    /// Requests, newest first.
    Requests,
    /// Bulk actions, newest first.
    BulkActions,
}

/// Bytes of the signature that a cursor carries.
const TAG_LEN: usize = 12;

impl Engine {
    /// The text of a cursor that goes on after an entry of this id.
    pub fn cursor_encode(&self, kind: CursorKind, org: OrgId, last: impl Display) -> String {
        let tag = hex(self.cursor_tag(kind, org, &last).as_ref().get(..TAG_LEN).unwrap_or_default());
        format!("{last}.{tag}")
    }

    /// What a cursor stands for.
    ///
    /// # Errors
    /// When it was not made here for this list.
    pub fn cursor_decode<T: Display + FromStr>(&self, kind: CursorKind, org: OrgId, text: &str) -> Result<T, Error> {
        let invalid = || Error::invalid("The cursor is not one that this list gave out. Start again without it.");
        let (id, tag) = text.split_once('.').ok_or_else(invalid)?;
        let id: T = id.parse().map_err(|_| invalid())?;
        let expected = hex(self.cursor_tag(kind, org, &id).as_ref().get(..TAG_LEN).unwrap_or_default());
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), tag.as_bytes())
            .map_err(|_| invalid())?;
        Ok(id)
    }

    fn cursor_tag(&self, kind: CursorKind, org: OrgId, id: &impl Display) -> hmac::Tag {
        let list = match kind {
            CursorKind::Requests => "requests",
            CursorKind::BulkActions => "bulk-actions",
        };
        hmac::sign(&self.inner.keys.cursor, format!("{list} {org} {id}").as_bytes())
    }
}
