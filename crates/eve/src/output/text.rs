//! Small texts: ages, spans, counts, and text made safe for a terminal.

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy;
use unicode_width::UnicodeWidthChar;
use unicode_width::UnicodeWidthStr;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long ago (or in how long) something is: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let amount = seconds.abs();
    let text = match amount {
        0..MINUTE => format!("{amount}s"),
        MINUTE..HOUR => format!("{}m", amount / MINUTE),
        HOUR..DAY => format!("{}h", amount / HOUR),
        _ => format!("{}d", amount / DAY),
    };
    if seconds < 0 { format!("in {text}") } else { text }
}

/// A length of time: `840ms`, `12.3s`, `4m 05s`, `2h 03m`.
pub(crate) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match milliseconds {
        ..1_000 => format!("{}ms", milliseconds.max(0)),
        1_000..60_000 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", seconds / MINUTE, seconds % MINUTE),
        _ => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
    }
}

/// A large number in short: `950`, `12.5k`, `3.1M`.
pub(crate) fn count(number: i64) -> String {
    match number {
        ..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}.{}k", number / 1_000, number % 1_000 / 100),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

/// Dollars, with enough digits to see small amounts.
pub(crate) fn money(amount: Decimal) -> String {
    let digits = if amount < Decimal::ONE { 4 } else { 2 };
    let rounded = amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    format!("${rounded:.*}", digits as usize)
}

/// `1 file`, `2 files`.
pub(crate) fn plural(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Takes out what could drive a terminal: control characters but line ends and tabs, and the marks that turn the
/// direction of text around. What agents and tools print is shown to people, and must not move their cursor.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars()
        .filter(|letter| match letter {
            '\n' | '\t' => true,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
            letter => !letter.is_control(),
        })
        .collect()
}

/// The text in at most so many terminal columns, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > columns {
            break;
        }
        shown.push(letter);
    }
    shown.push('…');
    shown
}
