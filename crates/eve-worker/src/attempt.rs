//! One attempt from assignment to report: workspace, harness, agent, result, hand-over.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eve_api_types::Assignment;
use eve_api_types::FencedAttempt;
use eve_api_types::StartRequest;
use eve_core::AgentEvent;
use eve_core::AttemptReport;
use eve_core::Delivery;
use eve_core::FailureClass;
use eve_core::NoticeLevel;
use eve_core::Outcome;
use eve_core::Usage;
use eve_crash::Point;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::control_plane::PlaneError;
use crate::environment::environment;
use crate::harness::CommandSpec;
use crate::harness::Exit;
use crate::harness::Finish;
use crate::harness::Gateway;
use crate::harness::HarnessSpec;
use crate::inventory::HarnessEntry;
use crate::inventory::HostEnvironment;
use crate::inventory::Inventory;
use crate::journal::Journal;
use crate::supervisor;
use crate::supervisor::Directive;
use crate::supervisor::EndCause;
use crate::supervisor::Ended;
use crate::supervisor::Interruption;
use crate::supervisor::Limits;
use crate::supervisor::Reins;
use crate::supervisor::Supervised;
use crate::workspace::CollectLimits;
use crate::workspace::PrepareSpec;
use crate::workspace::Prepared;
use crate::workspace::RepositoryUrl;
use crate::workspace::WorkspaceError;
use crate::workspace::Workspaces;

/// Longest time that packing up a result may take.
const HARVEST_LIMIT: Duration = Duration::from_secs(300);
/// Least time that the lease must still hold for a hand-over to begin.
const HAND_OVER_MARGIN: Duration = Duration::from_secs(1);

/// What an attempt needs of its worker.
pub(crate) struct Tools {
    pub(crate) plane: Arc<dyn ControlPlane>,
    pub(crate) workspaces: Workspaces,
    pub(crate) inventory: Inventory,
    pub(crate) host: HostEnvironment,
    pub(crate) keeper: Vec<OsString>,
    pub(crate) name: String,
}

/// What is to be told about an attempt that is over.
#[derive(Debug)]
pub(crate) enum Over {
    /// Settle it with this.
    Report(Box<AttemptReport>),
    /// Give it back unfinished: its lease may still be there, or it was ended because time was over and nobody has said
    /// that it is not.
    Release,
    /// Nothing: the control plane said that the lease is gone.
    Abandon,
}

/// Why an attempt ends before its agent has reported.
enum Early {
    Failed(FailureClass, String),
    Interrupted(Interruption),
}

impl From<Interruption> for Early {
    fn from(interruption: Interruption) -> Self {
        Self::Interrupted(interruption)
    }
}

impl From<WorkspaceError> for Early {
    fn from(error: WorkspaceError) -> Self {
        Self::Failed(error.class(), error.explain())
    }
}

impl From<PlaneError> for Early {
    fn from(error: PlaneError) -> Self {
        match error {
            PlaneError::Stale => Interruption::Told(Directive::Lost).into(),
            // A start that was not answered is not tried again: who knows what it did.
            PlaneError::Unavailable(_) | PlaneError::Refused(_) => Interruption::Told(Directive::Shutdown).into(),
        }
    }
}

struct Finished {
    outcome: Outcome,
    usage: Usage,
    session_id: Option<String>,
    delivery: Delivery,
    exit: Option<Exit>,
    dropped_bytes: u64,
    ran: Duration,
}

