//! Which repository, and what may never be taken for one.
//!
//! Whoever writes a request names a repository, and git would read far more into such a text than an address:
//! `ext::sh -c …` runs a program, `-u…` is an option, a relative path depends on who asks. So an address is taken
//! apart here and only four forms pass. A password or token inside it is kept apart from the address, never
//! becomes an argument (any user of the host can read those), and never appears in a message.

use std::ffi::OsString;
use std::fmt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest address that is accepted, in bytes.
const MAX_ADDRESS: usize = 4096;

/// What stands in for a password or token in messages.
const MASK: &str = "***";

/// The address of a git repository: an absolute path, `file://`, `https://`, `http://`, `ssh://` or `user@host:path`.
///
/// Shown without credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryUrl {
    place: Place,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Http { scheme: &'static str, authority: String, path: String },
    Ssh(String),
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

/// Why a text is not an address of a repository that Eve uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepository {
    /// Nothing, or more than any address needs, or characters that no address has.
    #[error("it is empty, longer than {MAX_ADDRESS} bytes, or holds spaces or control characters")]
    Text,
    /// Neither of the accepted forms.
    #[error("use an absolute path, https://…, http://…, ssh://… or user@host:path")]
    Form,
    /// A URL whose host, port, user or path is missing or odd.
    #[error("its {part} is missing or has characters that do not belong there")]
    Part {
        /// Which part.
        part: &'static str,
    },
    /// A path that leads through `..`.
    #[error("a path with `..` in it")]
    ParentDirectory,
}

impl RepositoryUrl {
    /// Takes an address apart. Whether this worker may use it is asked later.
    ///
    /// # Errors
    ///
    /// For everything that is not one of the accepted forms.
    pub fn parse(text: &str) -> Result<Self, InvalidRepository> {
        if text.is_empty() || text.len() > MAX_ADDRESS || text.chars().any(char::is_control) {
            return Err(InvalidRepository::Text);
        }
        if text.starts_with('/') {
            return local(Path::new(text));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "file" => {
                    let path = rest.strip_prefix("localhost").unwrap_or(rest);
                    local(Path::new(&percent_decode(path).ok_or(InvalidRepository::Part { part: "path" })?))
                }
                "https" => http("https", rest),
                "http" => http("http", rest),
                "ssh" => ssh_url(rest),
                _ => Err(InvalidRepository::Form),
            };
        }
        scp_like(text)
    }

    /// The path, when the repository lies on this host.
    pub fn local_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Local(path) => Some(path),
            Place::Http { .. } | Place::Ssh(_) => None,
        }
    }

    /// What git is given: no password, no token.
    pub(super) fn address(&self) -> OsString {
        match &self.place {
            Place::Local(path) => path.clone().into_os_string(),
            Place::Http { scheme, authority, path } => format!("{scheme}://{authority}{path}").into(),
            Place::Ssh(address) => address.clone().into(),
        }
    }

    /// What two addresses of the same repository have in common.
    pub(super) fn key(&self) -> Vec<u8> {
        self.address().into_encoded_bytes()
    }

    /// A word or two to recognise it by in a listing.
    pub(super) fn nickname(&self) -> String {
        let address = self.address();
        let address = address.to_string_lossy();
        let last = address.rsplit(['/', ':']).find(|part| !part.is_empty() && *part != ".git").unwrap_or("repository");
        let slug = eve_core::slug(last.strip_suffix(".git").unwrap_or(last));
        if slug.is_empty() { "repository".to_owned() } else { slug }
    }

    /// Variables that hand the credentials to git, for this host and no other that it may be redirected to.
    pub(super) fn credential_config(&self) -> CredentialConfig {
        let mut config = CredentialConfig::default();
        if let (Place::Http { scheme, authority, .. }, Some(credentials)) = (&self.place, &self.credentials) {
            config.settings = vec![
                ("credential.helper".to_owned(), String::new()),
                (format!("credential.{scheme}://{authority}.helper"), CREDENTIAL_HELPER.to_owned()),
            ];
            config.env = vec![
                ("EVE_GIT_USERNAME", credentials.user.clone()),
                ("EVE_GIT_PASSWORD", credentials.password.clone()),
            ];
        }
        config
    }
}

/// Answers git's question for a user and password from two variables.
const CREDENTIAL_HELPER: &str =
    r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$EVE_GIT_USERNAME" "$EVE_GIT_PASSWORD"; }; f"#;

/// Settings and variables that hold the credentials of one call.
#[derive(Default)]
pub(super) struct CredentialConfig {
    pub(super) settings: Vec<(String, String)>,
    pub(super) env: Vec<(&'static str, String)>,
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.credentials.is_some() { format!("{MASK}@") } else { String::new() };
        match &self.place {
            Place::Local(path) => write!(f, "{}", path.display()),
            Place::Http { scheme, authority, path } => {
                // A token may hide behind the question mark.
                let (path, query) = path.split_once('?').map_or((path.as_str(), ""), |(path, _)| (path, "?***"));
                write!(f, "{scheme}://{secret}{authority}{path}{query}")
            }
            Place::Ssh(address) => f.write_str(address),
        }
    }
}

