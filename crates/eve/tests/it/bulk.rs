//! Many requests at once, against a real server: files that are created, and changes that a filter is for.

use eve_engine::Bootstrap;
use eve_engine::BootstrapOptions;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_server::RouterOptions;
use eve_server::ServerState;
use eve_testkit::database::TestDatabase;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::world::Ended;
use crate::world::World;

/// A server with its database, and a place to call it from.
struct Installation {
    world: World,
    // Last, so that the database outlives whoever speaks to it.
    _database: TestDatabase,
}

impl Installation {
    async fn start() -> Self {
        let database = TestDatabase::start();
        let store = database.store();
        let keys = Bootstrap::run(&store, BootstrapOptions::default()).await.unwrap();
        let engine = Engine::start(store, EngineOptions::default()).await.unwrap();
        let services = Services::start(&engine, RetentionPeriods::default());
        let router = eve_server::router(ServerState { engine, services }, RouterOptions::default());
        let url = crate::stand_in::serve(router).await;
        let world = World::new().set("EVE_API_URL", &url).set("EVE_API_KEY", &keys.api_key);
        Self { world, _database: database }
    }

    fn write(&self, name: &str, lines: &[Value]) {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        std::fs::write(self.world.path(name), text.join("\n")).unwrap();
    }

    async fn run(&self, args: &[&str]) -> Ended {
        self.world.run(args).await
    }

