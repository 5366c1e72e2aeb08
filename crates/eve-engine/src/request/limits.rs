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
/// Longest name of a request within a call, in characters.
pub const REFERENCE_NAME_LEN: usize = 200;
/// Most names of others in all requests of one call together.
pub const REFERENCES_OF_CALL: usize = 20_000;
/// Longest run that may be asked for, in seconds: a week.
pub const TIMEOUT_SECONDS: u32 = 7 * 24 * 3600;
/// Most requests on one page.
pub const PAGE_LIMIT: i64 = 200;
/// Most log entries on one page.
pub const LOG_PAGE_LIMIT: i64 = 1000;
/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_LEN: usize = 255;
/// Most requests that a filter names one by one.
pub const FILTER_IDS: usize = 1000;
/// Longest text that a filter looks for, in characters.
pub const FILTER_TEXT_LEN: usize = 200;
/// Most bulk actions of an organization that are not finished.
pub const OPEN_BULK_ACTIONS: i64 = 100;
/// Most bulk actions on one page.
pub const BULK_PAGE_LIMIT: i64 = 200;
/// Largest concurrency limit; beyond it, none is meant.
pub const MAX_RUNNING: u32 = 1_000_000;
