//! The promises of the embedded cluster, with a real PostgreSQL: the system's, and Eve's own where
//! `EVE_TEST_RUNTIME_DIR` says that it is; or the one that `EVE_TEST_PG_BIN` names. They hold for root, who changes to another user, and for anybody else.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal;
use nix::sys::signal::Signal;
use nix::unistd;
use nix::unistd::Pid;
use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::Cluster;
use super::ClusterError;
use super::ClusterOptions;
use super::ClusterState;
use super::Role;
use super::binaries;
use super::binaries::Search;
use super::earlier;
use super::files::Layout;
use super::guard;
use super::guard::guard_main;
use super::provision;

const PATIENCE: Duration = Duration::from_secs(60);
const DATA_DIR: &str = "EVE_TEST_DATA_DIR";
const BIN_DIR: &str = "EVE_TEST_BIN_DIR";
const RUNTIME_DIR: &str = "EVE_TEST_RUNTIME_DIR";
const PG_BIN: &str = "EVE_TEST_PG_BIN";

/// The guard's process is this test, run again with the guard's arguments after `--`.
#[test]
fn guard_entry_point() {
    let args: Vec<OsString> = env::args_os().collect();
    if let Some(separator) = args.iter().position(|argument| argument == guard::SEPARATOR) {
        std::process::exit(guard_main(args[separator..].to_vec()));
    }
}

