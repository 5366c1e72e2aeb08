//! The result of a request as a few lines for people, and what to do next.

use eve_api_types::Request;
use eve_api_types::RequestResult;
use eve_core::ResultStatus;

use crate::output::Paint;
use crate::output::Style;
use crate::output::count;
use crate::output::money;
use crate::output::plural;
use crate::output::sanitize;
use crate::output::span;
use crate::output::status_style;

/// Columns of the names before the values.
const NAME_WIDTH: usize = 10;

/// The result, each line ended.
pub(crate) fn result_block(request: &Request, result: &RequestResult, paint: Paint) -> String {
    let mut block = String::new();
    let mut add = |name: &str, value: &str| {
        let name = paint.apply(Style::Faint, &format!("{name:NAME_WIDTH$}"));
        block.push_str(&format!("{name}{value}\n"));
    };
    add("status", &paint.apply(status_style(request.status), &headline(request, result)));
    add("request", &request.id.to_string());
    let mut summary = sanitize(&result.summary).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    if let Some(first) = summary.next() {
        add("summary", &first);
        summary.for_each(|line| add("", &line));
    }
    if let Some(branch) = &result.branch {
        let commit = result.commit.as_deref().map(|commit| format!(" ({})", commit.get(..12).unwrap_or(commit)));
        add("branch", &sanitize(&format!("{branch}{}", commit.unwrap_or_default())));
        add("changed", &plural(result.files_changed.into(), "file"));
    }
    if let Some(address) = &result.pull_request {
        add("pull", &sanitize(address));
    }
    add("duration", &span(result.duration_ms));
    if result.tokens_used > 0 {
        let model = result.model.as_deref().map(|model| format!(" with {model}")).unwrap_or_default();
        let tokens = format!(
            "{} ({} in, {} out, {} cached){model}",
            count(result.tokens_used),
            count(result.input_tokens),
            count(result.output_tokens),
            count(result.cache_read_tokens.saturating_add(result.cache_write_tokens)),
        );
        add("tokens", &sanitize(&tokens));
        let basis = result.cost_basis.as_deref().map(|basis| format!(" ({basis})")).unwrap_or_default();
        add("cost", &result.cost_usd.map_or("unknown".to_owned(), |cost| format!("{}{basis}", money(cost))));
    } else {
        add("cost", "none: no model was used");
    }
    if let Some(error) = &result.error {
        let code = result.error_code.as_deref().map(|code| format!(" [{code}]")).unwrap_or_default();
        add("error", &paint.apply(Style::Bad, &sanitize(&format!("{error}{code}"))));
    }
    block
}

fn headline(request: &Request, result: &RequestResult) -> String {
    let mark = match result.status {
        ResultStatus::Success => "✓",
        ResultStatus::Error | ResultStatus::Timeout => "✗",
        ResultStatus::Partial | ResultStatus::NeedsInput | ResultStatus::Cancelled => "!",
    };
    let status = request.status.name();
    match result.status {
        ResultStatus::Success | ResultStatus::Error | ResultStatus::Cancelled => format!("{mark} {status}"),
        other => format!("{mark} {status} ({})", other.name().replace('_', " ")),
    }
}

/// What one may want to do with a result, as lines to copy.
pub(crate) fn next_steps(request: &Request, result: &RequestResult) -> Vec<String> {
    let short = request.id.short();
    let mut steps = Vec::new();
    if result.branch.is_some() && result.files_changed > 0 {
        steps.push(format!("eve diff {short}"));
    }
    if let (Some(branch), Some(repository)) = (&result.branch, &request.repository)
        && std::path::Path::new(repository).is_absolute()
        && is_plain_word(branch)
    {
        let quoted = || format!("'{}'", repository.replace('\'', r"'\''"));
        let place = if is_plain_word(repository) { repository.clone() } else { quoted() };
        steps.push(format!("git -C {place} merge {branch}"));
    }
    steps.push(format!("eve result output {short}"));
    let mut lines = vec![String::new(), "next:".to_owned()];
    lines.extend(steps.into_iter().map(|step| format!("  {}", sanitize(&step))));
    lines
}

/// Whether a shell reads the text as one word without quotes.
fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || "-_./@+:,".contains(letter))
}
