//! `eve demo`: the main job from asking to result, on a repository made for it, without any key.
//!
//! It is the same code as `eve up` and `eve run`, in one process and on a data directory of its own. The agent is a
//! script, because no agent CLI can work without an account; it does what an agent does: read, change, test.

use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use eve_api_types::NewRequest;
use eve_store::data_dir::DataDirLock;
use tokio::process::Command;
use uuid::Uuid;

use crate::cli::DemoArgs;
use crate::client::Client;
use crate::command::App;
use crate::command::up::Running;
use crate::config::Secret;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::live;
use crate::wiring;
use crate::wiring::Stop;

/// The repository that the demo works on.
const FILES: [(&str, &str); 3] = [
    ("README.md", "# greet\n\nSays hello. `./greet.sh NAME`\n"),
    ("greet.sh", "#!/bin/sh\n# Greets whoever is named.\necho \"Hello, ${1:-world}!\"\n"),
    (
        "test.sh",
        "#!/bin/sh\nset -e\n[ \"$(sh greet.sh Ada)\" = 'Hello, Ada!' ]\n[ \"$(sh greet.sh)\" = 'Hello, world!' ]\n\
         if grep -q -- --json greet.sh; then [ \"$(sh greet.sh --json Ada)\" = '{\"greeting\":\"Hello, Ada!\"}' ]; fi\n\
         echo 'all tests pass'\n",
    ),
];

/// What a coding agent would do about "add a --json flag".
const SCRIPT: &str = r#"#!/bin/bash
set -euo pipefail
step() { echo "$*"; sleep 0.4; }
step "reading README.md and greet.sh ($(wc -l < greet.sh) lines)"
step "the tests pass before the change: $(sh test.sh)"
step "adding a --json flag to greet.sh"
cat > greet.sh <<'SH'
#!/bin/sh
# Greets whoever is named; as JSON with --json.
json=no
if [ "${1:-}" = --json ]; then json=yes; shift; fi
text="Hello, ${1:-world}!"
if [ "$json" = yes ]; then printf '{"greeting":"%s"}\n' "$text"; else echo "$text"; fi
SH
sed -i 's/`.\/greet.sh NAME`/`.\/greet.sh [--json] NAME`/' README.md
step "trying it: $(sh greet.sh --json Ada)"
step "running the tests: $(sh test.sh)"
git --no-pager diff --stat
echo "Added --json to greet.sh and to the README; the tests pass."
"#;

/// Shows Eve at work.
pub(crate) async fn run(app: &App, args: DemoArgs) -> Result<(), CliError> {
    wiring::start_logging(app.config.server.log_format, Some("warn"));
    let began = Instant::now();
    let mut stop = Stop::listen()?;
    let output = &app.output;
    let home = make_home()?;
    let mut config = app.config.clone();
    config.data_dir = home.join("data");
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.server.database_url = None;
    config.worker.allow_local_repositories = true;
    let mut app = App { config, output: output.clone() };

    output.say(format!("1. Starting Eve with a PostgreSQL of its own in {}", app.config.data_dir.display()));
    let running = Running::start(&app).await?;
    output.say(format!("   ready after {:.1} s at {}", began.elapsed().as_secs_f64(), running.url()));
    app.config.api_url = running.url().to_owned();
    app.config.api_key = Some(Secret::new(running.api_key()?));

    let repository = home.join("greet");
    output.say(format!("2. Making a small repository in {}", repository.display()));
    make_repository(&repository).await?;

    output.say("3. Asking for a --json flag and watching the agent (a script, so no key is needed)\n");
    let client = Client::new(&app.config)?;
    let new = NewRequest {
        prompt: SCRIPT.to_owned(),
        title: Some("Add a --json flag to greet".to_owned()),
        repository: Some(repository.to_string_lossy().into_owned()),
        harness: Some("command".to_owned()),
        ..NewRequest::default()
    };
    let request = client.create_request(&new, &Uuid::new_v4().to_string()).await?;
    let shown = live::watch(&app, &client, &request, None).await;

    if shown.is_ok() {
        output.say(format!("\nDone in {:.1} s, start included.", began.elapsed().as_secs_f64()));
        output.say(format!("  API        {}", running.url()));
        output.say(format!("  API key    {}", app.config.data_dir.join("api-key").display()));
        output.say(format!("  repository {}", repository.display()));
        let data_dir = app.config.data_dir.display();
        let stays = args.stay || std::io::stderr().is_terminal();
        let program = std::env::current_exe().map_or_else(|_| "eve".to_owned(), |path| path.display().to_string());
        output.say(if stays { "\nTry next, in another terminal:" } else { "\nTry next:" });
        if stays {
            output.say(format!("  {program} --data-dir {data_dir} request get {}", request.id.short()));
        } else {
            output.say(format!(
                "  {program} --data-dir {data_dir} up            # the demo's Eve again, with its request"
            ));
        }
        output.say(format!("  git -C {} log --stat --all", repository.display()));
        output.say(format!(
            "  {program} up                                # your own Eve; then `eve run --repo PATH \"…\"`"
        ));
        if stays {
            output.say("\nEve stays up until Ctrl-C.");
            stop.wished().await;
        }
    }
    let stopped = running.stop(&mut stop).await;
    shown.and(stopped)
}

/// A fresh directory for the demo. It stays, to be looked at, until the next demo takes its place.
fn make_home() -> Result<PathBuf, CliError> {
    let failed = |path: &Path, error: std::io::Error| {
        CliError::caused(ErrorKind::Failed, format!("cannot make {}", path.display()), error)
    };
    // Short, because a socket's path must be; and where the database's own user can get to.
    let usual = std::env::temp_dir().join("eve-demo");
    // An earlier demo that still runs keeps its own.
    let busy = usual.is_dir() && DataDirLock::acquire(&usual.join("data"), "clearing").is_err();
    let path = if busy { usual.with_file_name(format!("eve-demo-{}", std::process::id())) } else { usual };
    match std::fs::remove_dir_all(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&path, error)),
    }
    std::fs::create_dir_all(&path).map_err(|error| failed(&path, error))?;
    Ok(path)
}

async fn make_repository(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path)?;
    for (name, content) in FILES {
        std::fs::write(path.join(name), content)?;
    }
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &["commit", "--quiet", "--message", "greet: say hello"],
    ] {
        let done = Command::new("git")
            .args(["-c", "user.name=Demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgSign=false"])
            .args(args)
            .current_dir(path)
            .output()
            .await
            .map_err(|error| {
                CliError::caused(ErrorKind::Failed, "git does not run", error).hint("install it: apt-get install git")
            })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(CliError::new(ErrorKind::Failed, format!("git {} failed: {said}", args.join(" "))));
        }
    }
    Ok(())
}
