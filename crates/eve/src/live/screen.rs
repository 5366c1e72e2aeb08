//! What a watched request looks like while it runs.
//!
//! Everything goes to standard error: the result is the data. On a terminal a status line with a spinner stays at
//! the bottom; elsewhere there are only lines.

use std::time::Instant;

use eve_api_types::LogEntry;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use eve_api_types::RequestStatus;
use eve_core::AgentEvent;
use eve_core::Usage;

use crate::log_view::LogView;
use crate::output::Output;
use crate::output::Style;
use crate::output::cut;
use crate::output::draw;
use crate::output::sanitize;
use crate::output::span;

/// The frames of the spinner.
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Takes the cursor to the line's start and empties the line.
const EMPTY_LINE: &str = "\r\x1b[2K";

/// The screen.
pub(super) struct Screen<'a> {
    output: &'a Output,
    view: LogView,
    /// Whether there is a status line: on a terminal that is not to be quiet.
    lively: bool,
    drawn: bool,
    frame: usize,
    since: Instant,
    state: String,
    shown: Option<(RequestStatus, i64, bool)>,
    usage: Usage,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            view: LogView::new(output.stderr),
            lively: output.stderr.width.is_some() && output.stderr.paint.is_on() && !output.quiet,
            drawn: false,
            frame: 0,
            since: Instant::now(),
            state: "asked".to_owned(),
            shown: None,
            usage: Usage::default(),
        }
    }

    /// The request was created.
    pub(super) fn asked(&mut self, request: &Request) {
        let title = self.output.stderr.paint.apply(Style::Strong, &sanitize(&request.title));
        self.line(&title);
        self.remark(&format!("{}  {}  {}", request.id, request.worker_type, request.priority));
        if let Some(repository) = &request.repository {
            let branch = request.branch.as_deref().map(|branch| format!(" at {branch}")).unwrap_or_default();
            self.remark(&sanitize(&format!("{repository}{branch}")));
        }
    }

    /// A line of the log.
    pub(super) fn entry(&mut self, entry: &LogEntry) {
        match serde_json::from_value::<AgentEvent>(entry.event.clone()) {
            // Summed up in the status line and in the result.
            Ok(AgentEvent::Usage(usage)) => return self.usage.add(&usage),
            // The result block says it again.
            Ok(AgentEvent::Result { is_error: false, .. } | AgentEvent::Session { .. }) => return,
            Ok(_) | Err(_) => {}
        }
        for line in self.view.entry(entry) {
            self.line(&line);
        }
    }

    /// The request's status was asked for; only what is new is shown.
    pub(super) fn status(&mut self, detail: &RequestDetail) {
        let request = &detail.request;
        let now = (request.status, request.attempts, request.stopping);
        if self.shown.replace(now) == Some(now) {
            return;
        }
        let attempt = detail.attempt_list.last();
        let harness = attempt.and_then(|attempt| attempt.harness.as_deref());
        let worker = attempt.map(|attempt| attempt.worker_id.short()).unwrap_or_default();
        let news = match request.status {
            RequestStatus::Claimed => format!("attempt {}: taken by worker {worker}", request.attempts),
            RequestStatus::Processing if request.stopping => "the agent is being stopped".to_owned(),
            RequestStatus::Processing => {
                let harness = harness.map(|harness| format!(" with {harness}")).unwrap_or_default();
                format!("attempt {}: the agent runs{harness} on worker {worker}", request.attempts)
            }
            RequestStatus::Pending if request.attempts > 0 => match &request.last_error {
                Some(error) => format!("to be tried again: {}", sanitize(error)),
                None => "to be tried again".to_owned(),
            },
            RequestStatus::Pending => "in the queue".to_owned(),
            RequestStatus::Blocked => "waits for the requests it depends on".to_owned(),
            RequestStatus::Waiting => "waits for the requests it created".to_owned(),
            RequestStatus::Held | RequestStatus::WaitingInput | RequestStatus::Paused => {
                request.status.name().replace('_', " ")
            }
            RequestStatus::Completed | RequestStatus::Failed | RequestStatus::Cancelled => return,
        };
        request.status.name().clone_into(&mut self.state);
        self.remark(&news);
    }

    /// No active worker serves the request's type.
    pub(super) fn lonely(&mut self) {
        self.clear();
        self.output.warn("no active worker serves this worker type; start one with `eve worker`, or see `eve workers`");
    }

    /// The connection broke.
    pub(super) fn hitch(&mut self, why: &str) {
        self.clear();
        self.output.warn(format!("{why}; connecting again"));
    }

    /// Turns the spinner.
    pub(super) fn tick(&mut self) {
        if !self.lively {
            return;
        }
        self.frame = (self.frame + 1) % FRAMES.len();
        let spinner = FRAMES.get(self.frame).copied().unwrap_or_default();
        let elapsed = match self.since.elapsed().as_secs() {
            seconds @ 0..60 => format!("{seconds}s"),
            seconds => span(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)),
        };
        let mut parts = vec![self.state.clone(), elapsed];
        if self.usage.total_tokens() > 0 {
            parts.push(crate::log_view::usage_line(&self.usage));
        }
        parts.push("Ctrl-C detaches".to_owned());
        let width = self.output.stderr.width.unwrap_or(usize::MAX);
        let line = cut(&format!("{spinner} {}", parts.join("  ")), width.saturating_sub(1));
        draw(&format!("{EMPTY_LINE}{}", self.output.stderr.paint.apply(Style::Accent, &line)));
        self.drawn = true;
    }

    /// Takes the status line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            draw(EMPTY_LINE);
        }
    }

    fn remark(&mut self, text: &str) {
        let mark = self.output.stderr.paint.apply(Style::Accent, "•");
        let line = format!("{mark} {}", self.output.stderr.paint.apply(Style::Faint, text));
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.clear();
        self.output.say(line);
    }
}
