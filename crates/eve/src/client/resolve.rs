//! Short ids: the last characters that tables and branch names show.
//!
//! A whole id is taken as it is. A short one is looked up among the newest requests only, which is what people copy
//! from a screen; scripts use whole ids.

use eve_api_types::Worker;
use eve_core::RequestId;
use eve_core::WorkerId;

use super::Client;
use super::RequestFilter;
use crate::error::CliError;
use crate::error::ErrorKind;

/// How many of the newest requests a short id is looked up among.
const LOOKED_AT: usize = 200;

/// A short id has at least so many characters.
const SHORTEST: usize = 4;

/// The length of a UUID's text with hyphens.
const UUID_LENGTH: usize = 36;

impl Client {
    /// The request that a text names: a whole id, a UUID, or the end of the id of one of the newest requests.
    pub(crate) async fn resolve_request(&self, text: &str) -> Result<RequestId, CliError> {
        if let Some(whole) = whole_id(text)? {
            return Ok(whole);
        }
        let mut filter = RequestFilter { limit: super::PAGE_SIZE, ..RequestFilter::default() };
        let mut seen = Vec::new();
        loop {
            let page = self.requests(&filter).await?;
            seen.extend(page.items.into_iter().map(|request| (request.id, request.title)));
            filter.cursor = page.next_cursor;
            if filter.cursor.is_none() || seen.len() >= LOOKED_AT {
                break;
            }
        }
        let matching: Vec<&(RequestId, String)> =
            seen.iter().filter(|(id, _)| is_end_of(text, &id.to_string())).collect();
        match matching.as_slice() {
            [(id, _)] => Ok(*id),
            [] => Err(CliError::new(
                ErrorKind::NotFound,
                format!("none of the newest {LOOKED_AT} requests has an id that ends with `{text}`"),
            )
            .hint("`eve request list` shows them; for older ones give the whole id")),
            several => Err(CliError::usage(format!("{} requests have an id that ends with `{text}`", several.len()))
                .hints(several.iter().map(|(id, title)| format!("{id}  {}", crate::output::sanitize(title))))),
        }
    }

    /// The worker that a text names: a whole id, a UUID, the end of an id, or a name.
    pub(crate) async fn resolve_worker(&self, text: &str) -> Result<WorkerId, CliError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let workers = self.workers().await?.items;
        let by_name: Vec<&Worker> = workers.iter().filter(|worker| worker.name == text).collect();
        let by_id = || workers.iter().filter(|worker| is_end_of(text, &worker.id.to_string())).collect();
        let matching: Vec<&Worker> = if by_name.is_empty() { by_id() } else { by_name };
        match matching.as_slice() {
            [worker] => Ok(worker.id),
            [] => Err(CliError::new(ErrorKind::NotFound, format!("there is no worker `{text}`"))
                .hint("`eve workers` shows them")),
            several => Err(CliError::usage(format!("`{text}` fits {} workers", several.len()))
                .hints(several.iter().map(|worker| format!("{}  {}", worker.id, worker.name)))),
        }
    }
}

/// The id, if the text is a whole one; an error, if it can be neither a whole nor a short one.
pub(super) fn whole_id(text: &str) -> Result<Option<RequestId>, CliError> {
    match text.parse::<RequestId>() {
        Ok(id) => Ok(Some(id)),
        Err(wrong) if text.contains('_') || text.len() >= UUID_LENGTH => {
            Err(CliError::caused(ErrorKind::Usage, format!("`{text}` is not the id of a request"), wrong))
        }
        Err(_) if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(CliError::usage(format!("`{text}` is not the id of a request"))
                .hint(format!("a short id is the last {SHORTEST} or more characters; `eve request list` shows eight")))
        }
        Err(_) => Ok(None),
    }
}

fn is_end_of(text: &str, id: &str) -> bool {
    id.ends_with(&text.to_ascii_lowercase())
}