impl fmt::Debug for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryUrl({self})")
    }
}

impl FromStr for RepositoryUrl {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        Self::parse(text)
    }
}

/// Replaces what stands between `://` and `@` in a text that git wrote, unless it is a bare ssh user.
pub(super) fn mask_credentials(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        masked.push_str(before);
        let end = after.find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '\'' | '"'));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = after;
        if let Some(at) = authority.rfind('@') {
            let user_only = before.ends_with("ssh://") && !authority[..at].contains(':');
            masked.push_str(if user_only { &authority[..at] } else { MASK });
            rest = &after[at..];
        }
    }
    masked.push_str(rest);
    masked
}

fn local(path: &Path) -> Result<RepositoryUrl, InvalidRepository> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::Normal(_) => clean.push(component),
            Component::CurDir => {}
            Component::ParentDir => return Err(InvalidRepository::ParentDirectory),
            Component::Prefix(_) => return Err(InvalidRepository::Form),
        }
    }
    if !clean.is_absolute() {
        return Err(InvalidRepository::Part { part: "path" });
    }
    Ok(RepositoryUrl { place: Place::Local(clean), credentials: None })
}

fn http(scheme: &'static str, rest: &str) -> Result<RepositoryUrl, InvalidRepository> {
    let (authority, path) = split_path(rest)?;
    let (user_info, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    check_host(host)?;
    let credentials = match user_info {
        None => None,
        Some(user_info) => {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let decode = |text| percent_decode(text).filter(|text| !text.chars().any(char::is_control));
            let user = decode(user).ok_or(InvalidRepository::Part { part: "user" })?;
            let password = decode(password).ok_or(InvalidRepository::Part { part: "password" })?;
            Some(Credentials { user, password })
        }
    };
    let place = Place::Http { scheme, authority: host.to_ascii_lowercase(), path };
    Ok(RepositoryUrl { place, credentials })
}

fn ssh_url(rest: &str) -> Result<RepositoryUrl, InvalidRepository> {
    let (authority, path) = split_path(rest)?;
    let address = match authority.rsplit_once('@') {
        Some((user, host)) => {
            check_user(user)?;
            check_host(host)?;
            format!("ssh://{user}@{}{path}", host.to_ascii_lowercase())
        }
        None => {
            check_host(authority)?;
            format!("ssh://{}{path}", authority.to_ascii_lowercase())
        }
    };
    Ok(RepositoryUrl { place: Place::Ssh(address), credentials: None })
}

fn scp_like(text: &str) -> Result<RepositoryUrl, InvalidRepository> {
    // The user is asked for: without one, `ext::…` and `folder:name` look just the same.
    let (authority, path) = text.split_once(':').ok_or(InvalidRepository::Form)?;
    let (user, host) = authority.split_once('@').ok_or(InvalidRepository::Form)?;
    check_user(user)?;
    check_host(host)?;
    if path.is_empty() || path.starts_with(['-', ':']) || path.contains(char::is_whitespace) {
        return Err(InvalidRepository::Part { part: "path" });
    }
    let path = path.trim_end_matches('/');
    let address = format!("{user}@{}:{path}", host.to_ascii_lowercase());
    Ok(RepositoryUrl { place: Place::Ssh(address), credentials: None })
}

/// Splits what follows `://` into the authority and a path that is more than a slash.
fn split_path(rest: &str) -> Result<(&str, String), InvalidRepository> {
    let wrong = InvalidRepository::Part { part: "path" };
    let slash = rest.find('/').ok_or(wrong.clone())?;
    let (authority, path) = rest.split_at(slash);
    let path = path.trim_end_matches('/');
    if path.is_empty() || path.contains(char::is_whitespace) {
        return Err(wrong);
    }
    Ok((authority, path.to_owned()))
}

fn check_user(user: &str) -> Result<(), InvalidRepository> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '+');
    if user.is_empty() || user.starts_with('-') || !user.chars().all(fits) {
        return Err(InvalidRepository::Part { part: "user" });
    }
    Ok(())
}

fn check_host(authority: &str) -> Result<(), InvalidRepository> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(InvalidRepository::Part { part: "host" })?;
            if host.is_empty() || !host.chars().all(|letter| letter.is_ascii_hexdigit() || letter == ':') {
                return Err(InvalidRepository::Part { part: "host" });
            }
            (None, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or("?")) })
        }
        None => authority.split_once(':').map_or((Some(authority), None), |(host, port)| (Some(host), Some(port))),
    };
    if let Some(host) = host {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if host.is_empty() || host.starts_with('-') || !host.chars().all(fits) {
            return Err(InvalidRepository::Part { part: "host" });
        }
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() || port.starts_with('+') => {
            Err(InvalidRepository::Part { part: "port" })
        }
        Some(_) | None => Ok(()),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    // A NUL or a line end would mean one thing here and another to git.
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['\0', '\n', '\r']))
}
