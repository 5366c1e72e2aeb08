//! The log of one attempt on its way to the control plane: numbered, sent in bulk, bounded by head and tail.

use std::collections::VecDeque;

use eve_api_types::LogLine;
use eve_core::AgentEvent;
use eve_core::NoticeLevel;
use jiff::Timestamp;

/// Bytes of the log that are kept from its start.
pub(crate) const HEAD_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the log that are kept from its end, once the head is full.
pub(crate) const TAIL_BYTES: usize = 1024 * 1024;
/// Most lines in one message to the control plane.
pub(crate) const BATCH: usize = 500;

/// What is still to be sent, and what is left out.
///
/// Entries that carry facts (session, usage, result, notices) are always kept: a flood of text must not push them out.
#[derive(Debug, Default)]
pub(crate) struct LogBook {
    next_seq: i64,
    head_used: usize,
    pending: VecDeque<LogLine>,
    tail: VecDeque<(usize, Timestamp, AgentEvent)>,
    tail_used: usize,
    dropped_bytes: u64,
    dropped_entries: u64,
}

/// What an entry weighs: its text, and something for the rest.
fn weight(event: &AgentEvent) -> usize {
    64 + match event {
        AgentEvent::Text { text } | AgentEvent::Output { text, .. } | AgentEvent::Notice { text, .. } => text.len(),
        AgentEvent::ToolCall { name, input, .. } => name.len() + input.to_string().len(),
        AgentEvent::ToolResult { output, .. } => output.len(),
        AgentEvent::Question { text, .. } | AgentEvent::Result { text, .. } => text.len(),
        AgentEvent::Unrecognised { raw } => raw.len(),
        AgentEvent::Session { .. } | AgentEvent::Usage(_) | AgentEvent::Retry { .. } => 0,
    }
}

const fn is_fact(event: &AgentEvent) -> bool {
    match event {
        AgentEvent::Session { .. }
        | AgentEvent::Usage(_)
        | AgentEvent::Question { .. }
        | AgentEvent::Result { .. }
        | AgentEvent::Notice { .. } => true,
        AgentEvent::Text { .. }
        | AgentEvent::ToolCall { .. }
        | AgentEvent::ToolResult { .. }
        | AgentEvent::Retry { .. }
        | AgentEvent::Output { .. }
        | AgentEvent::Unrecognised { .. } => false,
    }
}

impl LogBook {
    /// Takes an entry.
    pub(crate) fn push(&mut self, at: Timestamp, event: AgentEvent) {
        let weight = weight(&event);
        if is_fact(&event) || self.head_used + weight <= HEAD_BYTES {
            self.head_used += weight;
            self.number(at, event);
            return;
        }
        // The head is full for good, or the log would have holes in its middle.
        self.head_used = HEAD_BYTES;
        self.tail_used += weight;
        self.tail.push_back((weight, at, event));
        while self.tail_used > TAIL_BYTES {
            let Some((weight, ..)) = self.tail.pop_front() else { break };
            self.tail_used -= weight;
            self.dropped_bytes += weight as u64;
            self.dropped_entries += 1;
        }
    }

    /// No more will come: what was kept of the end goes out as well.
    pub(crate) fn finish(&mut self) {
        if let Some((_, at, _)) = self.tail.front()
            && self.dropped_entries > 0
        {
            let text = format!(
                "{} entries ({} bytes) of output are left out here: the log keeps the first {} and the last {} MiB",
                self.dropped_entries,
                self.dropped_bytes,
                HEAD_BYTES / (1024 * 1024),
                TAIL_BYTES / (1024 * 1024),
            );
            let at = *at;
            self.number(at, AgentEvent::Notice { level: NoticeLevel::Warn, text });
        }
        for (_, at, event) in std::mem::take(&mut self.tail) {
            self.number(at, event);
        }
    }

    /// The next entries to send. They stay until [`Self::sent`] says that they arrived.
    pub(crate) fn batch(&self) -> Vec<LogLine> {
        self.pending.iter().take(BATCH).cloned().collect()
    }

    /// Entries up to this number have arrived.
    pub(crate) fn sent(&mut self, up_to: i64) {
        while self.pending.front().is_some_and(|line| line.seq <= up_to) {
            self.pending.pop_front();
        }
    }

    /// Bytes that are left out.
    pub(crate) const fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    fn number(&mut self, at: Timestamp, event: AgentEvent) {
        self.next_seq += 1;
        self.pending.push_back(LogLine { seq: self.next_seq, at, event });
    }
}

#[cfg(test)]
mod tests;
