//! Named limits of what one call may ask for.

/// Longest prompt, in bytes.
pub const PROMPT_LEN: usize = 256 * 1024;
/// Longest title, in characters.
pub const TITLE_LEN: usize = 200;
/// Length of a title made from a prompt, in characters.
pub const DERIVED_TITLE_LEN: usize = 72;
/// Longest repository address or branch, in bytes.
pub const REFERENCE_LEN: usize = 2048;
/// Longest context, configuration, metadata or reply address, as JSON in bytes.
pub const JSON_LEN: usize = 256 * 1024;
/// Most dependencies of one request.
pub const BLOCKED_BY: usize = 10_000;
/// Longest run that may be asked for, in seconds: a week.
pub const TIMEOUT_SECONDS: u32 = 7 * 24 * 3600;
/// Most requests on one page.
pub const PAGE_LIMIT: i64 = 200;
/// Most log entries on one page.
pub const LOG_PAGE_LIMIT: i64 = 1000;
/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_LEN: usize = 255;
/// Largest concurrency limit; beyond it, none is meant.
pub const MAX_RUNNING: u32 = 1_000_000;
