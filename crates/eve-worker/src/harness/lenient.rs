//! Reading JSON that another program may change under us: a field that is missing, or of another kind than it was,
//! is simply not there. Nothing here fails.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value;

use super::text::NAME_LIMIT;
use super::text::head;

/// Digits of a dollar that are kept. CLIs add up binary fractions (0.063372 arrives as 0.06337200000000001); no
/// price per token has as many digits as this.
const COST_DECIMALS: u32 = 12;

/// More than this was not spent by one run; it also keeps sums far from the largest decimal.
const MAX_COST_USD: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// A text field.
pub(super) fn text_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A text field that is an id or a name; without it, nothing.
pub(super) fn name_at(value: &Value, key: &str) -> String {
    text_at(value, key).map_or_else(String::new, |name| head(name, NAME_LIMIT))
}

/// A count; what is not a count is zero.
pub(super) fn count_at(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// An HTTP status.
pub(super) fn status_at(value: &Value, key: &str) -> Option<u16> {
    value.get(key).and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok())
}

/// A flag; what is not a flag is not set.
pub(super) fn flag_at(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// The elements of a list; what is not a list has none.
pub(super) fn list_at<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An amount of US dollars, from the digits of the number and not through arithmetic on a float.
pub(super) fn dollars_at(value: &Value, key: &str) -> Option<Decimal> {
    let digits = match value.get(key)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let amount =
        if digits.contains(['e', 'E']) { Decimal::from_scientific(&digits) } else { Decimal::from_str(&digits) }
            .ok()?;
    (Decimal::ZERO..=MAX_COST_USD).contains(&amount).then(|| amount.round_dp(COST_DECIMALS).normalize())
}

/// The parts of a tool's answer as one text: pictures and the like are only named.
pub(super) fn parts_text(parts: &[Value]) -> String {
    let texts: Vec<String> = parts
        .iter()
        .map(|part| match text_at(part, "text") {
            Some(text) => text.to_owned(),
            None => format!("[{}]", text_at(part, "type").unwrap_or("something else")),
        })
        .collect();
    texts.join("\n")
}
