//! The scripted model, asked by a plain HTTP client and by the real agent CLIs.

mod agents;

use std::collections::HashMap;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::ensure;
use eve_testkit::model_stub::Failure;
use eve_testkit::model_stub::ModelStub;
use eve_testkit::model_stub::Script;
use eve_testkit::model_stub::Served;
use eve_testkit::model_stub::Step;
use eve_testkit::model_stub::TokenUsage;
use reqwest::Client;
use reqwest::Response;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

/// Long enough for an answer that is coming, short enough to wait for one that is not.
const NO_ANSWER: Duration = Duration::from_millis(300);

/// A stub with one script, called `a`.
fn stub(script: Script) -> std::io::Result<ModelStub> {
    ModelStub::start(HashMap::from([("a".to_owned(), script)]))
}

/// A Messages request in which the model has taken that many turns.
fn messages(turns: usize, stream: bool) -> Value {
    let mut messages = vec![json!({ "role": "user", "content": "go" })];
    for turn in 0..turns {
        messages.push(json!({ "role": "assistant", "content": format!("turn {turn}") }));
        messages.push(json!({ "role": "user", "content": "on" }));
    }
    json!({
        "model": "claude-test",
        "stream": stream,
        "messages": messages,
        "tools": [{ "name": "Bash" }, { "name": "Write" }],
    })
}

/// A Responses request with the same.
fn responses(turns: usize) -> Value {
    let mut input = vec![json!({ "type": "message", "role": "user", "content": [] })];
    for turn in 0..turns {
        let call = format!("call_{turn}");
        input.push(json!({ "type": "function_call", "call_id": call, "name": "exec_command", "arguments": "{}" }));
        input.push(json!({ "type": "function_call_output", "call_id": call, "output": "" }));
    }
    json!({
        "model": "gpt-test",
        "stream": true,
        "input": input,
        "tools": [{ "type": "function", "name": "exec_command" }, { "type": "custom", "name": "apply_patch" }],
    })
}

async fn ask(stub: &ModelStub, path: &str, body: &Value) -> anyhow::Result<Response> {
    let url = format!("{}{path}", stub.base_url("a"));
    Ok(Client::new().post(url).header("x-api-key", "dummy").json(body).send().await?)
}

/// The events of a stream: name and data.
async fn events(response: Response) -> anyhow::Result<Vec<(String, Value)>> {
    ensure!(response.headers()["content-type"] == "text/event-stream", "not a stream: {:?}", response.headers());
    let text = response.error_for_status()?.text().await?;
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').with_context(|| format!("no two lines: {event:?}"))?;
            let name = name.strip_prefix("event: ").with_context(|| format!("no name: {name:?}"))?;
            let data = data.strip_prefix("data: ").with_context(|| format!("no data: {data:?}"))?;
            Ok((name.to_owned(), serde_json::from_str(data)?))
        })
        .collect()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn anthropic_streams_text_and_tools() -> anyhow::Result<()> {
    let usage = TokenUsage { input_tokens: 11, output_tokens: 22, cache_read_tokens: 33, cache_write_tokens: 44 };
    let stub = stub(Script::new([Step::Bash("ls".into()), Step::Text("Done.".into())]).with_usage(usage))?;

    let tool = events(ask(&stub, "/v1/messages?beta=true", &messages(0, true)).await?).await?;
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names(&tool), expected);
    assert!(tool.iter().all(|(name, data)| data["type"] == *name), "{tool:?}");
    let usage = &tool[0].1["message"]["usage"];
    assert_eq!(
        [&usage["input_tokens"], &usage["cache_read_input_tokens"], &usage["cache_creation_input_tokens"]],
        [11, 33, 44]
    );
    assert_eq!(tool[0].1["message"]["model"], "claude-test");
    assert_eq!(tool[1].1["content_block"]["name"], "Bash");
    let input = tool[3].1["delta"]["partial_json"].as_str().context("no input")?;
    assert_eq!(serde_json::from_str::<Value>(input)?["command"], "ls");
    assert_eq!(tool[5].1["delta"]["stop_reason"], "tool_use");
    assert_eq!(tool[5].1["usage"]["output_tokens"], 22);

    let text = events(ask(&stub, "/v1/messages", &messages(1, true)).await?).await?;
    assert_eq!(names(&text), expected);
    assert_eq!(text[3].1["delta"], json!({ "type": "text_delta", "text": "Done." }));
    assert_eq!(text[5].1["delta"]["stop_reason"], "end_turn");
    Ok(())
}

