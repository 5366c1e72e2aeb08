//! Many requests in one call, and bulk actions.

use eve_api_types::BulkAction;
use eve_api_types::BulkFilter;
use eve_api_types::BulkPreview;
use eve_api_types::BulkRequest;
use eve_api_types::BulkSample;
use eve_api_types::CreatedRequest;
use eve_api_types::CreatedRequests;
use eve_api_types::NewBulkAction;
use eve_api_types::ProblemEntry;
use eve_api_types::RequestStatus;
use eve_core::BulkChange;
use eve_core::Priority;
use eve_core::RequestId;
use eve_engine::BulkActionRow;
use eve_engine::BulkLine;
use eve_engine::Candidate;
use eve_engine::LineFault;
use eve_engine::RequestFilter;
use serde_json::Value;

use super::request_draft;
use super::request_filter;
use super::requests::status;
use crate::error::ApiError;

/// One of many requests, or what is wrong with its form.
pub(crate) fn bulk_line((index, value): (usize, Value)) -> Result<BulkLine, LineFault> {
    let read = BulkRequest::parse(value).map_err(|fault| LineFault {
        index,
        name: fault.name,
        field: fault.field,
        message: format!("It is not what is expected here: {}.", fault.message),
    })?;
    let name = read.name;
    // The one field of a request whose text is read here.
    let draft = request_draft(read.request).map_err(|error| LineFault {
        index,
        name: name.clone(),
        field: "priority".to_owned(),
        message: error.detail().to_owned(),
    })?;
    Ok(BulkLine { name, draft, blocked_by: read.blocked_by, parent: read.parent })
}

/// The names that requests have within a call.
pub(crate) fn line_names(lines: &[Result<BulkLine, LineFault>]) -> Vec<Option<String>> {
    lines.iter().map(|line| line.as_ref().ok().and_then(|line| line.name.clone())).collect()
}

/// The requests of a call with their names.
pub(crate) fn created_requests(ids: Vec<RequestId>, names: Vec<Option<String>>) -> CreatedRequests {
    let each = ids.into_iter().zip(names).enumerate();
    CreatedRequests { items: each.map(|(index, (id, name))| CreatedRequest { index, name, id }).collect() }
}

/// A refusal with an entry for each request that is wrong.
pub(crate) fn line_faults(faults: Vec<LineFault>) -> ApiError {
    let entries: Vec<ProblemEntry> = faults
        .into_iter()
        .map(|fault| {
            let slash = if fault.field.is_empty() { "" } else { "/" };
            ProblemEntry {
                index: fault.index,
                name: fault.name,
                pointer: format!("/requests/{}{slash}{}", fault.index, fault.field),
                detail: fault.message,
            }
        })
        .collect();
    let first = entries.first().map_or("", |entry| entry.detail.as_str());
    let place = entries.first().map_or(0, |entry| entry.index) + 1;
    let detail = match entries.len() {
        1 => format!("Nothing was created, since request {place} of the call is wrong: {first}"),
        count => format!(
            "Nothing was created, since {count} requests of the call are wrong; `errors` names each. Request {place}: \
             {first}"
        ),
    };
    ApiError::invalid(detail).with_entries(entries)
}

/// What a bulk action shall do.
pub(crate) fn bulk_change(new: &NewBulkAction) -> Result<BulkChange, ApiError> {
    let priority = new.priority.as_deref().map(str::parse::<Priority>).transpose();
    let priority = priority.map_err(|error| ApiError::invalid(format!("{error}.")))?;
    BulkChange::from_name(&new.action, priority).ok_or_else(|| {
        ApiError::invalid(match new.action.as_str() {
            "reprioritise" => "`reprioritise` needs a `priority`: CRITICAL, HIGH, MEDIUM or LOW.".to_owned(),
            "cancel" | "replay" => format!("`{}` takes no `priority`.", new.action),
            other => format!("`{other}` is not an action. There are: cancel, replay, reprioritise."),
        })
    })
}

/// Which requests a bulk action is for.
pub(crate) fn bulk_filter(filter: BulkFilter) -> Result<RequestFilter, ApiError> {
    let says_nothing = BulkFilter { all: false, ..filter.clone() } == BulkFilter::default();
    if says_nothing && !filter.all {
        let message = "The filter says nothing. If all requests of the organization are meant, say `\"all\": true`.";
        return Err(ApiError::invalid(message));
    }
    if !says_nothing && filter.all {
        return Err(ApiError::invalid("`all` and other parts of the filter exclude each other."));
    }
    let base = request_filter(&filter.status, filter.worker_type.as_deref(), filter.project_id, filter.parent_id)?;
    Ok(RequestFilter {
        created_after: filter.created_after,
        created_before: filter.created_before,
        text: filter.text,
        ids: filter.ids,
        ..base
    })
}

/// What a bulk action would do.
pub(crate) fn bulk_preview(preview: eve_engine::BulkPreview) -> BulkPreview {
    BulkPreview {
        affected: preview.affected.values().sum(),
        affected_by_status: preview.affected.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect(),
        skipped: preview.skipped.values().sum(),
        skipped_by_reason: preview.skipped,
        sample: preview.sample.into_iter().map(bulk_sample).collect(),
        complete: preview.complete,
    }
}

fn bulk_sample(candidate: Candidate) -> BulkSample {
    BulkSample {
        id: candidate.id,
        status: status(candidate.facts.state, candidate.reason.as_deref()),
        priority: candidate.facts.priority.name().to_owned(),
        worker_type: candidate.worker_type,
        title: candidate.title,
    }
}

/// A bulk action.
pub(crate) fn bulk_action(row: BulkActionRow) -> BulkAction {
    BulkAction {
        id: row.id,
        user_id: row.user_id,
        action: row.change.name().to_owned(),
        priority: row.change.priority().map(|priority| priority.name().to_owned()),
        filter: filter_asked(row.filter),
        state: row.state.name().to_owned(),
        done: row.done,
        skipped: row.skipped,
        skipped_by_reason: row.reasons.skipped,
        failed: row.failed,
        failed_by_reason: row.reasons.failed,
        cursor: row.cursor,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    }
}

/// The filter as it was asked for.
fn filter_asked(filter: RequestFilter) -> BulkFilter {
    let all = filter == RequestFilter::default();
    let answer = filter.answer;
    let statuses = filter.states.iter().flat_map(|state| {
        let both = [status(*state, None), status(*state, Some(super::requests::ANSWER))];
        let wanted = both.into_iter().filter(move |status| match answer {
            Some(true) => *status != RequestStatus::Waiting,
            Some(false) => *status != RequestStatus::WaitingInput,
            None => true,
        });
        wanted.collect::<Vec<_>>()
    });
    let mut named: Vec<RequestStatus> = statuses.collect();
    named.dedup();
    BulkFilter {
        status: named,
        worker_type: filter.worker_type.map(|name| name.as_str().to_owned()),
        project_id: filter.project_id,
        parent_id: filter.parent_id,
        created_after: filter.created_after,
        created_before: filter.created_before,
        text: filter.text,
        ids: filter.ids,
        all,
    }
}
