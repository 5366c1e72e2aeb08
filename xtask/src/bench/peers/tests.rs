use serde_json::json;

use super::table::Around;
use super::*;

#[test]
fn eve_is_entered_where_the_table_of_peers_is_complete() {
    let runner = "PEERS = {}\n\ndef step_cmd(cmd):\n    pass\n";
    let own = with_entry(runner, Path::new("/t/queue-peer")).unwrap();
    let entry = own.find("PEERS[\"eve\"]").unwrap();
    assert!(own.find("PEERS = {}").unwrap() < entry && entry < own.find("def step_cmd").unwrap(), "{own}");
    assert!(own.contains("[\"/t/queue-peer\", m, *x]"), "{own}");
    assert!(with_entry("PEERS = {}", Path::new("/t")).unwrap_err().to_string().contains("another form"));
}

#[test]
fn figures_are_medians_and_ratios_are_eves_over_the_peers() {
    let row = |peer: &str, rate: u32| json!({"peer": peer, "step": "enq1", "rate": rate, "load": 1.5});
    let work = json!({"peer": "eve", "step": "work", "cpu_10k": 3.5, "pg_cpu_10k": 3.0});
    let rows = [row("eve", 100), row("other", 30), row("eve", 200), row("other", 70), work];
    let section = table::section(&rows, &Around { date: "2001-02-03".to_owned(), ..Around::default() });
    assert!(section.contains("| eve | 150 | – | – | – | – | – | 3.00 | 0.50 | –"), "{section}");
    assert!(section.contains("| other | 50 (3.00×) | –"), "{section}");
    assert!(section.contains("2001-02-03"), "{section}");
    // 67 % and 80 % of the medians of two rounds, and two figures that were measured once.
    assert!(section.contains("by 33 % at the median of all of them, and by 80 % at most"), "{section}");
}

#[test]
fn the_cpu_of_single_requests_is_told_for_ten_thousand() {
    let mut row = json!({"peer": "eve", "step": "enq1", "rate": 100, "pg_cpu_s": 0.6});
    count_singles(&mut row, 3);
    let section = table::section(&[row], &Around::default());
    assert!(section.contains("| eve | 100 | 2.00 | –"), "{section}");
}

#[test]
fn restate_tells_in_lines_what_the_others_tell_in_rows() {
    let told = "load 0.5 send conc 1 server_cpu_s .1 server_rss_mb 9 RESULT {\"rate\": 300}\n\
                load 0.5 send conc 64 server_cpu_s .1 server_rss_mb 9 RESULT {\"rate\": 900}\n\
                load 0.7 lat RESULT {\"p50_ms\": 1.5, \"p99_ms\": 9.0}\nnoise\n";
    let rows = restate_rows(told);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(
        (&rows[0]["peer"], &rows[0]["step"], &rows[0]["rate"]),
        (&json!("restate"), &json!("enq1"), &json!(300))
    );
    assert_eq!((&rows[1]["step"], &rows[1]["p99_ms"], &rows[1]["load"]), (&json!("lat"), &json!(9.0), &json!(0.7)));
}

#[test]
fn the_latency_is_told_in_commits() {
    let row = json!({"peer": "eve", "step": "lat", "p50_ms": 0.6, "p99_ms": 1.0, "commit_p50_ms": 0.4});
    let section = table::section(&[row], &Around::default());
    assert!(
        section.contains("took 0.40 ms at the median: from asking to an idle worker takes 1.5 commits."),
        "{section}"
    );
}

#[test]
fn a_section_takes_the_place_of_the_one_before() {
    let first = table::with_section("# Title\n\n## A\n\ntext\n", "## Beside other queues\nold\n");
    assert_eq!(first, "# Title\n\n## A\n\ntext\n\n## Beside other queues\nold\n");
    assert_eq!(table::with_section(&first, "## Beside other queues\nnew\n"), first.replace("old", "new"));
    let between = format!("{first}\n## B\n");
    assert_eq!(table::with_section(&between, "## Beside other queues\nnew\n"), between.replace("old", "new"));
}

#[test]
fn versions_come_from_the_notes() {
    let readme = "# t\n\n## Versions\nPostgreSQL 15;\nqueue 2. Not measured, no package here: X.\n";
    assert_eq!(table::versions(readme), "PostgreSQL 15; queue 2.");
    assert_eq!(table::versions("# t\n"), "");
}
