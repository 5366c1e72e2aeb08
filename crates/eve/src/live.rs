//! Watches a request from the moment it is asked until it is finished.
//!
//! One loop over one enum of things that can happen: a line of the log, a new status, the end, a hitch, Ctrl-C, the
//! deadline, a tick of the spinner. The log comes from a stream and the status from a poll, because the log says
//! nothing while the request waits. What is shown is [`screen`]'s, how the result looks [`block`]'s. Watching is
//! all this does: when it stops, the request goes on, unless it is cancelled here by a second Ctrl-C.

mod block;
mod screen;

use std::time::Duration;
use std::time::Instant;

use eve_api_types::LogEntry;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use eve_api_types::RequestStatus;
use eve_core::RequestId;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Act;
use crate::client::Client;
use crate::client::EventStream;
use crate::client::Incoming;
use crate::client::decode_event;
use crate::command::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Format;
use crate::output::sanitize;

pub(crate) use block::next_steps;
pub(crate) use block::result_block;

use screen::Screen;

/// How often the status is asked for.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Failed questions in a row before watching is given up.
const STATUS_FAILURES: u32 = 30;

/// A request that waits for longer than this may wait for a worker that does not exist.
const LONELY_AFTER: Duration = Duration::from_secs(5);

/// After the first Ctrl-C, how long a second one still cancels the request.
const SECOND_THOUGHT: Duration = Duration::from_secs(2);

/// How long the log may go on after the request is finished.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Things that happened and are not shown yet. Beyond that, the stream waits for the terminal.
const BACKLOG: usize = 256;

/// What the watcher hears.
enum Heard {
    Log(LogEntry),
    Status(Box<RequestDetail>),
    /// No active worker serves the request's type.
    Lonely,
    Hitch(String),
    End(Box<Request>),
    Gone(CliError),
}

/// Why watching stopped.
enum Stopped {
    Finished(Box<Request>),
    NeedsPerson(Box<Request>),
    Deadline,
    Detached,
    Cancelled,
}

/// Watches a request, shows it, prints its result, and returns as an error what is not success.
pub(crate) async fn watch(
    app: &App,
    client: &Client,
    request: &Request,
    patience: Option<Duration>,
) -> Result<(), CliError> {
    let id = request.id;
    let mut screen = Screen::new(&app.output);
    screen.asked(request);
    let (sender, mut heard) = mpsc::channel(BACKLOG);
    let mut tasks = JoinSet::new();
    tasks.spawn(hear_log(client.log_stream(id, None).patient(), sender.clone()));
    tasks.spawn(ask_status(client.clone(), id, sender));
    let stopped = listen(app, client, id, &mut heard, &mut screen, patience).await;
    tasks.abort_all();
    screen.clear();
    let short = id.short();
    match stopped? {
        Stopped::Finished(request) => finish(app, client, &request).await,
        Stopped::NeedsPerson(request) => Err(needs_person(&request)),
        Stopped::Deadline => Err(CliError::new(
            ErrorKind::StillRunning,
            format!("{id} is not finished; it goes on without you watching"),
        )
        .hint(format!("watch it again with `eve request logs -f {short}`"))),
        Stopped::Detached => Err(CliError::new(ErrorKind::Interrupted, "detached")),
        Stopped::Cancelled => Err(CliError::new(ErrorKind::Interrupted, "cancelled")),
    }
}

async fn listen(
    app: &App,
    client: &Client,
    id: RequestId,
    heard: &mut mpsc::Receiver<Heard>,
    screen: &mut Screen<'_>,
    patience: Option<Duration>,
) -> Result<Stopped, CliError> {
    let mut deadline = patience.map(|patience| Instant::now() + patience);
    let mut finished: Option<Box<Request>> = None;
    let mut tick = tokio::time::interval(TICK);
    // One listener for the whole time: a signal between two turns of the loop must not get lost.
    let mut interrupts = signal(SignalKind::interrupt())?;
    loop {
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = interrupts.recv() => return second_thought(app, client, id, screen, &mut interrupts).await,
            news = heard.recv() => match news {
                Some(Heard::Log(entry)) => {
                    screen.entry(&entry);
                    if app.output.format == Format::Jsonl {
                        app.output.json(&entry)?;
                    }
                }
                Some(Heard::Status(detail)) => {
                    screen.status(&detail);
                    let request = detail.request;
                    if request.status.is_finished() && finished.is_none() {
                        // The end of the log is still to come; the deadline is no longer that of the request.
                        deadline = Some(Instant::now() + LAST_WORDS);
                        finished = Some(Box::new(request));
                    } else if waits_for_person(request.status) {
                        return Ok(Stopped::NeedsPerson(Box::new(request)));
                    }
                }
                Some(Heard::Lonely) => screen.lonely(),
                Some(Heard::Hitch(why)) => screen.hitch(&why),
                Some(Heard::End(request)) => return Ok(Stopped::Finished(request)),
                Some(Heard::Gone(error)) => {
                    return Err(error.hint(format!("watch it again with `eve request logs -f {}`", id.short())));
                }
                None => return Err(CliError::new(ErrorKind::Failed, "nothing more is heard of the request")),
            },
            () = over => return Ok(finished.map_or(Stopped::Deadline, Stopped::Finished)),
            _ = tick.tick() => screen.tick(),
        }
    }
}

