use super::*;

#[test]
fn the_shipped_files_are_whole() {
    let types = worker_types().expect("every file parses and every skill exists");
    let general = types.iter().find(|kind| kind.name.as_str() == "general").expect("the default type is there");
    assert!(general.instructions.starts_with("You carry out one request"), "front matter is stripped");
}
