use proptest::prelude::*;

use super::*;

fn all(pieces: &[&[u8]]) -> (Vec<String>, u64) {
    let mut splitter = LineSplitter::default();
    let mut lines: Vec<String> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
    lines.extend(splitter.finish());
    (lines, splitter.dropped())
}

#[test]
fn lines_whatever_the_pieces() {
    assert_eq!(all(&[b"a\nb", b"c\r\n\nd"]).0, ["a", "bc", "", "d"]);
}

#[test]
fn bytes_that_no_database_takes_survive_as_something_readable() {
    assert_eq!(all(&[b"x\0y\xff\xfez\n"]).0, ["x\u{2400}y\u{fffd}\u{fffd}z"]);
}

#[test]
fn a_line_without_end_is_cut_and_counted() {
    let flood = vec![b'x'; LINE_LEN + 10];
    let (lines, dropped) = all(&[&flood, b"yy\nnext\n"]);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with("x […12 bytes of this line left out]"));
    assert_eq!((lines[1].as_str(), dropped), ("next", 12));
}

proptest! {
    #[test]
    fn pieces_do_not_matter(bytes: Vec<u8>, cut in 0usize..64) {
        let cut = cut.min(bytes.len());
        let (head, tail) = bytes.split_at(cut);
        prop_assert_eq!(all(&[head, tail]), all(&[&bytes]));
    }
}
