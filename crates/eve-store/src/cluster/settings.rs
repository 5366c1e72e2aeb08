//! What the server is told: where it listens, whom it lets in, and that a commit is on the disk.
//!
//! What Eve relies on goes on the command line, which nothing in a file and no ALTER SYSTEM can override. Defaults
//! that an operator may want to change go into a file of Eve's that is written anew at every start; it reads the
//! operator's `local.conf` last. The server's own `postgresql.conf` and `pg_hba.conf` are left as `initdb` made them.

use std::ffi::OsString;
use std::path::Path;

use super::binaries::Version;
use super::files::Layout;

/// Who may connect, and how: by password, through the socket or the loopback address.
pub(super) const HBA: &str = "\
# Written by Eve at every start.
local   all   all                  scram-sha-256
host    all   all   127.0.0.1/32   scram-sha-256
";

/// The superuser.
pub(super) const ADMIN_USER: &str = "eve_admin";

/// A transaction that waits for its client holds back every clean-up; an hour is no transaction but a mistake.
const IDLE_IN_TRANSACTION_LIMIT: &str = "1h";

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen<'a> {
    /// The directory of the socket.
    pub(super) socket_dir: &'a Path,
    /// Part of the socket's name, and the port on the loopback address.
    pub(super) port: u16,
    /// Whether to listen on the loopback address too.
    pub(super) tcp: bool,
}

/// The arguments of `postgres`.
pub(super) fn server_args(layout: &Layout, listen: &Listen<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-D".into(), layout.data.clone().into()];
    let mut set = |name: &str, value: OsString| {
        let mut setting = OsString::from(format!("{name}="));
        setting.push(value);
        args.extend(["-c".into(), setting]);
    };
    set("config_file", layout.config.clone().into());
    set("hba_file", layout.hba.clone().into());
    set("unix_socket_directories", quoted(listen.socket_dir).into());
    set("port", listen.port.to_string().into());
    set("listen_addresses", if listen.tcp { "127.0.0.1" } else { "" }.into());
    for (name, value) in [
        ("unix_socket_permissions", "0700"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("log_destination", "stderr"),
        ("logging_collector", "off"),
        ("TimeZone", "UTC"),
    ] {
        set(name, value.into());
    }
    args
}

/// The settings file.
pub(super) fn config(layout: &Layout) -> String {
    format!(
        "# Written by Eve at every start. Your own settings belong into local.conf beside this file.\n\
         include {initdb}\n\
         max_connections = 100\n\
         shared_buffers = '128MB'\n\
         wal_compression = on\n\
         idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_LIMIT}'\n\
         log_timezone = 'UTC'\n\
         log_line_prefix = '%m [%p] %q%u@%d '\n\
         include_if_exists {local}\n",
        initdb = literal(&layout.data.join("postgresql.conf")),
        local = literal(&layout.local_config),
    )
}

/// The arguments of `initdb`. The builtin locale needs nothing from the operating system, but is new in 17.
pub(super) fn initdb_args(data: &Path, password_file: &Path, version: Version) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--pgdata".into(), data.into(), "--pwfile".into(), password_file.into()];
    args.push(format!("--username={ADMIN_USER}").into());
    args.extend(
        ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
            .map(OsString::from),
    );
    if version.major >= 17 {
        args.extend(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"].map(OsString::from));
    }
    args
}

/// A path as one element of a list setting, where a comma would end it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}

/// A path as a string of the settings file.
fn literal(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_eve_relies_on_is_on_the_command_line() {
        let layout = Layout::new(Path::new("/var/lib/eve"));
        let listen = Listen { socket_dir: Path::new("/var/lib/eve, too/run"), port: 4711, tcp: true };
        let args = server_args(&layout, &listen).join(&OsString::from(" ")).into_string().unwrap();
        for setting in [
            "-D /var/lib/eve/postgres/data",
            "-c fsync=on",
            "-c synchronous_commit=on",
            "-c full_page_writes=on",
            "-c listen_addresses=127.0.0.1",
            "-c port=4711",
            "-c unix_socket_directories=\"/var/lib/eve, too/run\"",
            "-c hba_file=/var/lib/eve/postgres/pg_hba.conf",
        ] {
            assert!(args.contains(setting), "{setting} in {args}");
        }
        let args = server_args(&layout, &Listen { tcp: false, ..listen });
        assert!(args.contains(&OsString::from("listen_addresses=")));
    }

    #[test]
    fn the_operator_has_the_last_word_in_the_file() {
        let config = config(&Layout::new(Path::new("/it's")));
        assert!(config.ends_with("include_if_exists '/it''s/postgres/local.conf'\n"), "{config}");
        assert!(config.contains("include '/it''s/postgres/data/postgresql.conf'\n"), "{config}");
    }

    #[test]
    fn the_builtin_locale_is_used_where_it_exists() {
        let args = |major| initdb_args(Path::new("/d"), Path::new("/p"), Version { major, minor: 0 });
        let builtin = OsString::from("--builtin-locale=C.UTF-8");
        assert!(!args(16).contains(&builtin));
        assert!(args(17).contains(&builtin));
        assert!(args(15).contains(&OsString::from("--locale=C")));
    }
}
