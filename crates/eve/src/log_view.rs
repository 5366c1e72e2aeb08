//! Shows what agents said and did, and what happened to requests, as lines for people.
//!
//! Pure: an entry in, lines out. Everything that an agent or a tool wrote passes through `sanitize`. On a terminal
//! long answers of tools are cut; elsewhere nothing is.

use eve_api_types::Event;
use eve_api_types::LogEntry;
use eve_core::AgentEvent;
use eve_core::NoticeLevel;
use eve_core::OutputStream;
use eve_core::Usage;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::output::Paint;
use crate::output::Stream;
use crate::output::Style;
use crate::output::count;
use crate::output::cut;
use crate::output::money;
use crate::output::plural;
use crate::output::sanitize;

/// Lines of a tool's answer that are shown on a terminal.
const RESULT_LINES: usize = 3;

/// Arguments that say best what a tool call is about, in the order in which they are looked for.
const TELLING_ARGUMENTS: [&str; 9] =
    ["command", "file_path", "path", "pattern", "query", "url", "description", "prompt", "subject"];

/// Before a tool's call.
const CALL: &str = "→";

/// Before one of Eve's own remarks.
const REMARK: &str = "•";

/// How entries are shown.
#[derive(Debug, Clone)]
pub(crate) struct LogView {
    paint: Paint,
    width: Option<usize>,
    clock: Option<TimeZone>,
}

impl LogView {
    /// Shows entries on this stream, without the time.
    pub(crate) const fn new(stream: Stream) -> Self {
        Self { paint: stream.paint, width: stream.width, clock: None }
    }

    /// Puts the local time before each entry.
    #[must_use]
    pub(crate) fn with_clock(self, zone: TimeZone) -> Self {
        Self { clock: Some(zone), ..self }
    }

    /// The lines of one entry; none when there is nothing in it for people.
    pub(crate) fn entry(&self, entry: &LogEntry) -> Vec<String> {
        let lines = match serde_json::from_value::<AgentEvent>(entry.event.clone()) {
            Ok(event) => self.event(&event),
            // Written by a newer Eve.
            Err(_) => vec![self.faint(&entry.event.to_string())],
        };
        self.timed(entry.at, lines)
    }

    /// The lines of something that happened to a request.
    pub(crate) fn happening(&self, event: &Event) -> Vec<String> {
        let mut parts = vec![self.paint.apply(Style::Accent, &one_line(&event.kind))];
        if let Some(request) = event.request_id {
            parts.push(request.short());
        }
        parts.push(self.paint.apply(Style::Faint, &format!("by {}", one_line(&event.actor))));
        if let Value::Object(fields) = &event.payload {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            parts.extend(fields.map(|(name, value)| one_line(&format!("{name}={}", plain(value)))));
        }
        self.timed(event.at, vec![parts.join("  ")])
    }

    fn timed(&self, at: Timestamp, lines: Vec<String>) -> Vec<String> {
        let Some(zone) = &self.clock else { return lines };
        let clock = at.to_zoned(zone.clone()).strftime("[%H:%M:%S]").to_string();
        let indent = " ".repeat(clock.len());
        let heading = self.paint.apply(Style::Faint, &clock);
        let first = lines.iter().take(1).map(|line| format!("{heading} {line}"));
        let rest = lines.iter().skip(1).map(|line| format!("{indent} {line}"));
        first.chain(rest).map(|line| line.trim_end().to_owned()).collect()
    }

