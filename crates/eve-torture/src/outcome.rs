//! What came of a scenario: what was done, what was counted, which gates hold.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checker::Verdict;

/// Something that must hold, and whether it does.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// What must hold, with the figure that was found.
    pub(crate) says: String,
    pub(crate) holds: bool,
}

/// What came of a scenario.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Faults injected, by kind.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) gates: Vec<Gate>,
    /// What else is worth knowing.
    pub(crate) notes: Vec<String>,
    pub(crate) requests: usize,
    pub(crate) completed: usize,
    pub(crate) violations: BTreeMap<String, usize>,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Counts a fault.
    pub(crate) fn fault(&mut self, kind: &str, count: u64) {
        *self.faults.entry(kind.to_owned()).or_default() += count;
    }

    /// States what must hold.
    pub(crate) fn gate(&mut self, says: impl Into<String>, holds: bool) {
        self.gates.push(Gate { says: says.into(), holds });
    }

    /// States something that is not a gate.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds what the checker found in one world.
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        self.requests += verdict.figures.asked;
        self.completed += verdict.figures.completed;
        if verdict.figures.quarantined > 0 {
            let count = verdict.figures.quarantined;
            self.note(format!("{count} kept away from workers after five that were lost with them in a row"));
        }
        for (kind, count) in verdict.kinds() {
            *self.violations.entry(kind.to_owned()).or_default() += count;
        }
        if let Some(too_few) = &verdict.too_few {
            *self.violations.entry(format!("too few: {too_few}")).or_default() += 1;
        }
    }

    /// Whether it went as promised.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty() && self.gates.iter().all(|gate| gate.holds)
    }
}

/// The value below which so many hundredths of the values are; nothing of nothing.
pub(crate) fn percentile(values: &[u64], hundredths: usize) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile(&[], 99), None);
        assert_eq!(percentile(&[7], 50), Some(7));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (Some(50), Some(99)));
        assert_eq!(percentile(&[1, 2, 3, 4], 99), Some(4));
        assert_eq!(seconds(Some(12_345)), "12.34 s");
    }
}
