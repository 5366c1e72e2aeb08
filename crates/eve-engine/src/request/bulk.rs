//! Asking for many things in one call, where one may wait for another of the same call.
//!
//! All of a call are taken in, or none. Whatever is wrong is told for each line, so that a caller mends all of it at once.
//! Ids are given in an order in which each request comes after all that it names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use eve_core::Cycle;
use eve_core::Priority;
use eve_core::Reference;
use eve_core::RequestId;
use eve_core::reference_order;
use eve_store::request;
use eve_store::request::CREATE_LIMIT;
use eve_store::request::NewRequest;

use super::Entered;
use super::KeyOfCall;
use super::RequestDraft;
use super::enter;
use super::limits;
use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::transition::Aftermath;

/// One request of a call that asks for many.
#[derive(Debug, Clone, Default)]
pub struct BulkLine {
    /// Its name within the call.
    pub name: Option<String>,
    /// What is asked for; its `blocked_by` and `parent_id` are ignored.
    pub draft: RequestDraft,
    /// What must be finished first.
    pub blocked_by: Vec<Reference>,
    /// The request that it is a part of.
    pub parent: Option<Reference>,
}

/// What is wrong with one request of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Which, from 0.
    pub index: usize,
    /// Its name within the call, where it has one.
    pub name: Option<String>,
    /// The field, as steps of a JSON pointer without the first slash; nothing if all of it is meant.
    pub field: String,
    /// What a person should read.
    pub message: String,
}

/// What asking for many things led to.
#[derive(Debug)]
pub enum BulkCreateOutcome {
    /// New requests, in the order of the call.
    Created(Vec<RequestId>),
    /// Those that an earlier call with the same idempotency key made.
    Repeated(Vec<RequestId>),
    /// Nothing was made; this is wrong, in the order of the call, one for each request at most.
    Refused(Vec<LineFault>),
}

/// Everything that is wrong with a call: the first thing of each line.
struct Faults<'a> {
    names: &'a [Option<String>],
    by_line: BTreeMap<usize, LineFault>,
}

impl Faults<'_> {
    fn add(&mut self, index: usize, field: impl Into<String>, message: impl Into<String>) {
        let name = self.names.get(index).cloned().flatten();
        let fault = LineFault { index, name, field: field.into(), message: message.into() };
        self.by_line.entry(index).or_insert(fault);
    }

    /// How a person finds a line.
    fn called(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(Some(name)) => name.clone(),
            _ => format!("request {}", index + 1),
        }
    }
}

impl Engine {
    /// Asks for many things at once, of which each may wait for others of the same call or be their child. Durable when
    /// it returns.
    ///
    /// A line that could not be read comes as the fault that it is, so that it is told with the others'.
    ///
    /// # Errors
    /// When there are none or more than 1000, they name too many others, or the idempotency key was used for another
    /// call. What is wrong with single requests is an outcome.
    pub async fn request_create_bulk(
        &self,
        ctx: &OpContext,
        lines: Vec<Result<BulkLine, LineFault>>,
        idempotency_key: Option<&str>,
    ) -> Result<BulkCreateOutcome, Error> {
        if lines.is_empty() || lines.len() > CREATE_LIMIT {
            return Err(Error::invalid(format!("A call takes between 1 and {CREATE_LIMIT} requests.")));
        }
        let key = KeyOfCall::new(idempotency_key, &("bulk", &lines))?;
        let names: Vec<Option<String>> = lines.iter().map(line_name).collect();
        let mut faults = Faults { names: &names, by_line: BTreeMap::new() };
        let links = link(&lines, &mut faults)?;
        let known = self.known_requests(ctx, &lines).await?;
        let mut drafts = Vec::with_capacity(lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            drafts.push(match line {
                Ok(line) => {
                    check(index, &line, &known, &mut faults);
                    Some(line)
                }
                Err(fault) => {
                    faults.by_line.insert(index, fault);
                    None
                }
            });
        }
        let order = match reference_order(&links) {
            Ok(order) => order,
            Err(Cycle(cycle)) => {
                let told: Vec<String> = cycle.iter().map(|index| faults.called(*index)).collect();
                let first = cycle.iter().copied().min().unwrap_or_default();
                faults.add(first, "", format!("These wait for each other in a circle: {}.", told.join(" → ")));
                Vec::new()
            }
        };
        let (new, places) = self.resolve_all(ctx, drafts, &order, &known, &mut faults).await?;
        if !faults.by_line.is_empty() {
            return Ok(BulkCreateOutcome::Refused(faults.by_line.into_values().collect()));
        }
        self.enter_all(ctx, new, &places, key, faults).await
    }

