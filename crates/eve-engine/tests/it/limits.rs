use eve_core::ProjectId;
use eve_engine::Bootstrap;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::ErrorKind;
use eve_engine::InstallationLimits;
use eve_engine::Limit;
use eve_engine::LimitScope;
use eve_engine::NewWorker;
use eve_engine::OpContext;
use eve_engine::RequestDraft;
use eve_engine::Role;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::sqlx_free;
use crate::harness::success;
use crate::harness::worker;

fn own(scope: LimitScope, name: &str, max_running: u32, running: i64) -> Limit {
    Limit { scope, name: name.to_owned(), max_running, running: Some(running), of_installation: false }
}

/// A project, which no use case makes yet.
fn project(world: &World, owner: &OpContext) -> ProjectId {
    let id = eve_store::new_id();
    let sql = format!(
        "INSERT INTO eve.projects (org_id, id, slug, name) VALUES ('{}', '{id}', 'shop', 'Shop')",
        owner.org_id.uuid()
    );
    sqlx_free::execute(&world.database, &sql);
    ProjectId::from_uuid(id)
}

async fn stranger(world: &World) -> OpContext {
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    world.engine.authenticate(&key).await.expect("its key")
}

impl World {
    async fn limit(&self, scope: LimitScope, name: &str, max: Option<u32>) -> Result<String, eve_engine::Error> {
        self.engine.limit_put(&self.owner, scope, name, max).await
    }

