//! Turning a stream of bytes into lines that can be stored: bounded, valid UTF-8, without NUL.

/// Longest line that is kept; what is beyond it is dropped and counted.
pub(crate) const LINE_LEN: usize = 1024 * 1024;

/// Splits bytes into lines, whatever the pieces they come in.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    /// Bytes of the current line that are beyond the limit.
    overflow: u64,
    dropped: u64,
}

impl LineSplitter {
    /// Takes some bytes and returns the lines that end in them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            self.extend(head);
            lines.push(self.take());
            rest = tail.get(1..).unwrap_or_default();
        }
        self.extend(rest);
        lines
    }

    /// The last line, if it has no end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.partial.is_empty() || self.overflow > 0).then(|| self.take())
    }

    /// Bytes that were beyond the limit so far.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_LEN.saturating_sub(self.partial.len());
        let (kept, beyond) = bytes.split_at(room.min(bytes.len()));
        self.partial.extend_from_slice(kept);
        self.overflow += beyond.len() as u64;
    }

    fn take(&mut self) -> String {
        let mut line = clean(&self.partial);
        if self.overflow > 0 {
            line.push_str(&format!(" […{} bytes of this line left out]", self.overflow));
            self.dropped += self.overflow;
        }
        self.partial.clear();
        // A flood must not pin its largest line for the rest of the run.
        self.partial.shrink_to(8 * 1024);
        self.overflow = 0;
        line
    }
}

/// Text that PostgreSQL can hold: invalid UTF-8 becomes U+FFFD, NUL becomes its picture.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes));
    if text.contains('\0') { text.replace('\0', "\u{2400}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests;