/// An Eve to be killed is this test, run again with a data directory. She writes a row as soon as she can, and waits.
#[tokio::test]
async fn eve_entry_point() {
    let (Some(data_dir), Some(bin_dir)) = (env::var_os(DATA_DIR), env::var_os(BIN_DIR)) else { return };
    let data_dir = PathBuf::from(data_dir);
    let cluster = Cluster::start(options(&data_dir, bin_dir.as_ref()), &|_| {}).await.unwrap();
    let mut owner = PgConnection::connect_with(&cluster.connect_options(Role::Owner)).await.unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS eve.kept (life int)").execute(&mut owner).await.unwrap();
    sqlx::query("INSERT INTO eve.kept SELECT count(*) FROM eve.kept").execute(&mut owner).await.unwrap();
    fs::write(data_dir.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

fn entry(name: &str) -> [OsString; 3] {
    let (_, module) = module_path!().split_once("::").unwrap();
    ["--exact".into(), format!("{module}::{name}").into(), "--nocapture".into()]
}

fn options(data_dir: &Path, bin_dir: &Path) -> ClusterOptions {
    let mut options = ClusterOptions::new(data_dir.to_path_buf(), data_dir.join("no-runtime"));
    options.may_download = false;
    options.pg_bin_dir = Some(bin_dir.to_path_buf());
    options.guard = vec![guard::SELF_EXE.into()];
    options.guard.extend(entry("guard_entry_point"));
    options
}

/// A directory that the server's user can reach.
fn place() -> TempDir {
    let dir = tempfile::Builder::new().prefix("eve-test-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

async fn bin_dirs() -> Vec<PathBuf> {
    if let Some(bin_dir) = env::var_os(PG_BIN) {
        return vec![bin_dir.into()];
    }
    let runtime_dir = env::var_os(RUNTIME_DIR).map(PathBuf::from);
    let nowhere = PathBuf::from("/nonexistent");
    let mut found = Vec::new();
    for (runtime_dir, system_root) in
        [(&nowhere, Path::new(binaries::SYSTEM_ROOT)), (runtime_dir.as_ref().unwrap_or(&nowhere), &nowhere)]
    {
        let search = Search { pg_bin_dir: None, runtime_dir, system_root, may_download: false, data_major: None };
        if let Ok(binaries::Plan::Use(installation)) = binaries::plan(&search).await {
            found.push(installation.bin_dir);
        }
    }
    assert!(!found.is_empty(), "these tests need PostgreSQL: apt-get install postgresql");
    found
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_state(cluster: &Cluster, what: &str, wanted: impl FnMut(&ClusterState) -> bool) {
    let mut state = cluster.state();
    tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await.expect(what).unwrap();
}

async fn kept(cluster: &Cluster) -> Vec<i32> {
    let mut owner = PgConnection::connect_with(&cluster.connect_options(Role::Owner)).await.unwrap();
    sqlx::query_scalar("SELECT life FROM eve.kept ORDER BY life").fetch_all(&mut owner).await.unwrap()
}

/// Every process that names the directory in its command line: guards, servers, initdb.
fn processes_of(data_dir: &Path) -> Vec<i32> {
    let needle = data_dir.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != unistd::getpid().as_raw() && String::from_utf8_lossy(&line).contains(needle)
    })
    .collect()
}

fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn postmaster(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(Layout::new(data_dir).data.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn kill(pid: i32) {
    signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn spawn_eve(data_dir: &Path, bin_dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(entry("eve_entry_point"))
        .env(DATA_DIR, data_dir)
        .env(BIN_DIR, bin_dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_service_owns_nothing_and_the_owner_is_no_superuser() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let cluster = Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap();
        let mut owner = PgConnection::connect_with(&cluster.connect_options(Role::Owner)).await.unwrap();
        sqlx::query("CREATE TABLE eve.secret AS SELECT 42 AS answer").execute(&mut owner).await.unwrap();
        sqlx::query("GRANT USAGE ON SCHEMA eve TO eve_service, eve_platform").execute(&mut owner).await.unwrap();
        sqlx::query("GRANT SELECT ON eve.secret TO eve_platform").execute(&mut owner).await.unwrap();

        let mut service = PgConnection::connect_with(&cluster.connect_options(Role::Service)).await.unwrap();
        let powerful: Vec<String> = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'eve%' AND \
             (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)",
        )
        .fetch_all(&mut service)
        .await
        .unwrap();
        assert_eq!(powerful, ["eve_admin"]);
        let owned: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND \
             refobjid IN ('eve_service'::regrole, 'eve_platform'::regrole)",
        )
        .fetch_one(&mut service)
        .await
        .unwrap();
        assert_eq!(owned, 0);
        for refused in ["SELECT answer FROM eve.secret", "CREATE TABLE eve.mine ()", "CREATE TABLE public.mine ()"] {
            let error = sqlx::query(refused).execute(&mut service).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{refused}: {error}");
        }
        // The platform's rights are there for the asking, and only then.
        sqlx::query("SET ROLE eve_platform").execute(&mut service).await.unwrap();
        let answer: i32 = sqlx::query_scalar("SELECT answer FROM eve.secret").fetch_one(&mut service).await.unwrap();
        assert_eq!(answer, 42);

        let vector: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert_eq!(vector, cluster.installation().pgvector);
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn settings_are_durable_and_the_doors_are_few() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let data_dir = dir.path().join("data");
        fs::create_dir_all(data_dir.join("postgres")).unwrap();
        fs::write(data_dir.join("postgres/local.conf"), "work_mem = '5MB'\nfsync = off\n").unwrap();
        let cluster = Cluster::start(options(&data_dir, &bin_dir), &|_| {}).await.unwrap();
        let mut admin = PgConnection::connect_with(&cluster.connect_options(Role::Admin)).await.unwrap();
        for (name, value) in [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("data_checksums", "on"),
            ("listen_addresses", "127.0.0.1"),
            ("max_connections", "100"),
            ("shared_buffers", "128MB"),
            ("TimeZone", "UTC"),
            ("server_encoding", "UTF8"),
            ("unix_socket_permissions", "0700"),
            ("work_mem", "5MB"),
        ] {
            let shown: String =
                sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut admin).await.unwrap();
            assert_eq!(shown, value, "{name}");
        }
        let doors: Vec<(String, String)> =
            sqlx::query_as("SELECT type, auth_method FROM pg_hba_file_rules ORDER BY line_number")
                .fetch_all(&mut admin)
                .await
                .unwrap();
        let scram = |kind: &str| (kind.to_owned(), "scram-sha-256".to_owned());
        assert_eq!(doors, [scram("local"), scram("host")]);

        let tcp = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(cluster.port())
            .username(Role::Service.name())
            .password("guess")
            .database("eve");
        let error = PgConnection::connect_with(&tcp).await.unwrap_err();
        assert_eq!(error.as_database_error().map(|error| error.code().unwrap().into_owned()).as_deref(), Some("28P01"));

        for path in [cluster.socket_dir(), &data_dir.join("postgres/data")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
        }
        // What the server's user owns must not reach up to Eve's files.
        for path in [data_dir.clone(), data_dir.join("postgres"), data_dir.join("postgres/pg_hba.conf")] {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(fs::metadata(&path).unwrap().uid(), unistd::geteuid().as_raw(), "{}", path.display());
        }
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_lost_when_eve_is_killed() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let ready = dir.path().join("ready");
        for _ in 0..3 {
            let mut eve = spawn_eve(dir.path(), &bin_dir);
            until("Eve has written", || ready.exists()).await;
            eve.kill().unwrap();
            eve.wait().unwrap();
            fs::remove_file(&ready).unwrap();
            // The next one starts while the guard of this one is still at work.
        }
        let cluster = Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap();
        assert_eq!(kept(&cluster).await, [0, 1, 2]);
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_first_start_may_be_killed_at_any_moment() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let ready = dir.path().join("ready");
        let mut after = Duration::from_millis(20);
        loop {
            let mut eve = spawn_eve(dir.path(), &bin_dir);
            tokio::time::sleep(after).await;
            eve.kill().unwrap();
            eve.wait().unwrap();
            if ready.exists() {
                break;
            }
            after = after * 7 / 4;
            assert!(after < PATIENCE);
        }
        let cluster = Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap();
        assert_eq!(kept(&cluster).await.first(), Some(&0));
        assert!(!fs::read_dir(dir.path().join("postgres")).unwrap().flatten().any(|entry| {
            let name = entry.file_name().into_string().unwrap();
            name.starts_with("data.new-")
        }));
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_or_guard_is_replaced() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let cluster = Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap();
        let options = cluster.connect_options(Role::Owner);
        let mut owner = PgConnection::connect_with(&options).await.unwrap();
        sqlx::query("CREATE TABLE eve.kept (life int)").execute(&mut owner).await.unwrap();
        sqlx::query("INSERT INTO eve.kept VALUES (7)").execute(&mut owner).await.unwrap();

        let first = postmaster(dir.path());
        kill(first);
        until_state(&cluster, "noticed", |state| matches!(state, ClusterState::Restarting { .. })).await;
        until_state(&cluster, "restarted", |state| *state == ClusterState::Running).await;
        let second = postmaster(dir.path());
        assert_ne!(second, first);
        // The same connection options still lead there.
        assert_eq!(kept(&cluster).await, [7]);

        kill(parent_of(second));
        until_state(&cluster, "noticed", |state| matches!(state, ClusterState::Restarting { .. })).await;
        until_state(&cluster, "restarted", |state| *state == ClusterState::Running).await;
        assert_eq!(kept(&cluster).await, [7]);
        cluster.stop().await.unwrap();
        until("all processes are gone", || processes_of(dir.path()).is_empty()).await;
    }
}

#[tokio::test]
async fn stopping_leaves_no_process_and_dropping_does_not_either() {
    for bin_dir in bin_dirs().await {
        let dir = place();
        let layout = Layout::new(dir.path());
        let cluster = Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap();
        assert!(!processes_of(dir.path()).is_empty());
        // An open connection does not hold it up.
        let _connection = PgConnection::connect_with(&cluster.connect_options(Role::Service)).await.unwrap();
        cluster.stop().await.unwrap();
        assert_eq!(earlier::servers_on(&layout.data).unwrap(), [0; 0]);
        assert_eq!(processes_of(dir.path()), [0; 0]);
        assert!(!layout.data.join("postmaster.pid").exists());
        // Twice is once.
        cluster.stop().await.unwrap();

        drop(Cluster::start(options(dir.path(), &bin_dir), &|_| {}).await.unwrap());
        until("the server is gone", || processes_of(dir.path()).is_empty()).await;
    }
}

#[tokio::test]
async fn a_port_is_kept_while_it_is_free() {
    let dir = place();
    let bin_dir = &bin_dirs().await[0];
    let mut ports = Vec::new();
    let mut guest = None;
    for _ in 0..3 {
        let cluster = Cluster::start(options(dir.path(), bin_dir), &|_| {}).await.unwrap();
        cluster.stop().await.unwrap();
        ports.push(cluster.port());
        if ports.len() == 2 {
            guest = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.port())).unwrap());
        }
    }
    assert_eq!(ports[0], ports[1]);
    assert_ne!(ports[1], ports[2]);
    drop(guest);
}

