use super::*;

fn facts(state: StateName) -> BulkFacts {
    BulkFacts { state, priority: Priority::Medium, stopping: false }
}

#[test]
fn every_state_is_either_changed_or_left_alone_for_a_reason() {
    let mut table = String::new();
    for change in [BulkChange::Cancel, BulkChange::Replay, BulkChange::Reprioritise(Priority::High)] {
        table.push_str(&format!("{}:", change.name()));
        for state in StateName::ALL {
            let told = change.skips(facts(state)).map_or_else(|| "yes".to_owned(), |skip| skip.to_string());
            table.push_str(&format!(" {state}={told}"));
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table, @"
    cancel: blocked=yes held=yes pending=yes claimed=yes processing=yes waiting=yes paused=yes completed=already_completed failed=already_failed cancelled=already_cancelled
    replay: blocked=still_blocked held=still_held pending=still_pending claimed=still_claimed processing=still_processing waiting=still_waiting paused=still_paused completed=yes failed=yes cancelled=yes
    reprioritise: blocked=yes held=yes pending=yes claimed=yes processing=yes waiting=yes paused=yes completed=already_completed failed=already_failed cancelled=already_cancelled
    ");
}

#[test]
fn what_is_so_already_is_left_alone() {
    let stopping = BulkFacts { stopping: true, ..facts(StateName::Processing) };
    assert_eq!(BulkChange::Cancel.skips(stopping), Some(Skip::Stopping));
    let same = BulkChange::Reprioritise(Priority::Medium).skips(facts(StateName::Pending));
    assert_eq!(same.map(|skip| skip.to_string()).as_deref(), Some("already_medium"));
}

#[test]
fn names_go_both_ways() {
    for change in [BulkChange::Cancel, BulkChange::Replay, BulkChange::Reprioritise(Priority::Low)] {
        assert_eq!(BulkChange::from_name(change.name(), change.priority()), Some(change));
    }
    assert_eq!(BulkChange::from_name("reprioritise", None), None);
    assert_eq!(BulkChange::from_name("cancel", Some(Priority::Low)), None);
}