/// After the first Ctrl-C: says how to come back, and waits whether the request is to be cancelled too.
async fn second_thought(
    app: &App,
    client: &Client,
    id: RequestId,
    screen: &mut Screen<'_>,
    interrupts: &mut Signal,
) -> Result<Stopped, CliError> {
    screen.clear();
    let short = id.short();
    app.output.say("Detached: the request goes on. Press Ctrl-C again now to cancel it.");
    app.output.say(format!("  watch it again:  eve request logs -f {short}"));
    app.output.say(format!("  cancel it:       eve request cancel {short}"));
    tokio::select! {
        _ = interrupts.recv() => {
            client.act(id, Act::Cancel).await?;
            app.output.say("Cancelled.");
            Ok(Stopped::Cancelled)
        }
        () = tokio::time::sleep(SECOND_THOUGHT) => Ok(Stopped::Detached),
    }
}

const fn waits_for_person(status: RequestStatus) -> bool {
    matches!(status, RequestStatus::Held | RequestStatus::WaitingInput | RequestStatus::Paused)
}

fn needs_person(request: &Request) -> CliError {
    let short = request.id.short();
    let reason = request.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let state = match request.status {
        RequestStatus::WaitingInput => "waits for an answer",
        RequestStatus::Paused => "is paused",
        _ => "is held",
    };
    let message = format!("{} {state}{reason} and goes on only when a person does something", request.id);
    let error = CliError::new(ErrorKind::NeedsPerson, message);
    match request.status {
        RequestStatus::Paused => error.hint(format!("let it go on with `eve request resume {short}`")),
        _ => error.hint(format!("see what it needs with `eve request get {short}`")),
    }
}

/// Prints the result of a finished request, and returns as an error what is not success.
async fn finish(app: &App, client: &Client, request: &Request) -> Result<(), CliError> {
    let result = match client.result(request.id).await {
        Ok(result) => Some(result),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match (app.output.format, &result) {
        (Format::Table, Some(result)) => {
            app.output.raw(&result_block(request, result, app.output.stdout.paint))?;
            for step in next_steps(request, result) {
                app.output.say(step);
            }
        }
        (Format::Table, None) => app.output.line(format!("{} {}", request.status.name(), request.id))?,
        (Format::Json | Format::Jsonl, Some(result)) => app.output.json(result)?,
        (Format::Json | Format::Jsonl, None) => app.output.json(request)?,
    }
    if request.status == RequestStatus::Completed {
        return Ok(());
    }
    let message = format!("{} {}", request.id, ending(request.status));
    let error = match result.and_then(|result| result.error).or_else(|| request.last_error.clone()) {
        Some(why) => CliError::caused(ErrorKind::Unsuccessful, message, anyhow::Error::msg(sanitize(&why))),
        None => CliError::new(ErrorKind::Unsuccessful, message),
    };
    let short = request.id.short();
    Err(error.hint(format!("read what happened with `eve request logs {short}`, try again with `eve replay {short}`")))
}

const fn ending(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Cancelled => "was cancelled",
        _ => "failed",
    }
}

async fn hear_log(mut stream: EventStream, heard: mpsc::Sender<Heard>) {
    loop {
        let news = match stream.next().await {
            Ok(Incoming::Event(event)) => match event.name.as_str() {
                "log" => decode_event(&event.data).map(Heard::Log),
                "end" => decode_event(&event.data).map(Heard::End),
                _ => continue,
            },
            Ok(Incoming::Reconnecting { why }) => Ok(Heard::Hitch(why)),
            Err(error) => Err(error),
        };
        let news = news.unwrap_or_else(Heard::Gone);
        let last = matches!(news, Heard::End(_) | Heard::Gone(_));
        if heard.send(news).await.is_err() || last {
            return;
        }
    }
}

async fn ask_status(client: Client, id: RequestId, heard: mpsc::Sender<Heard>) {
    let asked_at = Instant::now();
    let mut failures = 0;
    let mut looked_for_workers = false;
    loop {
        match client.request(id).await {
            Ok(detail) => {
                failures = 0;
                let waits = detail.request.status == RequestStatus::Pending && asked_at.elapsed() > LONELY_AFTER;
                let worker_type = detail.request.worker_type.clone();
                if heard.send(Heard::Status(Box::new(detail))).await.is_err() {
                    return;
                }
                if waits && !std::mem::replace(&mut looked_for_workers, true) && is_lonely(&client, &worker_type).await
                {
                    let _ = heard.send(Heard::Lonely).await;
                }
            }
            // The stream tells of hitches; this only gives up when they do not end.
            Err(error) => {
                failures += 1;
                if failures >= STATUS_FAILURES || error.kind != ErrorKind::Unreachable {
                    let _ = heard.send(Heard::Gone(error)).await;
                    return;
                }
            }
        }
        tokio::time::sleep(STATUS_PERIOD).await;
    }
}

/// Whether no active worker serves this type. When in doubt, there is one.
async fn is_lonely(client: &Client, worker_type: &str) -> bool {
    let Ok(workers) = client.workers().await else { return false };
    !workers.items.iter().any(|worker| {
        worker.state == "active" && worker.worker_types.iter().any(|served| served == "*" || served == worker_type)
    })
}

#[cfg(test)]
mod tests;