    /// How urgent the requests are that these lines name and that are there.
    async fn known_requests(
        &self,
        ctx: &OpContext,
        lines: &[Result<BulkLine, LineFault>],
    ) -> Result<HashMap<RequestId, Priority>, Error> {
        let lines = lines.iter().filter_map(|line| line.as_ref().ok());
        let named = lines.flat_map(|line| line.blocked_by.iter().chain(&line.parent));
        let ids: BTreeSet<RequestId> = named
            .filter_map(|name| match name {
                Reference::Id(id) => Some(*id),
                Reference::Name(_) => None,
            })
            .collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut tx = self.store().org(ctx.org_id).await?;
        let known = request::request_priorities(&mut tx, &ids.into_iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(known)
    }

    /// Completes the drafts in this order. Answers the new requests, and for each its place in the call.
    async fn resolve_all(
        &self,
        ctx: &OpContext,
        mut lines: Vec<Option<BulkLine>>,
        order: &[usize],
        known: &HashMap<RequestId, Priority>,
        faults: &mut Faults<'_>,
    ) -> Result<(Vec<NewRequest>, Vec<usize>), Error> {
        let mut made: HashMap<String, (RequestId, Priority)> = HashMap::new();
        let (mut new, mut places) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
        for index in order.iter().copied() {
            let Some(line) = lines.get_mut(index).and_then(Option::take) else { continue };
            let find = |reference: &Reference| match reference {
                Reference::Id(id) => known.get(id).map(|priority| (*id, *priority)),
                Reference::Name(name) => made.get(name).copied(),
            };
            let mut draft = line.draft;
            let parent = line.parent.as_ref().and_then(find);
            draft.parent_id = parent.map(|(id, _)| id);
            // Children are as urgent as what they are for.
            draft.priority = draft.priority.or(parent.map(|(_, priority)| priority));
            draft.blocked_by = line.blocked_by.iter().filter_map(find).map(|(id, _)| id).collect();
            match draft.resolve(self, ctx).await {
                Ok(request) => {
                    if let Some(name) = line.name {
                        made.insert(name, (request.id, request.priority));
                    }
                    new.push(request);
                    places.push(index);
                }
                Err(fault) if matches!(fault.error.kind, ErrorKind::Invalid | ErrorKind::InvalidWorkerType) => {
                    faults.add(index, fault.field.unwrap_or_default(), fault.error.message);
                }
                Err(fault) => return Err(fault.into_error()),
            }
        }
        Ok((new, places))
    }

    async fn enter_all(
        &self,
        ctx: &OpContext,
        mut new: Vec<NewRequest>,
        places: &[usize],
        key: Option<KeyOfCall<'_>>,
        mut faults: Faults<'_>,
    ) -> Result<BulkCreateOutcome, Error> {
        let mut in_order: Vec<(usize, RequestId)> =
            places.iter().copied().zip(new.iter().map(|request| request.id)).collect();
        in_order.sort_unstable();
        let ids: Vec<RequestId> = in_order.into_iter().map(|(_, id)| id).collect();
        if key.is_none() && new.iter().all(|request| request.blocked_by.is_empty() && request.parent_id.is_none()) {
            self.inner.dispatcher.submit(ctx.org_id, new).await?;
            return Ok(BulkCreateOutcome::Created(ids));
        }
        let mut tx = self.store().org(ctx.org_id).await?;
        if let Some(key) = key {
            let makes: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
            if let Some(made) = key.take(&mut tx, &makes).await? {
                return Ok(BulkCreateOutcome::Repeated(made.into_iter().map(RequestId::from_uuid).collect()));
            }
        }
        let mut aftermath = Aftermath::default();
        if let Entered::Missing(missing) = enter(&mut tx, &mut new, &mut aftermath).await? {
            for name in missing {
                let index = places.get(name.index).copied().unwrap_or_default();
                faults.add(index, name.field, not_there(&name.id.to_string()));
            }
            return Ok(BulkCreateOutcome::Refused(faults.by_line.into_values().collect()));
        }
        tx.commit().await?;
        self.inner.metrics.count_created(&new);
        self.inner.dispatcher.finish(aftermath);
        Ok(BulkCreateOutcome::Created(ids))
    }
}

fn line_name(line: &Result<BulkLine, LineFault>) -> Option<String> {
    match line {
        Ok(line) => line.name.clone(),
        Err(fault) => fault.name.clone(),
    }
}

fn not_there(name: &str) -> String {
    format!("`{name}` names what is not there.")
}

/// Which lines each line names, by their places.
fn link(lines: &[Result<BulkLine, LineFault>], faults: &mut Faults<'_>) -> Result<Vec<Vec<usize>>, Error> {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = line_name(line) else { continue };
        if !(1..=limits::REFERENCE_NAME_LEN).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let limit = limits::REFERENCE_NAME_LEN;
            faults.add(
                index,
                "ref",
                format!("`ref` has between 1 and {limit} characters, none of them a control one."),
            );
        } else if let Some(first) = places.get(&name) {
            faults.add(index, "ref", format!("`{name}` is the `ref` of request {} already.", first + 1));
        } else {
            places.insert(name, index);
        }
    }
    let mut links = vec![Vec::new(); lines.len()];
    let mut count = 0;
    for (index, line) in lines.iter().enumerate() {
        let Ok(line) = line else { continue };
        let blockers = line.blocked_by.iter().enumerate();
        let named = blockers.map(|(place, name)| (format!("blocked_by/{place}"), name));
        for (field, reference) in named.chain(line.parent.iter().map(|name| ("parent_id".to_owned(), name))) {
            count += 1;
            let Reference::Name(name) = reference else { continue };
            match places.get(name) {
                Some(place) => links[index].push(*place),
                None => faults.add(index, field, format!("No request of this call has the `ref` `{name}`.")),
            }
        }
    }
    if count > limits::REFERENCES_OF_CALL {
        let limit = limits::REFERENCES_OF_CALL;
        return Err(Error::invalid(format!("The requests of one call name at most {limit} others in all.")));
    }
    Ok(links)
}

/// What can be said about a line without completing it.
fn check(index: usize, line: &BulkLine, known: &HashMap<RequestId, Priority>, faults: &mut Faults<'_>) {
    if line.blocked_by.len() > limits::BLOCKED_BY {
        faults.add(index, "blocked_by", format!("`blocked_by` names more than {} requests.", limits::BLOCKED_BY));
    }
    let blockers = line.blocked_by.iter().enumerate();
    let named = blockers.map(|(place, name)| (format!("blocked_by/{place}"), name));
    for (field, reference) in named.chain(line.parent.iter().map(|name| ("parent_id".to_owned(), name))) {
        if let Reference::Id(id) = reference
            && !known.contains_key(id)
        {
            faults.add(index, field, not_there(&id.to_string()));
        }
    }
    if let Err(fault) = line.draft.check() {
        faults.add(index, fault.field.unwrap_or_default(), fault.error.message);
    }
}
