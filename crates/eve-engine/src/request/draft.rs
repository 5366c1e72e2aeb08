//! What a caller wants, checked and completed before it is written.

use eve_core::DependencyPolicy;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::WorkerTypeName;
use eve_store::request;
use eve_store::request::NewRequest;
use eve_store::request::RequestRow;
use eve_store::worker_type;
use jiff::Timestamp;
use serde_json::Value;

use super::limits;
use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::nul::has_nul;

/// What a caller wants, as it came.
#[derive(Debug, Clone)]
pub struct RequestDraft {
    /// Who shall do it.
    pub worker_type: Option<String>,
    /// What to do.
    pub prompt: String,
    /// A line for lists.
    pub title: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// Where to start from.
    pub branch: Option<String>,
    /// Variables for the agent: an object.
    pub context: Value,
    /// Further settings: an object.
    pub config: Value,
    /// Whatever the asker wants to find again: an object.
    pub metadata: Value,
    /// Where the answer goes.
    pub reply_to: Option<Value>,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// The request that creates it.
    pub parent_id: Option<RequestId>,
    /// The request that it repeats.
    pub replay_of: Option<RequestId>,
    /// How urgent.
    pub priority: Option<Priority>,
    /// What must be finished first.
    pub blocked_by: Vec<RequestId>,
    /// What a failed dependency means.
    pub on_dependency_failure: DependencyPolicy,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// The harness.
    pub harness: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Longest run, in seconds.
    pub timeout_seconds: Option<u32>,
    /// Attempts that may count.
    pub max_attempts: Option<u16>,
}

impl Default for RequestDraft {
    fn default() -> Self {
        let empty = || Value::Object(serde_json::Map::new());
        Self {
            worker_type: None,
            prompt: String::new(),
            title: None,
            repository: None,
            branch: None,
            context: empty(),
            config: empty(),
            metadata: empty(),
            reply_to: None,
            project_id: None,
            parent_id: None,
            replay_of: None,
            priority: None,
            blocked_by: Vec::new(),
            on_dependency_failure: DependencyPolicy::Fail,
            run_at: None,
            harness: None,
            model: None,
            timeout_seconds: None,
            max_attempts: None,
        }
    }
}

/// What is wrong with a draft, and with which of its fields.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: Option<&'static str>,
    pub(crate) error: Error,
}

impl Fault {
    fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field), error: Error::invalid(message) }
    }
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        let error = error.into();
        // The one reference that is checked by the database, when a lane is made.
        let field = error.message.starts_with("project_id ").then_some("project_id");
        Self { field, error }
    }
}

impl Fault {
    /// The error alone.
    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

fn text(name: &'static str, value: Option<&str>, limit: usize) -> Result<(), Fault> {
    let Some(value) = value else { return Ok(()) };
    if value.contains('\0') {
        return Err(Fault::of(name, format!("`{name}` holds a NUL character, which no database text can.")));
    }
    if value.len() > limit {
        return Err(Fault::of(name, format!("`{name}` is longer than {limit} bytes.")));
    }
    Ok(())
}

fn json(name: &'static str, value: &Value) -> Result<(), Fault> {
    if has_nul(value) {
        return Err(Fault::of(name, format!("`{name}` holds a NUL character, which no database text can.")));
    }
    if value.to_string().len() > limits::JSON_LEN {
        return Err(Fault::of(name, format!("`{name}` is longer than {} bytes.", limits::JSON_LEN)));
    }
    Ok(())
}

/// The first line of a prompt that says something, cut at a word.
fn derived_title(prompt: &str) -> String {
    let line =
        prompt.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!")).unwrap_or("request");
    if line.chars().count() <= limits::DERIVED_TITLE_LEN {
        return line.to_owned();
    }
    let cut: String = line.chars().take(limits::DERIVED_TITLE_LEN).collect();
    let words = cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head);
    format!("{words}…")
}