    /// What a command prints line by line; it must succeed.
    async fn lines(&self, args: &[&str]) -> Vec<Value> {
        let ended = self.run(args).await;
        assert_eq!(ended.code, Some(0), "{}", ended.all());
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn count(&self, status: &str) -> usize {
        self.lines(&["request", "list", "--all", "--status", status, "-o", "jsonl"]).await.len()
    }
}

/// 2500 lines, of which some wait for others far away, before and after them.
fn long_file() -> Vec<Value> {
    let line = |number: usize| {
        let mut line = json!({"ref": format!("r{number}"), "prompt": format!("do {number}")});
        match number {
            // The very first waits for the very last: everything in between goes out in another order.
            0 => line["blocked_by"] = json!(["ref:r2499", "ref:r1"]),
            1200 => line["parent_id"] = json!("ref:r2"),
            _ => {}
        }
        line
    };
    (0..2500).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_created_once_however_often_it_is_run() {
    let eve = Installation::start().await;
    eve.write("requests.jsonl", &long_file());
    let create = ["request", "create", "--from", "requests.jsonl"];
    let ended = eve.run(&[create.as_slice(), &["--dry-run"]].concat()).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(0)
    --- stdout
    2500 requests could be created, in 3 calls. Nothing was created.
    --- stderr
    ");
    assert_eq!(eve.count("pending,blocked").await, 0);
    let made = eve.lines(&[create.as_slice(), &["-o", "jsonl"]].concat()).await;
    assert_eq!(made.len(), 2500);
    let id = |name: &str| made.iter().find(|one| one["ref"] == name).unwrap()["id"].clone();
    let first = eve.lines(&["request", "get", id("r0").as_str().unwrap(), "-o", "jsonl"]).await.remove(0);
    assert_eq!((&first["status"], &first["blocked_by"]), (&json!("blocked"), &json!([id("r2499"), id("r1")])));
    let child = eve.lines(&["request", "get", id("r1200").as_str().unwrap(), "-o", "jsonl"]).await.remove(0);
    assert_eq!(child["parent_id"], id("r2"));
    insta::assert_snapshot!(eve.run(&create).await.all(), @"
    exit code: Some(0)
    --- stdout
    Created 0 requests. 2500 were there already, from an earlier run with the same file.
    --- stderr
    1000 of 2500
    2000 of 2500
    ");
    let again = eve.lines(&[create.as_slice(), &["-o", "jsonl"]].concat()).await;
    assert_eq!(again, made);
    // On purpose, with a key of its own.
    let ended = eve.run(&[create.as_slice(), &["--idempotency-key", "second", "-q"]].concat()).await;
    assert_eq!(ended.stdout, "Created 2500 requests.\n");
    assert_eq!(eve.count("pending,blocked").await, 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_a_file_too() {
    let eve = Installation::start().await;
    let mut command = eve.world.command(&["request", "create", "--from", "-", "--json", "-q"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(
            b"\n{\"prompt\": \"two\", \"blockedBy\": [\"ref:one\"]}\r\n\n{\"prompt\": \"one\", \"ref\": \"one\"}",
        )
        .await
        .unwrap();
    drop(stdin);
    let ended = eve.world.ended(child.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.all());
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&summary["created"], &summary["existing"]), (&json!(2), &json!(0)));
    let lines: Vec<&Value> = summary["items"].as_array().unwrap().iter().map(|item| &item["line"]).collect();
    assert_eq!(lines, [&json!(2), &json!(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_creates_nothing_and_every_line_is_told() {
    let eve = Installation::start().await;
    let text = [
        r#"{"ref": "a", "prompt": "fine"}"#,
        r#"{"ref": "b", "prompt": 7}"#,
        "not json",
        "",
        r#"{"ref": "a", "prompt": "again"}"#,
        r#"{"prompt": "x", "blocked_by": ["ref:nobody"]}"#,
        r#"{"prompt": "x", "blocked_by": ["ref:b"]}"#,
        r#"{"prompt": "x", "worker_type": "plumber"}"#,
        r#"{"prompt": " "}"#,
        r#"{"prompt": "x", "priority": "URGENT"}"#,
        r#"["prompt"]"#,
    ];
    std::fs::write(eve.world.path("wrong.jsonl"), text.join("\n")).unwrap();
    let mut told = eve.run(&["request", "create", "--from", "wrong.jsonl"]).await.all();
    eve.write(
        "circle.jsonl",
        &[
            json!({"ref": "a", "prompt": "x", "blocked_by": ["ref:c"]}),
            json!({"ref": "b", "prompt": "x", "blocked_by": ["ref:a"]}),
            json!({"ref": "c", "prompt": "x", "parent_id": "ref:b"}),
        ],
    );
    told.push_str(&eve.run(&["request", "create", "--from", "circle.jsonl"]).await.all());
    std::fs::write(eve.world.path("empty.jsonl"), "\n\n").unwrap();
    told.push_str(&eve.run(&["request", "create", "--from", "empty.jsonl"]).await.all());
    told.push_str(&eve.run(&["request", "create", "--from", "none.jsonl"]).await.all());
    told.push_str(&eve.run(&["request", "create", "--dry-run", "a prompt"]).await.all());
    let many: Vec<Value> = (0..60).map(|number| json!({"ref": format!("r{number}")})).collect();
    eve.write("many.jsonl", &many);
    let ended = eve.run(&["request", "create", "--from", "many.jsonl"]).await;
    assert!(
        ended.stderr.contains("60 lines are wrong") && ended.stderr.ends_with("hint: and 10 more\n"),
        "{}",
        ended.stderr
    );
    // What only the server knows is told by line, too.
    let nowhere = "req_00000000000000000000000000";
    eve.write("nowhere.jsonl", &[json!({"prompt": "x"}), json!({"prompt": "x", "blocked_by": [nowhere]})]);
    told.push_str(&eve.run(&["request", "create", "--from", "nowhere.jsonl"]).await.all());
    insta::assert_snapshot!(told);
    assert_eq!(eve.count("pending,blocked").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_shown_confirmed_and_followed_to_the_end() {
    let eve = Installation::start().await;
    let lines: Vec<Value> = (0..12).map(|number| json!({"prompt": format!("number {number}")})).collect();
    eve.write("twelve.jsonl", &lines);
    eve.lines(&["request", "create", "--from", "twelve.jsonl", "-o", "jsonl"]).await;
    let filter = ["--status", "pending", "--text", "number 1"];
    let with = |action: &[&'static str], how: &[&'static str]| [action, filter.as_slice(), how].concat();
    let ended = eve.run(&with(&["request", "cancel"], &[])).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(2)
    --- stdout
    --- stderr
    error: to cancel many requests without being asked, say so with --yes
    hint: --dry-run shows what would happen
    ");
    let preview = eve.lines(&with(&["request", "cancel"], &["--dry-run", "-o", "jsonl"])).await.remove(0);
    assert_eq!((&preview["affected"], &preview["complete"]), (&json!(3), &json!(true)));
    assert_eq!(eve.count("pending").await, 12);
    let ended = eve.run(&with(&["request", "cancel"], &["--yes"])).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(0)
    --- stdout
    Cancelled 3 requests.
    --- stderr
    This would cancel 3 requests: 3 pending.
    ");
    let ended = eve.run(&["replay", "--all", "--yes"]).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(0)
    --- stdout
    Replayed 3 requests; left 9 alone (9 still pending).
    --- stderr
    This would replay 3 requests: 3 cancelled.
    9 requests would be left alone: 9 still pending.
    ");
    let ended = eve.run(&["request", "reprioritise", "--priority", "high", "--yes", "--created-after", "1h"]).await;
    insta::assert_snapshot!(ended.all(), @"
    exit code: Some(0)
    --- stdout
    Made HIGH 12 requests; left 3 alone (3 already cancelled).
    --- stderr
    This would make 12 requests HIGH: 12 pending.
    3 requests would be left alone: 3 already cancelled.
    ");
    let ended = eve.run(&["request", "cancel", "--yes", "--text", "nothing has this"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), "No request would be changed.\n"));
    let actions = eve.lines(&["bulk", "list", "-o", "jsonl"]).await;
    let names: Vec<&Value> = actions.iter().map(|action| &action["action"]).collect();
    assert_eq!(names, [&json!("reprioritise"), &json!("replay"), &json!("cancel")]);
    let id = actions[0]["id"].as_str().unwrap();
    let shown = eve.lines(&["bulk", "get", id, "-o", "jsonl"]).await.remove(0);
    assert_eq!(shown, actions[0]);
    let ended = eve.run(&["bulk", "cancel", id]).await;
    assert_eq!(ended.code, Some(6), "{}", ended.all());
    // Two that are named are many, one is one.
    let newest = eve.lines(&["request", "list", "-n", "2", "-o", "jsonl"]).await;
    let ids: Vec<&str> = newest.iter().map(|request| request["id"].as_str().unwrap()).collect();
    let one = eve.lines(&["request", "reprioritise", "--priority", "LOW", ids[0], "-o", "jsonl"]).await.remove(0);
    assert_eq!((&one["id"], &one["priority"]), (&newest[0]["id"], &json!("LOW")));
    let shown = eve.lines(&["request", "cancel", ids[0], "--dry-run", "-o", "jsonl"]).await.remove(0);
    assert_eq!((&shown["affected"], eve.count("pending").await), (&json!(1), 12));
    let both = eve.lines(&["request", "cancel", "--yes", "-o", "jsonl", ids[0], ids[1]]).await.remove(0);
    assert_eq!((&both["done"], &both["filter"]["ids"]), (&json!(2), &json!(ids)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_waits_for_goes_on() {
    let eve = Installation::start().await;
    let empty = eve.run(&["bulk", "list"]).await;
    assert!(empty.stderr.starts_with("There are no bulk actions: begin one with a filter"), "{}", empty.stderr);
    eve.run(&["request", "create", "one"]).await.code.unwrap();
    let ended = eve.run(&["request", "cancel", "--all", "--yes", "--detach", "-q"]).await;
    let id = ended.stdout.trim();
    let ended = eve.run(&["bulk", "get", "--follow", id, "-o", "json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.all());
    let action: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&action["state"], &action["done"]), (&json!("completed"), &json!(1)));
}