/// Runs an attempt. Whatever happens, no process of it is left when this returns.
pub(crate) async fn run(tools: &Tools, assignment: &Assignment, fenced: FencedAttempt, reins: Reins) -> Over {
    let journal = Journal::start(tools.plane.clone(), fenced);
    journal.push(AgentEvent::info(format!("attempt {} on worker {}", assignment.number, tools.name)));
    let began = Instant::now();
    let outcome = work(tools, assignment, fenced, reins, &journal).await;
    let over = match outcome {
        Ok(finished) => Over::Report(Box::new(AttemptReport {
            outcome: finished.outcome,
            usage: finished.usage,
            delivery: finished.delivery,
            duration_ms: u64::try_from(finished.ran.as_millis()).unwrap_or(u64::MAX),
            session_id: finished.session_id,
            exit_code: finished.exit.map(|exit| match exit {
                Exit::Code(code) => code,
                Exit::Signal(signal) => 128 + signal,
            }),
            dropped_bytes: finished.dropped_bytes,
        })),
        Err(Early::Failed(class, message)) => {
            journal.push(AgentEvent::Notice { level: NoticeLevel::Error, text: message.clone() });
            Over::Report(Box::new(AttemptReport {
                outcome: Outcome::Failed { class, message: advise(class, message), retry_at: None },
                usage: Usage::default(),
                delivery: Delivery::default(),
                duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                session_id: None,
                exit_code: None,
                dropped_bytes: 0,
            }))
        }
        Err(Early::Interrupted(Interruption::Told(Directive::Stop))) => Over::Report(Box::new(AttemptReport {
            outcome: Outcome::Cancelled,
            usage: Usage::default(),
            delivery: Delivery::default(),
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            session_id: None,
            exit_code: None,
            dropped_bytes: 0,
        })),
        Err(Early::Interrupted(Interruption::Told(Directive::Lost))) => Over::Abandon,
        Err(Early::Interrupted(Interruption::Told(Directive::Shutdown | Directive::Run) | Interruption::LeaseOver)) => {
            Over::Release
        }
    };
    let left_out = journal.finish().await;
    match over {
        Over::Report(mut report) => {
            report.dropped_bytes = report.dropped_bytes.saturating_add(left_out);
            Over::Report(report)
        }
        Over::Release | Over::Abandon => over,
    }
}

async fn work(
    tools: &Tools,
    assignment: &Assignment,
    fenced: FencedAttempt,
    mut reins: Reins,
    journal: &Journal,
) -> Result<Finished, Early> {
    let choice = tools
        .inventory
        .choose(assignment.harness.as_deref())
        .map_err(|error| Early::Failed(FailureClass::HarnessUnavailable, error.message))?;
    journal.push(AgentEvent::info(choice.reason));
    let entry = choice.entry;

    let repository = assignment
        .repository
        .as_deref()
        .map(RepositoryUrl::parse)
        .transpose()
        .map_err(|error| Early::Failed(FailureClass::RepositoryRefused, error.to_string()))?;
    let spec = PrepareSpec {
        attempt: assignment.attempt_id,
        repository: repository.clone(),
        base_ref: assignment.branch.clone(),
        branch: eve_core::branch_name(assignment.request_id, &assignment.title),
    };
    let prepared = tokio::select! {
        biased;
        interruption = reins.interrupted() => return Err(interruption.into()),
        prepared = tools.workspaces.prepare(spec) => prepared?,
    };
    journal.push(AgentEvent::info(describe(&prepared)));

    let harness = harness_spec(entry, assignment, &prepared);
    let command = entry.kind.command(&harness);
    let stdin = write_files(&command, &prepared).map_err(|error| disk_failure(&error))?;
    let env = environment(&tools.host, entry, &command.env, assignment, &prepared.dir, &prepared.scratch);
    let job = Supervised { program: command.program, args: command.args, env, cwd: prepared.dir.clone(), stdin };

    eve_crash::pass(Point::Prepared);
    tools.plane.attempt_start(&StartRequest { attempt: fenced, harness: entry.name.clone() }).await?;
    eve_crash::pass(Point::StartHeard);
    // The answer may have taken any time.
    reins.check()?;

    let mut decoder = entry.kind.decoder(&harness);
    let limits = Limits {
        run: Duration::from_secs(u64::from(assignment.timeout_seconds)),
        idle: Duration::from_secs(u64::from(assignment.idle_timeout_seconds)),
    };
    let started = Instant::now();
    let ended = supervisor::supervise(&tools.keeper, &job, limits, reins.clone(), |stream, line| {
        for event in decoder.line(stream, line) {
            journal.push(event);
        }
    })
    .await
    .map_err(|error| disk_failure(&error))?;
    eve_crash::pass(Point::AgentEnded);
    let ran = started.elapsed();
    let Finish { outcome, usage, session_id } = decoder.finish(ended.exit);
    let outcome = judge(&ended, outcome, assignment)?;

    let (outcome, delivery) = match outcome {
        Outcome::Succeeded { .. } => deliver(tools, assignment, &prepared, outcome, &mut reins, journal).await?,
        Outcome::NeedsInput { .. } | Outcome::AwaitsChildren | Outcome::Failed { .. } | Outcome::Cancelled => {
            (outcome, Delivery::default())
        }
    };
    if let Outcome::Failed { message, .. } = &outcome {
        journal.push(AgentEvent::Notice { level: NoticeLevel::Error, text: message.clone() });
    }
    let outcome = match outcome {
        Outcome::Failed { class, message, retry_at } => {
            Outcome::Failed { class, message: advise(class, message), retry_at }
        }
        Outcome::Succeeded { .. } | Outcome::NeedsInput { .. } | Outcome::AwaitsChildren | Outcome::Cancelled => {
            outcome
        }
    };
    Ok(Finished {
        outcome,
        usage,
        session_id,
        delivery,
        exit: Some(ended.exit),
        dropped_bytes: ended.dropped_bytes,
        ran,
    })
}

