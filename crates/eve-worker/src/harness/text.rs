//! How much of an agent's output is kept, and the only ways of keeping to it.
//!
//! An agent can print anything in any amount. Events are stored for years, so every text that leaves an adapter
//! passes through here. What was cut is said, in bytes, where it was cut.

use std::collections::VecDeque;

use serde_json::Value;

const KIB: usize = 1024;

/// Words of the agent, its answer included.
pub(super) const TEXT_LIMIT: usize = 64 * KIB;
/// What a tool answered.
pub(super) const TOOL_RESULT_LIMIT: usize = 16 * KIB;
/// What a tool was asked, as JSON.
pub(super) const TOOL_INPUT_LIMIT: usize = 16 * KIB;
/// One string within a tool's arguments, once the arguments as a whole are too large.
pub(super) const TOOL_INPUT_STRING_LIMIT: usize = 2 * KIB;
/// A line that was not understood.
pub(super) const RAW_LIMIT: usize = 4 * KIB;
/// A remark, a reason or an error message.
pub(super) const REMARK_LIMIT: usize = 2 * KIB;
/// An id or a name.
pub(super) const NAME_LIMIT: usize = 256;
/// The last lines of a pipe, kept to explain a failure.
pub(super) const LAST_WORDS_LIMIT: usize = 2 * KIB;
/// How many lines those may be.
pub(super) const LAST_WORDS_LINES: usize = 12;
/// A summary, in characters.
pub(super) const SUMMARY_CHARS: usize = 500;

/// The beginning of a text, with a note of how much is missing.
pub(super) fn head(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}… [{} bytes cut]", &text[..end], text.len() - end)
}

/// A text in at most [`SUMMARY_CHARS`] characters.
pub(super) fn summary(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SUMMARY_CHARS) {
        None => text.to_owned(),
        Some(_) => text.chars().take(SUMMARY_CHARS - 1).chain(['…']).collect(),
    }
}

/// A tool's arguments within [`TOOL_INPUT_LIMIT`]: first their long strings are cut, and if that is not enough the
/// whole becomes a string.
pub(super) fn tool_input(input: &Value) -> Value {
    if input.to_string().len() <= TOOL_INPUT_LIMIT {
        return input.clone();
    }
    let shortened = with_short_strings(input);
    let text = shortened.to_string();
    if text.len() <= TOOL_INPUT_LIMIT { shortened } else { Value::String(head(&text, TOOL_INPUT_LIMIT)) }
}

fn with_short_strings(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(head(text, TOOL_INPUT_STRING_LIMIT)),
        Value::Array(items) => Value::Array(items.iter().map(with_short_strings).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), with_short_strings(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The last lines of a pipe.
#[derive(Debug)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    max_bytes: usize,
    max_lines: usize,
    cut_bytes: u64,
}

impl Tail {
    /// Keeps so much that a person can see why a run failed.
    pub(super) const fn last_words() -> Self {
        Self::new(LAST_WORDS_LIMIT, LAST_WORDS_LINES)
    }

    /// Keeps at most so many bytes, line ends included, in at most so many lines.
    pub(super) const fn new(max_bytes: usize, max_lines: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, max_bytes, max_lines, cut_bytes: 0 }
    }

    /// Takes the next line, which pushes out the oldest ones. Of a line that is too long the end is kept.
    pub(super) fn push(&mut self, line: &str) {
        let room = self.max_bytes.saturating_sub(1);
        let start = line.ceil_char_boundary(line.len().saturating_sub(room));
        if start > 0 {
            // What came before it is gone as well: the tail has no holes.
            self.cut(self.bytes + start);
            self.lines.clear();
            self.bytes = 0;
        }
        self.bytes += line.len() - start + 1;
        self.lines.push_back(line[start..].to_owned());
        while self.bytes > self.max_bytes || self.lines.len() > self.max_lines {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len() + 1;
            self.cut(oldest.len() + 1);
        }
    }

    fn cut(&mut self, bytes: usize) {
        self.cut_bytes = self.cut_bytes.saturating_add(bytes as u64);
    }

    /// The kept lines as one text, without the white space around it.
    pub(super) fn text(&self) -> String {
        self.joined().trim().to_owned()
    }

    /// The kept lines as one text, each with its end.
    pub(super) fn joined(&self) -> String {
        let mut text = String::with_capacity(self.bytes);
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// How many bytes were pushed out.
    pub(super) const fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }
}