    fn event(&self, event: &AgentEvent) -> Vec<String> {
        match event {
            AgentEvent::Session { session_id, model } => {
                let model = model.as_ref().map(|model| format!(" with {model}")).unwrap_or_default();
                vec![self.faint(&format!("session {session_id}{model}"))]
            }
            AgentEvent::Text { text } => lines(text),
            AgentEvent::ToolCall { name, input, .. } => vec![self.call(name, input)],
            AgentEvent::ToolResult { output, is_error, .. } => self.answer(output, *is_error),
            AgentEvent::Usage(usage) => vec![self.faint(&usage_line(usage))],
            AgentEvent::Question { text, options } => {
                let mut shown = self.marked(Style::Attention, "?", text);
                shown.extend(options.iter().map(|option| format!("  - {}", sanitize(option))));
                shown
            }
            AgentEvent::Retry { status, reason } => {
                let status = status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
                self.marked(Style::Attention, "!", &format!("the model is asked again{status}: {reason}"))
            }
            AgentEvent::Result { text, is_error: true } => self.marked(Style::Bad, "✗", text),
            AgentEvent::Result { text, is_error: false } => self.marked(Style::Good, "✓", text),
            AgentEvent::Output { stream: OutputStream::Stdout, text } => vec![sanitize(text)],
            AgentEvent::Output { stream: OutputStream::Stderr, text } => {
                vec![self.paint.apply(Style::Attention, &sanitize(text))]
            }
            AgentEvent::Notice { level: NoticeLevel::Info, text } => self.marked(Style::Accent, REMARK, text),
            AgentEvent::Notice { level: NoticeLevel::Warn, text } => self.marked(Style::Attention, "!", text),
            AgentEvent::Notice { level: NoticeLevel::Error, text } => self.marked(Style::Bad, "✗", text),
            AgentEvent::Unrecognised { raw } => vec![self.faint(raw)],
        }
    }

    fn call(&self, name: &str, input: &Value) -> String {
        let line = format!("{CALL} {} {}", sanitize(name), telling(input));
        self.paint.apply(Style::Accent, self.fitting(line.trim_end(), 0).as_str())
    }

    fn answer(&self, output: &str, is_error: bool) -> Vec<String> {
        let all = lines(output.trim_end());
        let shown = if self.width.is_some() { RESULT_LINES } else { all.len() };
        let style = if is_error { Style::Bad } else { Style::Faint };
        let mut answer: Vec<String> = all
            .iter()
            .take(shown)
            .map(|line| format!("  {}", self.paint.apply(style, &self.fitting(line, 2))))
            .collect();
        let left = i64::try_from(all.len().saturating_sub(shown)).unwrap_or(i64::MAX);
        if left > 0 {
            answer.push(self.faint(&format!("  … {}", plural(left, "more line"))));
        }
        answer
    }

    fn marked(&self, style: Style, mark: &str, text: &str) -> Vec<String> {
        let text = lines(text.trim_end());
        let first = text.iter().take(1).map(|line| format!("{} {line}", self.paint.apply(style, mark)));
        first.chain(text.iter().skip(1).map(|line| format!("  {line}"))).collect()
    }

    fn faint(&self, text: &str) -> String {
        self.paint.apply(Style::Faint, &self.fitting(&sanitize(text), 0))
    }

    /// The line, cut to what is left of a terminal's width after an indent and the time.
    fn fitting(&self, line: &str, indent: usize) -> String {
        let clock = if self.clock.is_some() { "[00:00:00] ".len() } else { 0 };
        match self.width {
            Some(width) => cut(line, width.saturating_sub(indent + clock)),
            None => line.to_owned(),
        }
    }
}

/// Tokens and money of one report.
pub(crate) fn usage_line(usage: &Usage) -> String {
    let tokens = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    let cost = usage.cost_usd.map(|cost| format!(", {}", money(cost))).unwrap_or_default();
    format!(
        "{} tokens: {} in, {} out, {} cached{cost}",
        tokens(usage.total_tokens()),
        tokens(usage.input_tokens),
        tokens(usage.output_tokens),
        tokens(usage.cache_read_tokens.saturating_add(usage.cache_write_tokens)),
    )
}

fn lines(text: &str) -> Vec<String> {
    sanitize(text).lines().map(|line| line.trim_end().to_owned()).collect()
}

/// What a call is about, in one line.
fn telling(input: &Value) -> String {
    let argument = TELLING_ARGUMENTS.iter().find_map(|name| input.get(name)).filter(|value| !value.is_null());
    let text = match (argument, input) {
        (Some(argument), _) => plain(argument),
        (None, Value::Object(fields)) if fields.is_empty() => String::new(),
        (None, Value::Null) => String::new(),
        (None, input) => plain(input),
    };
    one_line(&text)
}

fn one_line(text: &str) -> String {
    sanitize(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Codex gives a command as a list of words.
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
