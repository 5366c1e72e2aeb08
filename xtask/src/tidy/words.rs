//! Words that put something off: what is not done is an issue, not a comment.
//!
//! They are kept in parts, so that this file does not contain what it looks for.

use super::Finding;
use crate::workspace::File;

const CHECK: &str = "words";

const BANNED: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("unimplemen", "ted!")];

/// Others' words: licences and recordings.
const NOT_OURS: &[&str] = &["LICENSE", "Cargo.lock", "package-lock.json", "testdata/", "snapshots/"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let words: Vec<String> = BANNED.iter().map(|(head, tail)| format!("{head}{tail}")).collect();
    let ours = files.iter().filter(|file| !NOT_OURS.iter().any(|part| file.path.contains(part)));
    ours.flat_map(|file| words.iter().flat_map(|word| check_word(file, word))).collect()
}

fn check_word(file: &File, word: &str) -> Vec<Finding> {
    // Nearly always the end of it, and much cheaper than line by line.
    if !file.text.contains(word) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate().filter(|(_, line)| has_word(line, word));
    let message = format!("`{word}`: do it, or open an issue");
    lines.map(|(index, _)| Finding::error(CHECK, &file.path, &message).at(index + 1)).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let continues = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let goes_on = word.ends_with(continues) && after.starts_with(continues);
        !before.ends_with(continues) && !goes_on
    })
}

#[cfg(test)]
mod tests;
