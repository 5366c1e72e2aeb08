//! A difference of bounded length, cut so that what is left still applies.

/// A patch that is being received.
pub(super) struct Patch {
    kept: Vec<u8>,
    limit: usize,
    total: u64,
}

/// What a file's part of a patch starts with, at the start of a line.
const FILE_START: &[u8] = b"\ndiff --git ";

impl Patch {
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, total: 0 }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let room = self.limit.saturating_sub(self.kept.len()).min(chunk.len());
        self.kept.extend_from_slice(&chunk[..room]);
        self.total = self.total.saturating_add(chunk.len() as u64);
    }

    /// The patch as text. A longer one ends before the file that did not fit, and says so in its last line.
    pub(super) fn finish(mut self) -> String {
        if self.total <= self.kept.len() as u64 {
            return text(self.kept);
        }
        let last_file = self.kept.windows(FILE_START.len()).rposition(|window| window == FILE_START);
        let last_line = self.kept.iter().rposition(|byte| *byte == b'\n');
        // A single file beyond the limit is shown in part rather than not at all.
        let end = last_file.or(last_line).map_or(0, |newline| newline + 1);
        self.kept.truncate(end);
        let total = self.total;
        format!("{}[cut: {end} of {total} bytes are shown; the branch holds everything]\n", text(self.kept))
    }
}

fn text(bytes: Vec<u8>) -> String {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    // PostgreSQL cannot store the letter; git shows such files as binary, so it is rare.
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
