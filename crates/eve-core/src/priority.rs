//! How urgent a request is.

use std::fmt;
use std::str::FromStr;

/// Four levels, claimed in this order. The numbers are those of the database and the wire's integer form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before everything else.
    Critical = 1,
    /// Before ordinary work.
    High = 2,
    /// Ordinary work.
    #[default]
    Medium = 3,
    /// When nothing else waits.
    Low = 4,
}

impl Priority {
    /// All levels, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The number that the database keeps.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The level with this number, if there is one.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }

    /// Upper-case name, as on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Priority {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text) || level.number().to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a priority: use CRITICAL, HIGH, MEDIUM or LOW (or 1 to 4)"))
    }
}
