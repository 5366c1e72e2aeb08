use eve_core::OutputStream;

use super::*;

fn line(text: String) -> AgentEvent {
    AgentEvent::Output { stream: OutputStream::Stdout, text }
}

#[test]
fn a_flood_keeps_head_tail_and_facts_and_counts_the_rest() {
    let mut book = LogBook::default();
    let at = Timestamp::UNIX_EPOCH;
    for n in 0..20_000 {
        book.push(at, line(format!("{n:>1000}")));
    }
    book.push(at, AgentEvent::Result { text: "done".into(), is_error: false });
    book.push(at, line("last".into()));
    book.finish();
    let mut seqs = Vec::new();
    let mut events = Vec::new();
    loop {
        let batch = book.batch();
        let Some(last) = batch.last() else { break };
        book.sent(last.seq);
        seqs.extend(batch.iter().map(|line| line.seq));
        events.extend(batch.into_iter().map(|line| line.event));
    }
    assert!(seqs.iter().zip(1..).all(|(seq, n)| *seq == n), "numbered from 1 without gaps");
    assert_eq!(events.first(), Some(&line(format!("{:>1000}", 0))));
    assert_eq!(events.last(), Some(&line("last".into())));
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Result { .. })));
    let kept = events.iter().map(weight).sum::<usize>();
    assert!(kept < HEAD_BYTES + TAIL_BYTES + 2000, "{kept}");
    let sent = 20_000 * (1000 + 64);
    assert!((kept as u64 + book.dropped_bytes()).abs_diff(sent) < 1000, "nothing vanishes uncounted");
}

#[test]
fn what_did_not_arrive_is_sent_again() {
    let mut book = LogBook::default();
    book.push(Timestamp::UNIX_EPOCH, line("a".into()));
    book.push(Timestamp::UNIX_EPOCH, line("b".into()));
    assert_eq!(book.batch().len(), 2);
    book.sent(1);
    assert_eq!(book.batch().first().map(|line| line.seq), Some(2));
}
