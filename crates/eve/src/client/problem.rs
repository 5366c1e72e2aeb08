//! What a failed call means: one table from the API's stable codes to kinds of errors, and hints where we have any.

use eve_api_types::PROBLEM_MEDIA_TYPE;
use eve_api_types::Problem;
use eve_api_types::ProblemCode;
use eve_api_types::ProblemEntry;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::RETRY_AFTER;

use crate::config::Config;
use crate::config::Origin;
use crate::config::is_loopback;
use crate::error::CliError;
use crate::error::ErrorKind;

/// How much of an answer that is not Eve's is shown.
const EXCERPT: usize = 200;

/// There is no key to show.
pub(super) fn no_key(config: &Config) -> CliError {
    let error = CliError::new(ErrorKind::Unauthenticated, "there is no API key");
    let error = if is_loopback(&config.api_url) {
        let key_file = config.data_dir.join("api-key");
        error
            .hint(format!("`eve up` writes one to {}; name another data directory with --data-dir", key_file.display()))
    } else {
        error
    };
    error.hint("set one with `eve config set api-key KEY` or the variable EVE_API_KEY")
}

/// The server did not answer, or stopped in the middle.
pub(super) fn unreachable(base: &str, origin: &Origin, error: reqwest::Error) -> CliError {
    let timed_out = error.is_timeout();
    // The address is in our own words already.
    let failed =
        CliError::caused(ErrorKind::Unreachable, format!("cannot reach the server at {base}"), error.without_url());
    if timed_out {
        return failed.hint("the server took too long; see `eve status` and its log");
    }
    match origin {
        Origin::Found(file) => {
            failed.hint(format!("{file} says that `eve up` listens there; start it again with `eve up`"))
        }
        _ if is_loopback(base) => failed.hint("start it with `eve up`"),
        other => failed.hint(format!("the address comes from: {other}")),
    }
}

/// Whether a call that failed this way may have been carried out all the same.
pub(super) fn may_have_arrived(error: &CliError) -> bool {
    error.kind == ErrorKind::Unreachable
        && error.error.chain().any(|cause| {
            cause.downcast_ref::<reqwest::Error>().is_some_and(|error| !error.is_connect() && !error.is_builder())
        })
}

/// The server's answer has another form than this version of Eve expects.
pub(super) fn not_understood(place: &str, error: serde_json::Error) -> CliError {
    CliError::caused(ErrorKind::Failed, format!("the answer of {place} is not understood"), error)
        .hint("client and server may be of different versions: compare `eve --version` on both hosts")
}

/// The server said no.
pub(super) async fn refused(base: &str, response: Response) -> CliError {
    let (error, entries) = refused_in_parts(base, response).await;
    entries.into_iter().fold(error, |error, entry| error.hint(format!("{}: {}", entry.pointer, entry.detail)))
}

/// The same, with what is wrong with each part of a call that asks for many things.
pub(super) async fn refused_in_parts(base: &str, response: Response) -> (CliError, Vec<ProblemEntry>) {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let retry_after = header(RETRY_AFTER);
    let is_problem = header(CONTENT_TYPE).is_some_and(|value| value.starts_with(PROBLEM_MEDIA_TYPE));
    let body = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Problem>(&body) {
        Ok(mut problem) if is_problem => {
            let entries = std::mem::take(&mut problem.errors);
            (of_problem(problem, retry_after), entries)
        }
        _ => (of_status(base, status, &body), Vec::new()),
    }
}

/// The kind of error that a code means.
pub(super) const fn kind_of_code(code: ProblemCode) -> ErrorKind {
    match code {
        ProblemCode::InvalidRequest | ProblemCode::InvalidWorkerType => ErrorKind::Usage,
        ProblemCode::Unauthenticated | ProblemCode::Forbidden => ErrorKind::Unauthenticated,
        ProblemCode::NotFound => ErrorKind::NotFound,
        ProblemCode::Conflict | ProblemCode::IdempotencyConflict | ProblemCode::StaleFence => ErrorKind::Conflict,
        ProblemCode::Unavailable => ErrorKind::Unreachable,
        ProblemCode::MethodNotAllowed
        | ProblemCode::UnsupportedMediaType
        | ProblemCode::TooLarge
        | ProblemCode::RateLimited
        | ProblemCode::Internal => ErrorKind::Failed,
    }
}

fn of_problem(problem: Problem, retry_after: Option<String>) -> CliError {
    let error = CliError::new(kind_of_code(problem.code), problem.detail);
    match problem.code {
        ProblemCode::Unauthenticated => {
            error.hint("`eve config explain` shows which key is used and where it comes from")
        }
        ProblemCode::InvalidWorkerType => error.hint("`eve worker-types list` shows those that exist"),
        ProblemCode::IdempotencyConflict => error.hint("give another --idempotency-key for another request"),
        ProblemCode::RateLimited => match retry_after {
            Some(seconds) => error.hint(format!("try again in {seconds} s")),
            None => error.hint("try again in a moment"),
        },
        ProblemCode::Internal | ProblemCode::Unavailable => match problem.request_id {
            Some(id) => error.hint(format!("the server's log says more under request_id {id}")),
            None => error,
        },
        _ => error,
    }
}

fn of_status(base: &str, status: StatusCode, body: &str) -> CliError {
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Unauthenticated,
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            ErrorKind::Unreachable
        }
        _ => ErrorKind::Failed,
    };
    let excerpt: String = body.lines().next().unwrap_or_default().chars().take(EXCERPT).collect();
    let message = format!("{base} answered {status}");
    let error = if excerpt.trim().is_empty() {
        CliError::new(kind, message)
    } else {
        CliError::caused(kind, message, anyhow::Error::msg(crate::output::sanitize(&excerpt)))
    };
    error.hint("this is not an answer of Eve's; is the address right, and what stands between?")
}