/// What went wrong and what to do about it, in one text.
fn advise(class: FailureClass, message: String) -> String {
    format!("{message} (next: {})", class.advice())
}

fn disk_failure(error: &std::io::Error) -> Early {
    let class = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureClass::DiskFull,
        _ => FailureClass::HarnessUnavailable,
    };
    Early::Failed(class, format!("the agent could not be started: {error}"))
}

fn describe(prepared: &Prepared) -> String {
    let short = |commit: &String| commit.chars().take(10).collect::<String>();
    match (&prepared.repository, &prepared.base_commit) {
        (None, _) => "workspace: an empty directory; processes contained, files and network not sandboxed".to_owned(),
        (Some(_), None) => format!("workspace: branch {} of an empty repository", prepared.branch),
        (Some(_), Some(commit)) => {
            let from = prepared.base_branch.as_deref().map(|branch| format!("{branch} at ")).unwrap_or_default();
            format!(
                "workspace: branch {} from {from}{}; processes contained, files and network not sandboxed",
                prepared.branch,
                short(commit)
            )
        }
    }
}

fn harness_spec(entry: &HarnessEntry, assignment: &Assignment, prepared: &Prepared) -> HarnessSpec {
    let settings = &entry.settings;
    HarnessSpec {
        program: entry.program.clone(),
        prompt: assignment.prompt.clone(),
        instructions: Some(assignment.instructions.clone()).filter(|text| !text.is_empty()),
        model: assignment.model.clone(),
        resume: None,
        new_session: uuid::Uuid::new_v4(),
        scratch: prepared.scratch.clone(),
        gateway: settings.gateway_url.clone().map(|base_url| Gateway {
            base_url,
            key_env: settings.gateway_key_env.clone().unwrap_or_else(|| default_key_env(entry).to_owned()),
        }),
        prior_usage: Usage::default(),
    }
}

const fn default_key_env(entry: &HarnessEntry) -> &'static str {
    use crate::harness::HarnessKind;
    match entry.kind {
        HarnessKind::ClaudeCode => "ANTHROPIC_API_KEY",
        HarnessKind::Codex => "CODEX_API_KEY",
        HarnessKind::Command => "",
    }
}

fn write_files(command: &CommandSpec, prepared: &Prepared) -> std::io::Result<Option<PathBuf>> {
    std::fs::create_dir_all(prepared.scratch.join("tmp"))?;
    for file in &command.files {
        write_file(&file.path, &file.content, if file.executable { 0o700 } else { 0o600 })?;
    }
    let Some(input) = &command.stdin else { return Ok(None) };
    let path = prepared.scratch.join("stdin");
    write_file(&path, input, 0o600)?;
    Ok(Some(path))
}

fn write_file(path: &Path, content: &str, mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())
}

