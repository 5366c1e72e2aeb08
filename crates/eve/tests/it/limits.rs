//! `eve limits`: what is sent for each flag, and what is said about the answer.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::Value;
use serde_json::json;

use crate::stand_in::serve;
use crate::world::World;

/// What was put, in order.
type Put = Arc<Mutex<Vec<Value>>>;

async fn put(State(seen): State<Put>, Json(setting): Json<Value>) -> Json<Value> {
    seen.lock().unwrap().push(setting.clone());
    Json(setting)
}

#[tokio::test]
async fn each_flag_names_its_scope() {
    let project = "prj_01h455vb4pex5vsknk084sn02q";
    let seen = Put::default();
    let empty = || async { Json(json!({"items": []})) };
    let url = serve(Router::new().route("/api/v1/limits", get(empty).put(put)).with_state(seen.clone())).await;
    let world = World::with_server(&url);
    let mut text = String::new();
    for args in [
        vec!["limits"],
        vec!["limits", "--json"],
        vec!["limits", "set", "--organization", "10"],
        vec!["limits", "set", "--project", project, "1"],
        vec!["limits", "set", "--worker-type", "general", "0"],
        vec!["limits", "unset", "--worker-type", "general"],
        vec!["limits", "unset", "--organization", "-o", "jsonl"],
        vec!["limits", "set", "10"],
        vec!["limits", "set", "--organization"],
        vec!["limits", "set", "--project", "shop", "1"],
    ] {
        text.push_str(&format!("$ eve {}\n{}\n", args.join(" "), world.run(&args).await.all()));
    }
    insta::assert_snapshot!(text);
    let setting = |scope: &str, name: &str, max: Option<u32>| json!({"scope": scope, "name": name, "max_running": max});
    assert_eq!(
        *seen.lock().unwrap(),
        [
            setting("organization", "", Some(10)),
            setting("project", project, Some(1)),
            setting("worker_type", "general", Some(0)),
            setting("worker_type", "general", None),
            setting("organization", "", None),
        ]
    );
}
