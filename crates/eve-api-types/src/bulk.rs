//! Many requests in one call, and one change for many requests.

use std::collections::BTreeMap;

use eve_core::BulkActionId;
use eve_core::ProjectId;
use eve_core::Reference;
use eve_core::RequestId;
use eve_core::UserId;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::NewRequest;
use crate::RequestStatus;

/// Asks for many things to be done: all of them, or none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequests {
    /// Between 1 and 1000 requests.
    #[schema(value_type = Vec<BulkRequestForm>)]
    pub requests: Vec<Value>,
}

/// One of many requests: a request, and the name by which others of the same call know it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = BulkRequest)]
pub struct BulkRequestForm {
    /// A name within the call, of up to 200 characters. Others of the call say `ref:NAME` in `blocked_by` and `parent_id`
    /// where the id of a request could stand.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The request.
    #[serde(flatten)]
    pub request: NewRequest,
}

/// One of many requests, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BulkRequest {
    /// Its name within the call.
    pub name: Option<String>,
    /// What must be finished first.
    pub blocked_by: Vec<Reference>,
    /// The request that it is a part of.
    pub parent: Option<Reference>,
    /// Everything else.
    pub request: NewRequest,
}

/// Why one of many requests cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRequestFault {
    /// Its name within the call, as far as it could be read.
    pub name: Option<String>,
    /// The field: a JSON pointer without its first slash; empty if all of it is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl BulkRequest {
    /// Reads one of many requests.
    ///
    /// # Errors
    /// The first thing that is wrong with its form.
    pub fn parse(value: Value) -> Result<Self, BulkRequestFault> {
        let mut read = Self::default();
        let wrong = |name: &Option<String>, field: String, message: String| {
            Err(BulkRequestFault { name: name.clone(), field, message })
        };
        let Value::Object(mut map) = value else {
            return wrong(&None, String::new(), "expected an object".to_owned());
        };
        match map.remove("ref") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) => read.name = Some(name),
            Some(_) => return wrong(&None, "ref".to_owned(), "expected a string".to_owned()),
        }
        let mut taken = |names: [&'static str; 2]| {
            let found: Vec<(&str, Value)> =
                names.into_iter().filter_map(|name| map.remove(name).map(|value| (name, value))).collect();
            found
        };
        let (blockers, parents) = (taken(["blocked_by", "blockedBy"]), taken(["parent_id", "parentId"]));
        for found in [&blockers, &parents] {
            if let [(first, _), (second, _)] = found.as_slice() {
                return wrong(&read.name, (*second).to_owned(), format!("`{first}` says the same already"));
            }
        }
        for (field, value) in blockers {
            let Value::Array(items) = value else {
                return wrong(&read.name, field.to_owned(), "expected an array of ids and `ref:NAME`s".to_owned());
            };
            for (place, item) in items.into_iter().enumerate() {
                match serde_json::from_value(item) {
                    Ok(reference) => read.blocked_by.push(reference),
                    Err(error) => return wrong(&read.name, format!("{field}/{place}"), error.to_string()),
                }
            }
        }
        for (field, value) in parents.into_iter().filter(|(_, value)| !value.is_null()) {
            match serde_json::from_value(value) {
                Ok(reference) => read.parent = Some(reference),
                Err(error) => return wrong(&read.name, field.to_owned(), error.to_string()),
            }
        }
        match serde_path_to_error::deserialize(Value::Object(map)) {
            Ok(request) => read.request = request,
            Err(error) => {
                let path = error.path().iter().filter_map(|segment| match segment {
                    serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
                    serde_path_to_error::Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
                    serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
                });
                let field = path.collect::<Vec<_>>().join("/");
                return wrong(&read.name, field, error.into_inner().to_string());
            }
        }
        Ok(read)
    }
}

/// Many requests, just asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedRequests {
    /// They, in the order of the call.
    pub items: Vec<CreatedRequest>,
}

/// One of many requests, just asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedRequest {
    /// Its place in the call, from 0.
    pub index: usize,
    /// The name that it has there.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its id.
    #[schema(value_type = String)]
    pub id: RequestId,
}

/// How urgent a request shall be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPriority {
    /// `CRITICAL`, `HIGH`, `MEDIUM` or `LOW`.
    pub priority: String,
}

/// Which requests a bulk action is for: those that fit all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BulkFilter {
    /// Only those with one of these statuses. Of what has another status by the time that its turn comes, nothing is
    /// changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<RequestStatus>,
    /// Only this worker type's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<String>,
    /// Only this project's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project_id: Option<ProjectId>,
    /// Only the children of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent_id: Option<RequestId>,
    /// Only those asked at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_after: Option<Timestamp>,
    /// Only those asked before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_before: Option<Timestamp>,
    /// Only those with this in their title or prompt, in capitals or not; up to 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only these, up to 1000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<RequestId>,
    /// Has to be said where nothing else is: all requests of the organization.
    #[serde(skip_serializing_if = "is_false")]
    pub all: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// One change for many requests.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBulkAction {
    /// `cancel`, `replay` or `reprioritise`.
    pub action: String,
    /// For `reprioritise`: `CRITICAL`, `HIGH`, `MEDIUM` or `LOW`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Which requests.
    pub filter: BulkFilter,
    /// Only says what would happen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preview: bool,
}

/// What a bulk action would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkPreview {
    /// How many requests would be changed.
    pub affected: i64,
    /// The same by how they stand. `waiting` includes those that wait for a person.
    pub affected_by_status: BTreeMap<String, i64>,
    /// How many requests fit the filter and would be left alone.
    pub skipped: i64,
    /// The same by reason, such as `already_completed`, `still_pending` or `already_high`.
    pub skipped_by_reason: BTreeMap<String, i64>,
    /// The first that would be changed, up to 20.
    pub sample: Vec<BulkSample>,
    /// Whether everything was looked at; if not, the numbers are the least.
    pub complete: bool,
}

/// A request that a bulk action would change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkSample {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// How it stands.
    pub status: RequestStatus,
    /// How urgent it is.
    pub priority: String,
    /// Who does it.
    pub worker_type: String,
    /// A line for lists.
    pub title: String,
}

/// One change for many requests, and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkAction {
    /// Its id.
    #[schema(value_type = String)]
    pub id: BulkActionId,
    /// Who asked.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// `cancel`, `replay` or `reprioritise`.
    pub action: String,
    /// How urgent it makes requests, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Which requests.
    pub filter: BulkFilter,
    /// `pending`, `running`, `completed` or `cancelled`.
    pub state: String,
    /// Requests changed.
    pub done: i64,
    /// Requests left alone.
    pub skipped: i64,
    /// The same by reason, such as `already_completed`.
    pub skipped_by_reason: BTreeMap<String, i64>,
    /// Requests that could not be changed.
    pub failed: i64,
    /// The same by reason, such as `invalid_worker_type`.
    pub failed_by_reason: BTreeMap<String, i64>,
    /// The last request that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<RequestId>,
    /// When it was asked. Only requests from before count.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the first request was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl BulkAction {
    /// Whether nothing more is done.
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }
}
