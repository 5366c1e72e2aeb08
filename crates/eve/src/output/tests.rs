use jiff::Timestamp;
use rust_decimal::Decimal;

use super::Cell;
use super::Column;
use super::Paint;
use super::Style;
use super::Table;
use super::age;
use super::count;
use super::cut;
use super::money;
use super::sanitize;
use super::span;

fn table() -> Table {
    let mut table = Table::new([Column::text("ID"), Column::flexible("TITLE"), Column::number("AGE")]);
    table.row(["a1".into(), "Fix the login form on the settings page".into(), "5m".into()]);
    table.row(["b2".into(), Cell::styled(Style::Good, "日本語のタイトル"), "12d".into()]);
    table
}

#[test]
fn without_a_terminal_nothing_is_cut() {
    insta::assert_snapshot!(table().render(Paint::OFF, None), @"
    ID  TITLE                                    AGE
    a1  Fix the login form on the settings page   5m
    b2  日本語のタイトル                         12d
    ");
}

#[test]
fn on_a_terminal_the_flexible_column_gives_way() {
    insta::assert_snapshot!(table().render(Paint::OFF, Some(30)), @"
    ID  TITLE                  AGE
    a1  Fix the login form o…   5m
    b2  日本語のタイトル       12d
    ");
}

#[test]
fn colours_do_not_change_the_layout() {
    let coloured = table().render(Paint::ON, None);
    assert!(coloured.contains("\u{1b}[32m日本語のタイトル\u{1b}[0m"));
    let plain: String = coloured.replace("\u{1b}[0m", "").replace("\u{1b}[32m", "").replace("\u{1b}[2m", "");
    assert_eq!(plain, table().render(Paint::OFF, None));
}

#[test]
fn text_of_others_cannot_drive_the_terminal() {
    assert_eq!(sanitize("a\u{1b}[2Jb\r\u{7}\u{9b}c\u{202e}d\ne\tf"), "a[2Jbcd\ne\tf");
}

#[test]
fn cutting_counts_columns_not_letters() {
    assert_eq!(cut("short", 5), "short");
    assert_eq!(cut("too long", 5), "too …");
    assert_eq!(cut("日本語", 5), "日本…");
}

#[test]
fn small_texts() {
    let now = Timestamp::UNIX_EPOCH;
    let ago = |seconds: i64| age(Timestamp::from_second(-seconds).unwrap_or(now), now);
    assert_eq!([ago(0), ago(59), ago(60), ago(7200), ago(200_000)], ["0s", "59s", "1m", "2h", "2d"]);
    assert_eq!(ago(-90), "in 1m");
    assert_eq!([span(7), span(12_345), span(245_000), span(7_380_000)], ["7ms", "12.3s", "4m 05s", "2h 03m"]);
    assert_eq!([count(950), count(12_549), count(3_100_000)], ["950", "12.5k", "3.1M"]);
    assert_eq!(money(Decimal::new(1234, 4)), "$0.1234");
    assert_eq!(money(Decimal::new(1999, 3)), "$2.00");
}
