//! A worker under a control plane in memory that can be out of reach, slow, and forget it.
//!
//! Agents are scripts under a stand-in for the keeper that obeys its worker and does not look at the clock, so that
//! what the worker does about its lease is seen alone.

mod plane;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use self::plane::Call;
use self::plane::Deaf;
use self::plane::Plane;
use super::*;
use crate::harness::HarnessKind;
use crate::inventory::HarnessEntry;
use crate::inventory::HarnessSettings;
use crate::inventory::SignedIn;

/// A lease, of which the worker uses five sixths.
const LEASE: Duration = Duration::from_millis(1500);
/// What the worker uses.
const PERIOD: Duration = Duration::from_millis(1250);
/// Longest wait for what takes moments.
const SOON: Duration = Duration::from_secs(25);

/// Starts the command and kills it when it is told to or its worker is gone.
const KEEPER: &str = r#"
while [ "$1" != -- ]; do shift; done; shift
"$@" & agent=$!
while read -r order rest; do [ "$order" = kill ] && break; done
kill -9 $agent; wait $agent
exit 137
"#;

struct World {
    plane: Arc<Plane>,
    dir: TempDir,
    stop: CancellationToken,
    hurry: CancellationToken,
    run: JoinHandle<()>,
}

impl World {
    async fn start(slots: u32) -> Self {
        let plane = Arc::new(Plane::new(LEASE));
        let dir = tempfile::tempdir().unwrap();
        let host = HostEnvironment::new([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
        let command = HarnessEntry {
            name: "command".to_owned(),
            kind: HarnessKind::Command,
            program: PathBuf::new(),
            version: None,
            signed_in: SignedIn::NotNeeded,
            settings: HarnessSettings::default(),
        };
        let options = WorkerOptions {
            name: "worker".to_owned(),
            worker_types: vec!["general".to_owned()],
            slots,
            account: None,
            workspaces: dir.path().join("workspaces"),
            workspace: WorkspaceOptions::default(),
            keeper: ["/bin/sh", "-c", KEEPER, "keeper"].map(OsString::from).to_vec(),
            host,
            drain: Duration::from_secs(60),
        };
        let inventory = Inventory { entries: vec![command], missing: Vec::new() };
        let worker = Worker::enter(plane.clone(), inventory, options).await.unwrap();
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let run = tokio::spawn(worker.run(stop.clone(), hurry.clone()));
        Self { plane, dir, stop, hurry, run }
    }

    /// An assignment whose agent says its process number in a file and runs for ever.
    fn ask(&self, number: u128) -> (FencedAttempt, PathBuf) {
        let said = self.dir.path().join(format!("agent-{number}"));
        let prompt = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", said.display());
        (self.plane.ask(number, prompt), said)
    }

    async fn end(self) {
        self.stop.cancel();
        self.hurry.cancel();
        tokio::time::timeout(SOON, self.run).await.expect("the worker ends").unwrap();
    }
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn runs(said: &Path) -> PathBuf {
    let pid = until("the agent runs", || std::fs::read_to_string(said).ok()).await;
    Path::new("/proc").join(pid.trim())
}

#[tokio::test]
async fn what_ran_out_of_time_is_released_until_that_is_answered() {
    let world = World::start(1).await;
    let plane = &world.plane;
    let (attempt, said) = world.ask(1);
    let agent = runs(&said).await;

    plane.set(|state| state.deaf = Deaf::ToAll);
    let cut_off = Instant::now();
    until("the agent is killed", || (!agent.exists()).then_some(())).await;
    // The last heartbeat that was answered was sent before that.
    assert!(cut_off.elapsed() < PERIOD + Duration::from_secs(2), "{:?}", cut_off.elapsed());
    tokio::time::sleep(LEASE).await;
    assert!(!plane.calls().contains(&Call::Released(attempt)), "nothing gets through");

    // The lease was not taken back meanwhile. Ends are not heard at first, heartbeats are.
    plane.set(|state| state.deaf = Deaf::ToEnds);
    let before = plane.calls().len();
    let names = |calls: &[Call]| calls.iter().filter(|call| **call == Call::Named(vec![attempt])).count();
    until("heartbeats name it", || (names(&plane.calls()[before..]) > 3).then_some(())).await;
    until("the release is tried", || plane.calls().contains(&Call::Unheard(attempt)).then_some(())).await;
    plane.set(|state| state.deaf = Deaf::No);
    until("the release is heard", || plane.calls().contains(&Call::Released(attempt)).then_some(())).await;
    let before = plane.calls().len();
    until("heartbeats name it no more", || plane.calls()[before..].contains(&Call::Named(Vec::new())).then_some(()))
        .await;

    assert!(!plane.calls().contains(&Call::Settled(attempt)));
    // The slot is free again.
    let (next, said) = world.ask(2);
    runs(&said).await;
    assert!(plane.calls().contains(&Call::Started(next)));
    world.end().await;
}

#[tokio::test]
async fn nothing_goes_over_to_the_next_session() {
    let world = World::start(2).await;
    let plane = &world.plane;
    let first = plane.session();
    let (running, said) = world.ask(1);
    let agent = runs(&said).await;

    // The worker waits for more work; the answer is on its way when the worker is given up.
    plane.set(|state| state.hold_claims_of = Some(first));
    let (late, late_said) = world.ask(2);
    until("it is claimed", || plane.calls().contains(&Call::Claimed(first, late)).then_some(())).await;
    plane.set(|state| state.known = None);
    let second = until("it enters again", || Some(plane.session()).filter(|id| *id != first)).await;
    until("what ran is killed", || (!agent.exists()).then_some(())).await;
    until("the new session has a lease", || plane.calls().contains(&Call::Heartbeat(second)).then_some(())).await;
    plane.set(|state| state.hold_claims_of = None);

    until("the late one is given back", || plane.calls().contains(&Call::Released(late)).then_some(())).await;
    let (next, said) = world.ask(3);
    runs(&said).await;
    let calls = plane.calls();
    assert!(calls.contains(&Call::Claimed(second, next)), "{calls:?}");
    assert!(!calls.contains(&Call::Started(late)) && !late_said.exists(), "{calls:?}");
    // It was told that what ran is lost, so there is nothing to give back.
    assert!(!calls.contains(&Call::Released(running)) && !calls.contains(&Call::Settled(running)), "{calls:?}");
    world.end().await;
}

#[tokio::test]
async fn a_start_that_is_answered_too_late_starts_nothing() {
    let world = World::start(1).await;
    let plane = &world.plane;
    plane.set(|state| state.hold_starts = true);
    let (attempt, said) = world.ask(1);
    until("it asks for leave", || plane.calls().contains(&Call::Started(attempt)).then_some(())).await;
    plane.set(|state| state.deaf = Deaf::ToHeartbeats);
    tokio::time::sleep(LEASE).await;
    plane.set(|state| state.hold_starts = false);
    until("it is given back", || plane.calls().contains(&Call::Released(attempt)).then_some(())).await;
    assert!(!said.exists());
    // Nor is anything claimed meanwhile.
    let before = plane.calls().len();
    world.ask(2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let claimed = |call: &Call| matches!(call, Call::Claimed(..));
    assert!(!plane.calls()[before..].iter().any(claimed));
    world.end().await;
}

#[tokio::test]
async fn a_worker_that_leaves_does_not_wait_for_a_control_plane_that_is_gone() {
    let world = World::start(1).await;
    let (attempt, said) = world.ask(1);
    let agent = runs(&said).await;
    world.plane.set(|state| state.deaf = Deaf::ToEndsAndHeartbeats);
    let plane = world.plane.clone();
    world.end().await;
    assert!(!agent.exists());
    assert!(plane.calls().contains(&Call::Unheard(attempt)));
}

#[tokio::test]
async fn a_worker_says_that_it_stops_while_a_heartbeat_waits() {
    let world = World::start(1).await;
    let plane = world.plane.clone();
    plane.set(|state| state.hold_heartbeats = true);
    let (_, said) = world.ask(1);
    let agent = runs(&said).await;
    let says = |what| plane.calls().contains(&Call::State(what)).then_some(());
    until("it works", || says(WorkerState::Active)).await;
    world.stop.cancel();
    until("it says that it drains", || says(WorkerState::Draining)).await;
    // Nor does it wait for the answer to that when all is over.
    world.end().await;
    assert!(!agent.exists());
    assert_eq!(says(WorkerState::Stopped), Some(()));
}