impl RequestDraft {
    /// The draft that asks again for what a request asked for.
    pub(crate) fn replay(old: RequestRow) -> Self {
        Self {
            worker_type: Some(old.worker_type),
            prompt: old.prompt,
            title: Some(old.title),
            repository: old.repository,
            branch: old.branch,
            context: old.context,
            config: old.config,
            metadata: old.metadata,
            reply_to: old.reply_to,
            project_id: old.project_id,
            parent_id: old.parent_id,
            replay_of: Some(old.id),
            priority: Some(old.priority),
            blocked_by: Vec::new(),
            on_dependency_failure: old.on_dependency_failure,
            run_at: None,
            harness: old.harness,
            model: old.model,
            timeout_seconds: old.timeout_seconds.and_then(|seconds| u32::try_from(seconds).ok()),
            max_attempts: u16::try_from(old.max_attempts).ok(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.prompt.trim().is_empty() {
            return Err(Fault::of("prompt", "`prompt` is empty. Say what is to be done."));
        }
        text("prompt", Some(&self.prompt), limits::PROMPT_LEN)?;
        text("title", self.title.as_deref(), limits::TITLE_LEN * 4)?;
        text("repository", self.repository.as_deref(), limits::REFERENCE_LEN)?;
        text("branch", self.branch.as_deref(), limits::REFERENCE_LEN)?;
        text("harness", self.harness.as_deref(), limits::TITLE_LEN)?;
        text("model", self.model.as_deref(), limits::TITLE_LEN)?;
        for (name, value) in [("context", &self.context), ("config", &self.config), ("metadata", &self.metadata)] {
            json(name, value)?;
            if !value.is_object() {
                return Err(Fault::of(name, format!("`{name}` is not an object.")));
            }
        }
        if let Some(value) = &self.reply_to {
            json("reply_to", value)?;
        }
        if self.blocked_by.len() > limits::BLOCKED_BY {
            let message = format!("`blocked_by` names more than {} requests.", limits::BLOCKED_BY);
            return Err(Fault::of("blocked_by", message));
        }
        if self.timeout_seconds.is_some_and(|seconds| seconds == 0 || seconds > limits::TIMEOUT_SECONDS) {
            let message = format!("`timeout_seconds` is between 1 and {}.", limits::TIMEOUT_SECONDS);
            return Err(Fault::of("timeout_seconds", message));
        }
        if self.max_attempts.is_some_and(|max| !(1..=100).contains(&max)) {
            return Err(Fault::of("max_attempts", "`max_attempts` is between 1 and 100."));
        }
        Ok(())
    }

    /// Checks the draft against the organization and fills in what it leaves open.
    pub(crate) async fn resolve(self, engine: &Engine, ctx: &OpContext) -> Result<NewRequest, Fault> {
        self.check()?;
        let (store, catalog, org) = (engine.store(), &engine.inner.catalog, ctx.org_id);
        let wanted = self.worker_type.as_deref().unwrap_or("general");
        let unknown_type = |error| Fault { field: Some("worker_type"), error };
        let name: WorkerTypeName = wanted
            .parse()
            .map_err(|error| unknown_type(Error::new(ErrorKind::InvalidWorkerType, format!("{error}."))))?;
        let Some(kind) = catalog.worker_type(store, org, &name).await? else {
            let mut tx = store.org(org).await?;
            let known = worker_type::worker_type_list(&mut tx, org, None).await?;
            tx.commit().await?;
            return Err(unknown_type(crate::worker_type::unknown(&name, &known)));
        };
        // Children are as urgent as what they are for.
        let priority = match (self.priority, self.parent_id) {
            (Some(priority), _) => priority,
            (None, None) => Priority::default(),
            (None, Some(parent)) => {
                let mut tx = store.org(org).await?;
                let inherited = request::request_priority(&mut tx, parent).await?;
                tx.commit().await?;
                let missing = || Fault::of("parent_id", format!("parent_id names what is not there: {parent}."));
                inherited.ok_or_else(missing)?
            }
        };
        let from_config = |key: &str| self.config.get(key).and_then(Value::as_str).map(str::to_owned);
        let timeout_ms = self.config.get("timeout_ms").and_then(Value::as_u64);
        let timeout_seconds = match (self.timeout_seconds, timeout_ms) {
            (Some(seconds), _) => i32::try_from(seconds).ok(),
            (None, Some(ms)) => i32::try_from(ms.div_ceil(1000).clamp(1, u64::from(limits::TIMEOUT_SECONDS))).ok(),
            (None, None) => None,
        };
        let harness = self.harness.or_else(|| from_config("variant"));
        let service = harness.as_deref().or(kind.harness.as_deref()).unwrap_or_default();
        let lane = catalog.lane(store, org, name.as_str(), self.project_id, service).await?;
        Ok(NewRequest {
            id: RequestId::from_uuid(eve_store::new_id()),
            user_id: ctx.user_id,
            parent_id: self.parent_id,
            replay_of: self.replay_of,
            lane,
            title: self
                .title
                .filter(|title| !title.trim().is_empty())
                .map_or_else(|| derived_title(&self.prompt), |title| title.chars().take(limits::TITLE_LEN).collect()),
            harness,
            model: self.model.or_else(|| from_config("model")),
            prompt: self.prompt,
            repository: self.repository,
            branch: self.branch,
            context: self.context,
            config: self.config,
            metadata: self.metadata,
            reply_to: self.reply_to,
            timeout_seconds,
            max_attempts: self.max_attempts.map_or(kind.max_attempts, i32::from),
            on_dependency_failure: self.on_dependency_failure,
            priority,
            run_at: self.run_at,
            blocked_by: self.blocked_by,
            open: 0,
            actor: ctx.actor(),
            lease: None,
            key: None,
        })
    }
}

#[cfg(test)]
mod tests;