#[tokio::test]
async fn anthropic_answers_without_a_stream() -> anyhow::Result<()> {
    let stub = stub(Script::new([Step::write("/w/a.txt", "a\n")]))?;
    let message: Value = ask(&stub, "/v1/messages", &messages(0, false)).await?.error_for_status()?.json().await?;
    assert_eq!(message["content"][0]["input"], json!({ "file_path": "/w/a.txt", "content": "a\n" }));
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!((&message["usage"]["input_tokens"], &message["usage"]["output_tokens"]), (&json!(1000), &json!(50)));

    let over: Value = ask(&stub, "/v1/messages", &messages(1, false)).await?.error_for_status()?.json().await?;
    assert_eq!(over["content"][0]["text"], Script::OVER);

    let count: Value = ask(&stub, "/v1/messages/count_tokens", &messages(0, false)).await?.json().await?;
    assert!(count["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{count}");
    Ok(())
}

#[tokio::test]
async fn openai_streams_text_and_tools() -> anyhow::Result<()> {
    let usage = TokenUsage { input_tokens: 11, output_tokens: 22, cache_read_tokens: 33, cache_write_tokens: 44 };
    let steps = [Step::write("a.txt", "a\n"), Step::Bash("ls".into()), Step::Text("Done.".into())];
    let stub = stub(Script::new(steps).with_usage(usage))?;

    let patch = events(ask(&stub, "/v1/responses", &responses(0)).await?).await?;
    let of_a_call =
        ["response.created", "response.output_item.added", "response.output_item.done", "response.completed"];
    assert_eq!(names(&patch), of_a_call);
    assert_eq!(patch[2].1["item"]["input"], "*** Begin Patch\n*** Add File: a.txt\n+a\n*** End Patch\n");
    let response = &patch[3].1["response"];
    assert_eq!((&response["status"], &response["id"]), (&json!("completed"), &patch[0].1["response"]["id"]));
    // Unlike Anthropic, OpenAI counts cached tokens as input as well.
    let usage = &response["usage"];
    assert_eq!([&usage["input_tokens"], &usage["input_tokens_details"]["cached_tokens"]], [88, 33]);
    assert_eq!([&usage["output_tokens"], &usage["total_tokens"]], [22, 110]);

    let call = events(ask(&stub, "/v1/responses", &responses(1)).await?).await?;
    assert_eq!(names(&call), of_a_call);
    assert_eq!(
        (&call[2].1["item"]["type"], &call[2].1["item"]["name"]),
        (&json!("function_call"), &json!("exec_command"))
    );

    let text = events(ask(&stub, "/v1/responses", &responses(2)).await?).await?;
    assert_eq!(names(&text)[2], "response.output_text.delta");
    assert_eq!(text[2].1["delta"], "Done.");
    assert_eq!(text[3].1["item"]["content"][0]["text"], "Done.");
    Ok(())
}

#[tokio::test]
async fn failures_come_as_often_as_scripted() -> anyhow::Result<()> {
    let stub = stub(Script::new([
        Step::Status(Failure::rate_limited(7).times(2)),
        Step::Text("Recovered.".into()),
        Step::Status(Failure::prompt_too_long()),
    ]))?;
    for _ in 0..2 {
        let refused = ask(&stub, "/v1/messages", &messages(0, true)).await?;
        assert_eq!(
            (refused.status(), &refused.headers()["retry-after"]),
            (StatusCode::TOO_MANY_REQUESTS, &"7".parse()?)
        );
        assert_eq!(refused.json::<Value>().await?["error"]["type"], "rate_limit_error");
    }
    assert_eq!(ask(&stub, "/v1/messages", &messages(0, true)).await?.status(), StatusCode::OK);

    for _ in 0..3 {
        let refused = ask(&stub, "/v1/responses", &responses(1)).await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(refused.json::<Value>().await?["error"]["code"], "context_length_exceeded");
    }
    let served: Vec<Served> = stub.requests("a").into_iter().map(|request| request.served).collect();
    assert_eq!(served, [0, 0, 1, 2, 2, 2].map(Served::Step));
    Ok(())
}

#[tokio::test]
async fn a_cut_stream_breaks_in_the_middle() -> anyhow::Result<()> {
    for (path, body) in [("/v1/messages", messages(0, true)), ("/v1/responses", responses(0))] {
        let stub = stub(Script::new([Step::CutStream, Step::Text("Whole.".into())]))?;
        let cut = ask(&stub, path, &body).await?;
        assert_eq!(cut.status(), StatusCode::OK);
        assert!(cut.text().await.is_err(), "{path} ended well");
        let whole = ask(&stub, path, &body).await?.text().await?;
        assert!(whole.contains("Whole."), "{whole}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hanging_model_is_freed_by_dropping_the_stub() -> anyhow::Result<()> {
    let stub = stub(Script::new([Step::Hang]))?;
    let body = messages(0, true);
    let mut request = Box::pin(ask(&stub, "/v1/messages", &body));
    assert!(tokio::time::timeout(NO_ANSWER, &mut request).await.is_err(), "it answered");
    drop(request);

    let request = Client::new().post(format!("{}/v1/messages", stub.base_url("a"))).json(&body).send();
    let request = tokio::spawn(request);
    while stub.request_count("a") < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stub);
    assert!(tokio::time::timeout(Duration::from_secs(5), request).await??.is_err(), "it answered");
    Ok(())
}

#[tokio::test]
async fn requests_without_tools_use_up_nothing() -> anyhow::Result<()> {
    let stub = stub(Script::new([Step::Text("First.".into())]))?;
    let title = json!({ "model": "small", "messages": [{ "role": "user", "content": "a title?" }] });
    let side: Value = ask(&stub, "/v1/messages", &title).await?.json().await?;
    assert_eq!((&side["usage"]["input_tokens"], &side["usage"]["output_tokens"]), (&json!(0), &json!(0)));
    let first: Value = ask(&stub, "/v1/messages", &messages(0, false)).await?.json().await?;
    assert_eq!(first["content"][0]["text"], "First.");

    let requests = stub.requests("a");
    assert_eq!(requests.iter().map(|request| &request.served).collect::<Vec<_>>(), [&Served::Side, &Served::Step(0)]);
    assert_eq!(requests[0].model.as_deref(), Some("small"));
    assert!(requests[0].has_key() && requests[0].mentions("a title?"));
    assert_eq!(requests[0].path, "/r/a/v1/messages");
    Ok(())
}

#[tokio::test]
async fn what_the_script_cannot_do_is_refused_and_recorded() -> anyhow::Result<()> {
    let stub = stub(Script::new([Step::Bash("ls".into())]))?;
    let mut body = messages(0, true);
    body["tools"] = json!([{ "name": "Read" }]);
    let refused = ask(&stub, "/v1/messages", &body).await?;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(matches!(&stub.requests("a")[0].served, Served::Refused(reason) if reason.contains("Read")));
    Ok(())
}

#[tokio::test]
async fn probes_are_answered_by_status() -> anyhow::Result<()> {
    let stub = stub(Script::default())?;
    let client = Client::new();
    let base = stub.base_url("a");
    assert_eq!(client.head(&base).send().await?.status(), StatusCode::OK);
    assert_eq!(client.get(format!("{base}/v1/models")).send().await?.status(), StatusCode::OK);
    assert_eq!(client.get(format!("{base}/v1/responses")).send().await?.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(client.post(format!("{base}/v1/analytics")).send().await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        client.post(format!("{}/v1/messages", stub.base_url("b"))).send().await?.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!((stub.request_count("a"), stub.request_count("b")), (4, 0));
    Ok(())
}

/// Kills the child when the test is over, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_says_where_it_listens() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("story.json");
    fs::write(&file, r#"{"steps": [{"text": "From a file."}]}"#)?;
    let mut program = Killed(
        Command::new(env!("CARGO_BIN_EXE_model-stub"))
            .args(["--listen", "127.0.0.1:0", "--script"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut address = String::new();
    BufReader::new(program.0.stdout.take().context("no output")?).read_line(&mut address)?;
    let url = format!("{}/v1/messages", address.trim());
    let text = Client::new().post(url).json(&messages(0, true)).send().await?.text().await?;
    assert!(text.contains("From a file."), "{text}");
    Ok(())
}
