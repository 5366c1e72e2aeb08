//! Decodes server-sent events: bytes in, events out, as the WHATWG HTML standard describes the stream.
//!
//! Pure: it reads nothing and knows no time. Comments (heartbeats) vanish here; their arrival as bytes is what tells
//! [`stream`](super::stream) that the connection is alive.

/// An event longer than this is not one.
const EVENT_LIMIT: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its name; `message` when nothing is said.
    pub(crate) name: String,
    /// The id of the last event that had one.
    pub(crate) id: Option<String>,
    /// Its data.
    pub(crate) data: String,
}

/// The stream is not one that we can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {EVENT_LIMIT} bytes")]
pub(crate) struct TooLong;

/// The decoder's state.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    started: bool,
}

impl Decoder {
    /// Takes some bytes and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            // A line ends with CR, LF or CR LF, and the two may come in different pieces.
            let second_half = *byte == b'\n' && std::mem::take(&mut self.after_return);
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_of_line());
                }
                _ => {
                    self.after_return = false;
                    self.line.push(*byte);
                }
            }
            if self.line.len() + self.data.len() > EVENT_LIMIT {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    /// Forgets what is unfinished: the connection broke, and the rest will not come.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    fn end_of_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = if self.started { &line } else { line.strip_prefix('\u{feff}').unwrap_or(&line) };
        self.started = true;
        if line.is_empty() {
            return self.end_of_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // `retry` is ours to decide; an empty name is a comment; others are to be ignored.
            _ => {}
        }
        None
    }

    fn end_of_event(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(SseEvent { name, id: self.id.clone(), data })
    }
}
