use eve_core::Outcome;
use eve_core::Priority;
use eve_core::Reference;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::Bootstrap;
use eve_engine::BulkCreateOutcome;
use eve_engine::BulkLine;
use eve_engine::ErrorKind;
use eve_engine::LineFault;
use eve_engine::RequestDraft;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::success;

/// A line of this name that waits for these: names, or ids.
fn line(name: &str, blocked_by: &[&str]) -> BulkLine {
    let reference = |text: &&str| text.parse().unwrap_or_else(|_| Reference::Name((*text).to_owned()));
    BulkLine {
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        draft: draft(&format!("do {name}")),
        blocked_by: blocked_by.iter().map(reference).collect(),
        parent: None,
    }
}

impl World {
    async fn ask_all(&self, lines: Vec<BulkLine>, key: Option<&str>) -> BulkCreateOutcome {
        let lines = lines.into_iter().map(Ok).collect();
        self.engine.request_create_bulk(&self.owner, lines, key).await.expect("answered")
    }

    pub(crate) async fn created(&self, lines: Vec<BulkLine>) -> Vec<RequestId> {
        match self.ask_all(lines, None).await {
            BulkCreateOutcome::Created(ids) => ids,
            other => panic!("{other:?}"),
        }
    }

    /// What is wrong with a call; nothing of it is stored.
    async fn refused(&self, lines: Vec<BulkLine>) -> Vec<String> {
        let before = self.count("SELECT count(*) FROM eve.requests");
        let BulkCreateOutcome::Refused(faults) = self.ask_all(lines, Some("refused")).await else {
            panic!("it was taken in")
        };
        assert_eq!(self.count("SELECT count(*) FROM eve.requests"), before);
        assert_eq!(self.count("SELECT count(*) FROM eve.idempotency_keys"), 0, "a refused call keeps no key");
        let told = |fault: LineFault| {
            format!("{} {} {}: {}", fault.index, fault.name.unwrap_or_default(), fault.field, fault.message)
        };
        faults.into_iter().map(told).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_call_wait_for_each_other_in_whatever_order_they_come() {
    let world = World::new().await;
    let earlier = world.ask(draft("earlier")).await.id;
    let lines = vec![
        line("publish", &["test", "lint", "test"]),
        line("lint", &[]),
        line("", &[]),
        line("test", &["lint", &earlier.to_string()]),
    ];
    let ids = world.created(lines).await;
    let [publish, lint, plain, test] = ids[..] else { panic!("{ids:?}") };
    assert_eq!(world.get(publish).await.blocked_by, [test, lint, test]);
    assert_eq!(world.get(test).await.blocked_by, [lint, earlier]);
    assert!(lint < test && test < publish, "what waits is younger than what it waits for");
    for (id, state) in [(publish, StateName::Blocked), (test, StateName::Blocked), (plain, StateName::Pending)] {
        assert_eq!(world.get(id).await.state, state);
    }
    world.assert_places();
    let mut ran = Vec::new();
    while let Some(claim) = world.claim(1).await.pop() {
        ran.push(claim.request_id);
        world.settle(&claim, success()).await.expect("settled");
    }
    assert_eq!(ran, [earlier, lint, plain, test, publish]);
    assert_eq!(world.count("SELECT count(*) FROM eve.dependencies"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_is_told_at_once_and_nothing_is_stored() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    let other = world.engine.authenticate(&key).await.expect("its key");
    let theirs = match world.engine.request_create(&other, draft("theirs"), None).await.expect("created") {
        eve_engine::CreateOutcome::Created(row) | eve_engine::CreateOutcome::Repeated(row) => row.id,
    };
    let nobody = RequestDraft { worker_type: Some("nobody".into()), ..draft("for nobody") };
    let mut lines = vec![
        line("good", &[]),
        BulkLine { draft: draft(" "), ..line("empty", &[]) },
        line("unknown", &["good", "lynt"]),
        line("good", &[]),
        BulkLine { draft: nobody, ..line("", &[]) },
        line("foreign", &[&theirs.to_string()]),
        BulkLine { parent: Some(Reference::Id(theirs)), ..line("child", &[]) },
        BulkLine { draft: RequestDraft { max_attempts: Some(0), ..draft("x") }, ..line("tries", &[]) },
        line("", &["good"]),
    ];
    let mut told = world.refused(lines.clone()).await;
    for line in &mut told {
        *line = line.replace(&theirs.to_string(), "[THEIRS]");
    }
    assert!(told[3].starts_with("4  worker_type: Invalid worker type"), "{told:?}");
    told.remove(3);
    assert_eq!(
        told,
        [
            "1 empty prompt: `prompt` is empty. Say what is to be done.",
            "2 unknown blocked_by/1: No request of this call has the `ref` `lynt`.",
            "3 good ref: `good` is the `ref` of request 1 already.",
            "5 foreign blocked_by/0: `[THEIRS]` names what is not there.",
            "6 child parent_id: `[THEIRS]` names what is not there.",
            "7 tries max_attempts: `max_attempts` is between 1 and 100.",
        ]
    );
    // A line that could not even be read is told with the others, and its name is known all the same.
    lines.truncate(1);
    let unread = LineFault { index: 1, name: Some("broken".into()), field: "promt".into(), message: "?".into() };
    let all = vec![Ok(line("first", &["broken"])), Err(unread.clone())];
    let BulkCreateOutcome::Refused(faults) =
        world.engine.request_create_bulk(&world.owner, all, None).await.expect("answered")
    else {
        panic!("it was taken in")
    };
    assert_eq!(faults, [unread]);
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_are_named() {
    let world = World::new().await;
    let circle = vec![line("d", &["a"]), line("a", &["b"]), line("b", &["c"]), line("c", &["a"])];
    assert_eq!(world.refused(circle).await, ["1 a : These wait for each other in a circle: a → b → c → a."]);
    assert_eq!(
        world.refused(vec![line("self", &["self"])]).await,
        ["0 self : These wait for each other in a circle: self → self."]
    );
    let child = |name: &str, parent: &str| BulkLine { parent: Some(Reference::Name(parent.into())), ..line(name, &[]) };
    assert_eq!(
        world.refused(vec![child("a", "b"), child("b", "a")]).await,
        ["0 a : These wait for each other in a circle: a → b → a."]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_key_is_made_once() {
    let world = World::new().await;
    let lines = || vec![line("b", &["a"]), line("a", &[])];
    let BulkCreateOutcome::Created(first) = world.ask_all(lines(), Some("k")).await else { panic!("not new") };
    let BulkCreateOutcome::Repeated(again) = world.ask_all(lines(), Some("k")).await else { panic!("new") };
    assert_eq!(first, again);
    let one = || vec![line("only", &[])];
    let BulkCreateOutcome::Created(first) = world.ask_all(one(), Some("k1")).await else { panic!("not new") };
    let BulkCreateOutcome::Repeated(again) = world.ask_all(one(), Some("k1")).await else { panic!("new") };
    assert_eq!(first, again);
    let other = vec![Ok(line("a", &[]))];
    let error = world.engine.request_create_bulk(&world.owner, other, Some("k")).await.expect_err("another call");
    assert_eq!(error.kind, ErrorKind::IdempotencyConflict);
    let error = world.engine.request_create(&world.owner, draft("one"), Some("k")).await.expect_err("another call");
    assert_eq!(error.kind, ErrorKind::IdempotencyConflict);
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 3);
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view WHERE kind = 'request:created'"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_inherit_and_are_waited_for() {
    let world = World::new().await;
    let parent = world.ask(RequestDraft { priority: Some(Priority::High), ..draft("parent") }).await.id;
    let child = |name: &str, parent: Reference| BulkLine { parent: Some(parent), ..line(name, &[]) };
    let first = world.created(vec![child("first", Reference::Id(parent))]).await[0];
    let mut claims = world.claim(2).await;
    claims.sort_unstable_by_key(|claim| claim.request_id);
    assert_eq!(world.settle(&claims[0], Outcome::AwaitsChildren).await.expect("lies down"), StateName::Waiting);
    let grandchild = child("grandchild", Reference::Name("child".into()));
    let more = world.created(vec![grandchild, child("child", Reference::Id(parent))]).await;
    let rows = [world.get(more[0]).await, world.get(more[1]).await];
    assert_eq!((rows[1].parent_id, rows[0].parent_id), (Some(parent), Some(more[1])));
    assert!(rows.iter().all(|row| row.priority == Priority::High), "as urgent as what they are for");
    assert_eq!(claims[1].request_id, first);
    world.settle(&claims[1], success()).await.expect("settled");
    assert_eq!(world.get(parent).await.state, StateName::Waiting, "it waits for the second child as well");
    world.engine.request_cancel(&world.owner, more[1]).await.expect("cancelled");
    assert_eq!(world.get(parent).await.state, StateName::Pending);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_failure_fails_with_all_that_waits_for_it() {
    let world = World::new().await;
    let failed = world.ask(draft("failed")).await.id;
    world.engine.request_cancel(&world.owner, failed).await.expect("cancelled");
    let mut proceeding = line("proceeds", &[&failed.to_string()]);
    proceeding.draft.on_dependency_failure = eve_core::DependencyPolicy::Proceed;
    let ids = world.created(vec![line("b", &["a"]), line("a", &[&failed.to_string()]), proceeding]).await;
    let states = [world.get(ids[0]).await.state, world.get(ids[1]).await.state, world.get(ids[2]).await.state];
    assert_eq!(states, [StateName::Failed, StateName::Failed, StateName::Pending]);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_limits() {
    let world = World::new().await;
    for count in [0, 1001] {
        let lines = (0..count).map(|_| Ok(line("", &[]))).collect();
        let error = world.engine.request_create_bulk(&world.owner, lines, None).await.expect_err("refused");
        assert_eq!(error.message, "A call takes between 1 and 1000 requests.");
    }
    let names: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lines: Vec<_> = names.iter().take(979).map(|name| Ok(line(name, &[]))).collect();
    lines.extend((0..21).map(|_| Ok(line("", &all))));
    let error = world.engine.request_create_bulk(&world.owner, lines, None).await.expect_err("refused");
    assert_eq!(error.message, "The requests of one call name at most 20000 others in all.");
    let ids = world.created(names.iter().map(|name| line(name, &all[..usize::from(name != "n0")])).collect()).await;
    assert_eq!(ids.len(), 1000);
    assert_eq!(world.count("SELECT count(*) FROM eve.parked WHERE state = 'blocked' AND open = 1"), 999);
}
