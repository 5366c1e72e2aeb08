//! Making requests more or less urgent, wherever they wait.
//!
//! The urgency is a part of the queue's key, so a request that is ready is taken out and put in again. What is parked
//! keeps its row and what it waits for. What runs goes on running; the new urgency is for when it comes back.

use eve_core::Place;
use eve_core::Priority;
use eve_core::RequestId;
use eve_store::OrgTx;
use eve_store::StoreError;
use eve_store::lease;
use eve_store::parked;
use eve_store::queue;
use eve_store::standing::Standing;

use super::Aftermath;
use super::Decided;
use super::Ready;
use super::record;
use crate::Topic;

/// Writes that locked requests are as urgent as this from now on.
pub(crate) async fn reprioritise(
    tx: &mut OrgTx,
    decided: Vec<Decided<'_>>,
    priority: Priority,
    aftermath: &mut Aftermath,
) -> Result<(), StoreError> {
    let at = |place: Place| decided.iter().map(|one| &one.before).filter(move |before| before.place == place);
    let ids = |place: Place| at(place).map(|before| before.id).collect::<Vec<RequestId>>();
    lease::lease_reprioritise(tx, &ids(Place::Lease), priority).await?;
    parked::parked_reprioritise(tx, &ids(Place::Parked), priority).await?;
    let before: Vec<&Standing> = at(Place::Queue).collect();
    queue::queue_leave(tx, &before).await?;
    let after: Vec<Standing> = before.into_iter().map(|before| Standing { priority, ..before.clone() }).collect();
    queue::queue_enter(tx, &after).await?;
    aftermath.ready.extend(after.iter().map(|one| Ready { lane: one.lane, priority, id: one.id }));
    aftermath.topics.extend(decided.iter().map(|one| Topic::Request(one.before.id)));
    record(tx, &decided, aftermath).await
}