#[tokio::test]
async fn a_long_path_moves_the_socket_elsewhere() {
    let dir = place();
    let data_dir = dir.path().join("long".repeat(25));
    let bin_dir = &bin_dirs().await[0];
    let mut places = Vec::new();
    for _ in 0..2 {
        let cluster = Cluster::start(options(&data_dir, bin_dir), &|_| {}).await.unwrap();
        PgConnection::connect_with(&cluster.connect_options(Role::Service)).await.unwrap();
        places.push(cluster.socket_dir().to_path_buf());
        cluster.stop().await.unwrap();
    }
    assert_eq!(places[0], places[1], "remembered");
    assert!(!places[0].starts_with(&data_dir));
    fs::remove_dir_all(&places[0]).unwrap();
}

#[tokio::test]
async fn a_directory_that_the_server_cannot_enter_is_named() {
    if !unistd::geteuid().is_root() {
        return;
    }
    let dir = place();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let bin_dir = &bin_dirs().await[0];
    let error = Cluster::start(options(&closed.join("data"), bin_dir), &|_| {}).await.err().unwrap();
    let ClusterError::Unreachable { directory, .. } = &error else { panic!("{error}") };
    assert_eq!(*directory, closed);
    assert!(error.to_string().contains("chmod o+x"), "{error}");
    // The remedy works.
    fs::set_permissions(&closed, Permissions::from_mode(0o701)).unwrap();
    Cluster::start(options(&closed.join("data"), bin_dir), &|_| {}).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn lost_passwords_and_foreign_versions_are_told_apart() {
    let dir = place();
    let bin_dir = &bin_dirs().await[0];
    Cluster::start(options(dir.path(), bin_dir), &|_| {}).await.unwrap().stop().await.unwrap();
    let layout = Layout::new(dir.path());
    let other = fs::read_to_string(&layout.credentials).unwrap().replace(['1', '2', '3'], "0");
    fs::write(&layout.credentials, other).unwrap();
    let error = Cluster::start(options(dir.path(), bin_dir), &|_| {}).await.err().unwrap().to_string();
    assert!(error.contains("has another password than the database"), "{error}");

    fs::write(layout.data.join("PG_VERSION"), "14\n").unwrap();
    let error = Cluster::start(options(dir.path(), bin_dir), &|_| {}).await.err().unwrap().to_string();
    assert!(error.contains("but the database was made by 14"), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_shows_the_end_of_the_log() {
    fn assert_send<T: Send>(future: T) -> T {
        future
    }
    let dir = place();
    let root = Layout::new(dir.path()).root;
    fs::create_dir(&root).unwrap();
    fs::write(root.join("local.conf"), "work_mem = 'a lot'\n").unwrap();
    let bin_dir = &bin_dirs().await[0];
    let error = assert_send(Cluster::start(options(dir.path(), bin_dir), &|_| {})).await.err().unwrap().to_string();
    assert!(error.contains("PostgreSQL did not start") && error.contains("work_mem"), "{error}");
    assert_eq!(processes_of(dir.path()), [0; 0]);
}

/// Run it with `EVE_TEST_RUNTIME_DIR` naming a directory that may be filled.
#[tokio::test]
#[ignore = "downloads 14 MB"]
async fn two_at_a_time_download_once() {
    let runtime_dir = PathBuf::from(env::var_os(RUNTIME_DIR).expect(RUNTIME_DIR));
    let tell = |line: &str| eprintln!("{line}");
    let (first, second) =
        tokio::join!(provision::provision(&runtime_dir, &tell), provision::provision(&runtime_dir, &tell));
    first.unwrap();
    second.unwrap();
    let found = binaries::inspect(binaries::Source::Runtime, &provision::bin_dir(&runtime_dir)).await.unwrap();
    assert_eq!((found.version, found.pgvector), (provision::VERSION, true));
}
