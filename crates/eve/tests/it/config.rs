//! Configuration files, good and bad, and what `eve config` says about them.

use std::path::Path;
use std::path::PathBuf;

use crate::world::World;

fn samples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What `eve --config FILE config list` says about each sample, without the host's part of the path.
async fn listed(folder: &str, code: i32) -> String {
    let world = World::new();
    let mut text = String::new();
    for path in samples(folder) {
        let shown = path.to_string_lossy().into_owned();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ended = world.run(&["--config", &shown, "config", "list"]).await;
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.all());
        text.push_str(&format!("# {name}\n{}{}\n", ended.stdout, ended.stderr.replace(&shown, &name)));
    }
    text
}

#[tokio::test]
async fn valid_files_are_read() {
    insta::assert_snapshot!(listed("valid", 0).await);
}

#[tokio::test]
async fn invalid_files_are_refused_with_file_and_line() {
    insta::assert_snapshot!(listed("invalid", 2).await);
}

#[tokio::test]
async fn explain_says_where_each_value_comes_from() {
    let world = World::new().set("EVE_API_KEY", "evk_secret").set("EVE_WORKER__SLOTS", "8");
    let path = world.path("eve.toml");
    std::fs::write(&path, "[server]\nlog_format = \"json\"\n[harness.claude]\nenv = { TOKEN = \"secret\" }\n").unwrap();
    let file = path.to_string_lossy().into_owned();
    let ended = world.run(&["--config", &file, "--api-url", "https://eve.example.com", "config", "explain"]).await;
    assert!(!ended.stdout.contains("evk_secret"));
    insta::assert_snapshot!(ended.all());
    // What it prints is a configuration file again.
    let again: toml::Table = toml::from_str(&ended.stdout).unwrap();
    assert_eq!(again["worker"]["slots"].as_integer(), Some(8));
}

#[tokio::test]
async fn settings_are_written_read_and_taken_out() {
    let world = World::new();
    let mut text = String::new();
    for args in [
        vec!["config", "path"],
        vec!["config", "set", "api-url", "https://eve.example.com"],
        vec!["config", "set", "api-key", "evk_secret"],
        vec!["config", "get", "api-url"],
        vec!["config", "get", "api-key"],
        vec!["config", "get", "api-key", "--reveal"],
        vec!["config", "set", "server.lisen", "x"],
        vec!["config", "set", "worker.slots", "none"],
        vec!["config", "explain", "api_key", "-o", "json"],
        vec!["config", "unset", "api-url"],
        vec!["config", "unset", "api-url"],
        vec!["config", "get", "worker.server-url"],
    ] {
        text.push_str(&format!("$ eve {}\n{}\n", args.join(" "), world.run(&args).await.all()));
    }
    insta::assert_snapshot!(text);
    let file = world.path(".config/eve/config.toml");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the file holds a key");
}

#[tokio::test]
async fn a_flag_beats_a_variable_and_a_missing_file_is_told() {
    let world = World::new().set("EVE_OUTPUT", "json");
    assert_eq!(world.run(&["config", "get", "output"]).await.stdout, "\"json\"\n");
    assert_eq!(world.run(&["config", "get", "output", "-o", "table"]).await.stdout, "table\n");
    let ended = world.run(&["--config", "/nowhere.toml", "status"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), "error: there is no configuration file /nowhere.toml\n"));
}