/// What a run came to, given why it ended: a decoder cannot know that Eve stopped its agent.
fn judge(ended: &Ended, outcome: Outcome, assignment: &Assignment) -> Result<Outcome, Early> {
    let failed = |class, message: String| Ok(Outcome::Failed { class, message, retry_at: None });
    match ended.cause {
        EndCause::Itself => Ok(outcome),
        EndCause::Stopped => Ok(Outcome::Cancelled),
        EndCause::Shutdown => Err(Interruption::Told(Directive::Shutdown).into()),
        EndCause::LeaseLost => Err(Interruption::Told(Directive::Lost).into()),
        EndCause::LeaseOver => Err(Interruption::LeaseOver.into()),
        EndCause::Deadline => {
            failed(FailureClass::Timeout, format!("stopped after the time limit of {} s", assignment.timeout_seconds))
        }
        EndCause::Idle => failed(
            FailureClass::Idle,
            format!("stopped after {} s without a word from the agent", assignment.idle_timeout_seconds),
        ),
    }
}

/// Packs up what the agent left, takes it in on the clean side and hands it over.
async fn deliver(
    tools: &Tools,
    assignment: &Assignment,
    prepared: &Prepared,
    outcome: Outcome,
    reins: &mut Reins,
    journal: &Journal,
) -> Result<(Outcome, Delivery), Early> {
    let message = format!("Request: {}\nAttempt: {}", assignment.request_id, assignment.attempt_id);
    let harvest = tools.workspaces.harvest_script(prepared, &assignment.title, &message);
    let mut env: Vec<(String, String)> =
        harvest.env.into_iter().map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
    env.push(("PATH".to_owned(), tools.host.var("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin").to_owned()));
    let job = Supervised { program: harvest.program, args: harvest.args, env, cwd: harvest.dir, stdin: None };
    let limits = Limits { run: HARVEST_LIMIT, idle: HARVEST_LIMIT };
    let ended = supervisor::supervise(&tools.keeper, &job, limits, reins.clone(), |_, line| {
        tracing::debug!(attempt_id = %assignment.attempt_id, line, "harvest");
    })
    .await
    .map_err(|error| disk_failure(&error))?;
    match ended.cause {
        EndCause::Itself | EndCause::Deadline | EndCause::Idle => {}
        EndCause::Stopped => return Ok((Outcome::Cancelled, Delivery::default())),
        EndCause::Shutdown => return Err(Interruption::Told(Directive::Shutdown).into()),
        EndCause::LeaseLost => return Err(Interruption::Told(Directive::Lost).into()),
        EndCause::LeaseOver => return Err(Interruption::LeaseOver.into()),
    }
    let collected = match tools.workspaces.collect(prepared, CollectLimits::default()).await {
        Ok(collected) => collected,
        Err(error) => return Ok((failure(&error), Delivery::default())),
    };
    for note in &collected.notes {
        journal.push(AgentEvent::info(note.to_string()));
    }
    let mut delivery = collected.delivery;
    if let (Some(repository), Some(branch), Some(commit)) =
        (&prepared.repository, delivery.branch.clone(), delivery.commit.clone())
    {
        // What leaves this host must not come from an attempt that was given up for dead.
        if *reins.directive.borrow() == Directive::Lost {
            return Err(Interruption::Told(Directive::Lost).into());
        }
        if reins.lease_until.borrow().left() <= HAND_OVER_MARGIN {
            return Err(Interruption::LeaseOver.into());
        }
        let handing = tools.workspaces.hand_over(repository, assignment.attempt_id, &branch, &commit);
        let handed = if repository.local_path().is_some() {
            // Moments; and a git that is killed would leave its lock in the user's repository.
            handing.await
        } else {
            tokio::select! {
                biased;
                handed = handing => handed,
                interruption = reins.lease_gone() => return Err(interruption.into()),
            }
        };
        match handed {
            Ok(handed) => {
                let count = delivery.files_changed;
                let files = if count == 1 { "file" } else { "files" };
                journal.push(AgentEvent::info(format!(
                    "committed {count} {files} on branch {} of {}",
                    handed.branch, handed.to
                )));
                delivery.branch = Some(handed.branch);
            }
            Err(error) => return Ok((failure(&error), delivery)),
        }
    }
    Ok((outcome, delivery))
}

fn failure(error: &WorkspaceError) -> Outcome {
    Outcome::Failed { class: error.class(), message: error.explain(), retry_at: None }
}
