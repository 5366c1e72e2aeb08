//! Names of the branches that results are committed on.

use crate::RequestId;

/// Longest slug in a branch name, in characters.
const SLUG_LEN: usize = 40;

/// Turns a title into lower-case words joined by hyphens, safe in a branch or file name on every system.
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for letter in title.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= SLUG_LEN {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// The branch for a request's result: `feature/req-<short id>-<slug>`.
pub fn branch_name(request: RequestId, title: &str) -> String {
    let slug = slug(title);
    let short = request.short();
    if slug.is_empty() { format!("feature/req-{short}") } else { format!("feature/req-{short}-{slug}") }
}

#[cfg(test)]
mod tests;
