//! Names that git takes for branches, checked before git sees them.
//!
//! The rules are those of `git check-ref-format --branch`. They also keep revision syntax out (`main~3`,
//! `@{upstream}`, `a..b`), so a checked name means a branch, a tag or a commit and nothing else.

/// Longest name of a branch, in bytes: leaves room for a suffix within a file name.
const MAX_NAME: usize = 200;

/// Why a name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or too much.
    #[error("it is empty or longer than {MAX_NAME} bytes")]
    Length,
    /// Something that git reads as syntax.
    #[error("it has characters that git does not allow in a name")]
    Letters,
    /// An empty part, or one that starts with a dot or ends in `.lock`.
    #[error("one of its parts between slashes is empty, starts with a dot, or ends in `.lock`")]
    Parts,
}

/// Checks a branch name, or a name under which a base is looked up.
pub(super) fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(InvalidName::Length);
    }
    let syntax = |letter: char| letter.is_control() || matches!(letter, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if name.contains(syntax)
        || name.contains("..")
        || name.contains("@{")
        || name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
    {
        return Err(InvalidName::Letters);
    }
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        return Err(InvalidName::Parts);
    }
    Ok(())
}

/// Whether git can keep only one of the two, because one is a directory of the other.
pub(super) fn collide(one: &str, other: &str) -> bool {
    let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    inside(one, other) || inside(other, one)
}

/// Whether this is the full id of an object, in SHA-1 or SHA-256.
pub(super) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