    async fn limits(&self, ctx: &OpContext) -> Vec<Limit> {
        self.engine.limit_list(ctx).await.expect("listed")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_until_it_is_lifted() {
    let world = World::new().await;
    world.limit(LimitScope::Organization, "", Some(2)).await.expect("set");
    for n in 0..5 {
        world.ask(draft(&format!("{n}"))).await;
    }
    let first = world.claim(20).await;
    assert_eq!(first.len(), 2);
    assert_eq!(world.limits(&world.owner).await, [own(LimitScope::Organization, "", 2, 2)]);
    world.limit(LimitScope::Organization, "", Some(3)).await.expect("raised");
    assert_eq!(world.claim_waiting(20, std::time::Duration::from_secs(2)).await.len(), 1);
    world.limit(LimitScope::Organization, "", Some(0)).await.expect("closed");
    world.settle(&first[0], success()).await.expect("what runs goes on");
    assert!(world.claim(20).await.is_empty());
    assert_eq!(world.limits(&world.owner).await, [own(LimitScope::Organization, "", 0, 2)]);
    world.limit(LimitScope::Organization, "", None).await.expect("lifted");
    world.limit(LimitScope::Organization, "", None).await.expect("lifted again");
    assert_eq!(world.limits(&world.owner).await, []);
    assert_eq!(world.claim_waiting(20, std::time::Duration::from_secs(2)).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_a_worker_that_waits_already() {
    let world = World::new().await;
    let twin = Engine::start(world.database.store(), EngineOptions::default()).await.expect("twin");
    // Both processes learn that there are no limits: from now on requests go straight to whoever waits.
    for engine in [&world.engine, &twin] {
        let wait = std::time::Duration::ZERO;
        assert!(
            engine.queue_claim(&worker(), world.worker, &["*".to_owned()], 1, wait).await.expect("asked").is_empty()
        );
    }
    let claims = async |engine: &Engine| {
        let wait = std::time::Duration::from_secs(5);
        engine.queue_claim(&worker(), world.worker, &["*".to_owned()], 1, wait).await.expect("claimed").len()
    };
    let ask = async {
        // By now each process knows that it is not alone, and tells the other.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        world.limit(LimitScope::WorkerType, "general", Some(0)).await.expect("set");
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        world.ask(draft("has no room")).await;
        twin.request_create(&world.owner, draft("nor has this"), None).await.expect("created");
    };
    let (here, there, ()) = tokio::join!(claims(&world.engine), claims(&twin), ask);
    assert_eq!((here, there), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scope_counts_its_own() {
    let world = World::new().await;
    let project = project(&world, &world.owner);
    // A plain UUID names the same project.
    let name = world.limit(LimitScope::Project, &project.uuid().to_string(), Some(1)).await.expect("set");
    assert_eq!(name, project.to_string());
    world.limit(LimitScope::WorkerType, "code-review", Some(2)).await.expect("set");
    for n in 0..3 {
        world.ask(RequestDraft { project_id: Some(project), ..draft(&format!("shop {n}")) }).await;
        world.ask(RequestDraft { worker_type: Some("code-review".into()), ..draft(&format!("review {n}")) }).await;
        world.ask(draft(&format!("free {n}"))).await;
    }
    let claims = world.claim_waiting(20, std::time::Duration::from_secs(1)).await;
    let of = |prefix: &str| claims.iter().filter(|claim| claim.prompt.starts_with(prefix)).count();
    assert_eq!((of("shop"), of("review"), of("free")), (1, 2, 3));
    let expected = [own(LimitScope::Project, &name, 1, 1), own(LimitScope::WorkerType, "code-review", 2, 2)];
    assert_eq!(world.limits(&world.owner).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_sets_limits_and_nobody_sees_anothers() {
    let world = World::new().await;
    let member = OpContext { role: Role::Member, ..world.owner.clone() };
    let other = stranger(&world).await;
    let theirs = project(&world, &other);
    world.limit(LimitScope::Organization, "", Some(2)).await.expect("set");
    for max in [Some(9), None] {
        let refused = world.engine.limit_put(&member, LimitScope::Organization, "", max).await.expect_err("no admin");
        assert_eq!(refused.kind, ErrorKind::Forbidden);
    }
    world.ask(draft("mine")).await;
    world.run_one().await;
    assert_eq!(world.limits(&member).await, [own(LimitScope::Organization, "", 2, 1)]);
    assert_eq!(world.limits(&other).await, []);
    world.engine.limit_put(&other, LimitScope::Organization, "", Some(7)).await.expect("set");
    assert_eq!(world.limits(&other).await, [own(LimitScope::Organization, "", 7, 0)]);
    world.engine.limit_put(&other, LimitScope::Organization, "", None).await.expect("lifted");
    assert_eq!(world.limits(&world.owner).await, [own(LimitScope::Organization, "", 2, 1)]);
    for max in [Some(1), None] {
        let refused = world.limit(LimitScope::Project, &theirs.to_string(), max).await.expect_err("not ours");
        assert_eq!(refused.message, format!("The organization has no project `{theirs}`."));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_limited_is_refused() {
    let world = World::new().await;
    for (scope, name, max, kind, message) in [
        (LimitScope::Organization, "acme", 1, ErrorKind::Invalid, "has no name"),
        (LimitScope::Organization, "", 1_000_001, ErrorKind::Invalid, "between 0 and 1000000"),
        (LimitScope::Organization, "", u32::MAX, ErrorKind::Invalid, "between 0 and 1000000"),
        (LimitScope::Project, "shop", 1, ErrorKind::Invalid, "`shop` is neither"),
        (LimitScope::WorkerType, "tester", 1, ErrorKind::InvalidWorkerType, "There are: code-review, general."),
        (LimitScope::WorkerType, "No\0", 1, ErrorKind::InvalidWorkerType, "lower-case"),
        (LimitScope::Service, "claude", 1, ErrorKind::Invalid, "[limits]"),
        (LimitScope::Account, "team", 1, ErrorKind::Invalid, "[limits]"),
    ] {
        let refused = world.limit(scope, name, Some(max)).await.expect_err("refused");
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.message.contains(message), "{refused}");
    }
    assert_eq!(world.limits(&world.owner).await, []);
}

fn table(entries: &[(&str, u32)]) -> std::collections::BTreeMap<String, u32> {
    entries.iter().map(|(name, max)| ((*name).to_owned(), *max)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installation_s_limits_come_from_its_configuration() {
    let world = World::new().await;
    let other = stranger(&world).await;
    let limits = InstallationLimits {
        worker_types: table(&[("code-review", 1)]),
        services: table(&[("claude", 2)]),
        accounts: table(&[("team", 3)]),
    };
    world.engine.limits_configure(&limits).await.expect("configured");
    world.engine.limits_configure(&limits).await.expect("at each start");
    world.limit(LimitScope::WorkerType, "code-review", Some(5)).await.expect("set");
    let everybodys = |scope, name: &str, max_running| Limit {
        scope,
        name: name.to_owned(),
        max_running,
        running: None,
        of_installation: true,
    };
    let expected = [
        everybodys(LimitScope::Account, "team", 3),
        everybodys(LimitScope::Service, "claude", 2),
        everybodys(LimitScope::WorkerType, "code-review", 1),
    ];
    assert_eq!(world.limits(&other).await, expected);
    // Two organizations share them.
    for ctx in [&world.owner, &other] {
        for (worker_type, harness) in [("code-review", None), ("general", Some("claude".to_owned())), ("general", None)]
        {
            for n in 0..3 {
                let wanted = Some(worker_type.to_owned());
                let draft = RequestDraft { worker_type: wanted, harness: harness.clone(), ..draft(&format!("{n}")) };
                world.engine.request_create(ctx, draft, None).await.expect("created");
            }
        }
    }
    let signed_in = NewWorker {
        name: "signed in".into(),
        version: "0".into(),
        worker_types: vec!["*".into()],
        harnesses: serde_json::json!([]),
        slots: 20,
        account: Some("team".into()),
    };
    let signed_in = world.engine.worker_register(&worker(), &signed_in).await.expect("entered");
    let first = world.claim_as(signed_in, 20, std::time::Duration::from_secs(1)).await;
    assert_eq!(first.len(), 3, "the account has no more");
    let mut claims = world.claim_as(world.worker, 20, std::time::Duration::from_secs(1)).await;
    claims.extend(first);
    let reviews = claims.iter().filter(|claim| claim.worker_type == "code-review").count();
    let claude = claims.iter().filter(|claim| claim.harness.as_deref() == Some("claude")).count();
    assert_eq!((reviews, claude, claims.len()), (1, 2, 9));

    let impossible = InstallationLimits { worker_types: table(&[("Not one", 1)]), ..InstallationLimits::default() };
    world.engine.limits_configure(&impossible).await.expect_err("no such name is possible");
    let fewer = InstallationLimits { services: table(&[("codex", 1)]), ..InstallationLimits::default() };
    world.engine.limits_configure(&fewer).await.expect("configured");
    assert_eq!(world.limits(&other).await, [everybodys(LimitScope::Service, "codex", 1)]);
    assert_eq!(world.limits(&world.owner).await.len(), 2, "an organization's own limits stay");
}
