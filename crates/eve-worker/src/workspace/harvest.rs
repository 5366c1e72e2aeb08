//! The half of the harvest that runs where the agent ran, with no more rights than the agent had.
//!
//! By now everything in the checkout may be a trap: hooks, filters, a `.git` that points elsewhere. Git has to read
//! it all to commit what is there, so this half is only described here, as a command, and the supervisor runs it
//! inside the attempt's containment. What it leaves in the scratch directory is data for [`super::collect`].
//!
//! The script commits with plumbing on a copy of the index: no hook, editor or signature is asked for, a lock that
//! an agent left behind does not matter, and an unfinished merge is committed as it lies. It is a script and not a
//! program of Eve's so that a container needs nothing but `sh` and `git`. No file is written for it beforehand: a
//! hostile scratch directory is no place to write to from outside.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Workspaces;
use super::prepare::OWN_FILES;
use super::prepare::Prepared;

/// The directory inside the scratch directory that holds the result.
pub(super) const RESULT_DIR: &str = "harvest";
/// The commits, in that directory.
pub(super) const BUNDLE_FILE: &str = "result.bundle";
/// What there is to say, in that directory.
pub(super) const STATUS_FILE: &str = "status";
/// The ref under which the bundle holds the result.
pub(super) const RESULT_REF: &str = "refs/eve/result";
/// Longest commit message, in bytes: it travels in a variable.
const MESSAGE_LIMIT: usize = 32 << 10;

/// A command that the supervisor runs inside the attempt's containment once the agent has ended.
///
/// Its exit code means little; [`Workspaces::collect`] reads what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarvestCommand {
    /// The program, to be found on the containment's PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// All variables it needs besides PATH.
    pub env: Vec<(String, OsString)>,
    /// The directory to start in: one that no agent can have removed.
    pub dir: PathBuf,
}

/// Settings that win over what the agent wrote into its repository.
const OVERRIDES: [(&str, &str); 11] = [
    ("advice.addEmbeddedRepo", "false"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "false"),
    ("core.safecrlf", "false"),
    ("core.untrackedCache", "false"),
    ("gc.auto", "0"),
    ("i18n.commitEncoding", "UTF-8"),
    ("maintenance.auto", "false"),
    ("safe.directory", "*"),
    ("submodule.recurse", "false"),
];

const SCRIPT: &str = r#"
umask 022
out=$EVE_RESULT
rm -rf -- "$out"
mkdir -p -- "$out" || exit 1
say() { printf '%s\n' "$*" >>"$out/status"; }
fail() {
    say "detail $(tail -n 3 "$out/log" 2>/dev/null | tr '\n' ' ' | cut -c 1-400)"
    say "state failed"
    exit 0
}
cd -- "$EVE_CHECKOUT" 2>/dev/null || { say "state no-repository"; exit 0; }
export GIT_DIR="$EVE_CHECKOUT/.git" GIT_WORK_TREE="$EVE_CHECKOUT"
git rev-parse --git-dir >/dev/null 2>"$out/log" || { say "state no-repository"; exit 0; }
base=$EVE_BASE
if [ -n "$base" ]; then
    git cat-file -e "$base^{commit}" 2>"$out/log" || fail
fi
head=$(git rev-parse --verify --quiet 'HEAD^{commit}') || head=$base

# A copy of the index: quick, keeps what was staged on purpose, and no lock of the agent's is in the way.
index=$(git rev-parse --git-path index)
cp -- "$index" "$out/index" 2>/dev/null
export GIT_INDEX_FILE="$out/index"
if ! [ -e "$out/index" ] || ! git ls-files --stage >/dev/null 2>&1; then
    rm -f -- "$out/index"
    [ -z "$head" ] || git read-tree "$head" 2>"$out/log" || fail
fi
[ -z "$(git ls-files --unmerged 2>/dev/null | head -n 1)" ] || say "note conflicts"

# Only a link would be committed of a repository inside the checkout. Its files are wanted.
printf '%s' "$EVE_IGNORED" >"$out/ignored"
git ls-files --others --exclude-standard 2>/dev/null | while IFS= read -r path; do
    case $path in
        '"'*) ;;
        */) [ ! -e "./$path.git" ] || { rm -rf -- "./$path.git" && say "note embedded"; } ;;
    esac
done
git add --all --ignore-errors -- . >/dev/null 2>"$out/log" || say "note incomplete"
tree=$(git write-tree 2>"$out/log") || fail
tip=$head
if [ -z "$head" ]; then
    [ -n "$(git ls-files | head -n 1)" ] || { say "state nothing"; exit 0; }
    tip=$(printf '%s' "$EVE_MESSAGE" | git commit-tree "$tree" -F - 2>"$out/log") || fail
elif [ "$tree" != "$(git rev-parse "$head^{tree}")" ]; then
    tip=$(printf '%s' "$EVE_MESSAGE" | git commit-tree "$tree" -p "$head" -F - 2>"$out/log") || fail
fi
[ "$tip" != "$base" ] || { say "state nothing"; exit 0; }
git update-ref --no-deref "$EVE_REF" "$tip" 2>"$out/log" || fail
new=$(git rev-list --count --max-count=1 "$tip" ${base:+"^$base"} 2>"$out/log") || fail
[ "$new" = 1 ] || { say "state rewound"; exit 0; }
git bundle create --quiet "$out/result.bundle" "$EVE_REF" ${base:+"^$base"} 2>"$out/log" || fail
say "state committed"
"#;

impl Workspaces {
    /// The command that commits what an agent left and packs it up, in the agent's own containment.
    ///
    /// The commit gets this title and message; commits that the agent made by itself are kept as they are.
    pub fn harvest_script(&self, prepared: &Prepared, title: &str, message: &str) -> HarvestCommand {
        let result = prepared.scratch.join(RESULT_DIR);
        let (ignored, no_grafts) = (result.join("ignored"), result.join("no-grafts"));
        let mut settings: Vec<(&str, OsString)> =
            OVERRIDES.iter().map(|(key, value)| (*key, OsString::from(value))).collect();
        settings.push(("core.excludesFile", ignored.into_os_string()));
        let identity = &self.options.identity;
        let mut env: Vec<(String, OsString)> = [
            ("EVE_CHECKOUT", prepared.dir.clone().into_os_string()),
            ("EVE_RESULT", result.into_os_string()),
            ("EVE_BASE", prepared.base_commit.clone().unwrap_or_default().into()),
            ("EVE_MESSAGE", commit_message(title, message).into()),
            ("EVE_IGNORED", OWN_FILES.into()),
            ("EVE_REF", RESULT_REF.into()),
            ("HOME", prepared.home.clone().into_os_string()),
            ("TMPDIR", prepared.tmp.clone().into_os_string()),
            ("LC_ALL", "C".into()),
            ("GIT_AUTHOR_NAME", identity.name.clone().into()),
            ("GIT_AUTHOR_EMAIL", identity.email.clone().into()),
            ("GIT_COMMITTER_NAME", identity.name.clone().into()),
            ("GIT_COMMITTER_EMAIL", identity.email.clone().into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
            // A file that is not there: grafts would show another history than the one that is delivered.
            ("GIT_GRAFT_FILE", no_grafts.into_os_string()),
            ("GIT_CONFIG_COUNT", settings.len().to_string().into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(objects) = &prepared.borrowed_objects {
            // An agent that starts its repository anew, as scaffolding tools do, loses only the link to these.
            env.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES".to_owned(), objects.clone().into_os_string()));
        }
        for (index, (key, value)) in settings.into_iter().enumerate() {
            env.push((format!("GIT_CONFIG_KEY_{index}"), key.into()));
            env.push((format!("GIT_CONFIG_VALUE_{index}"), value));
        }
        let args = ["-c", SCRIPT, "eve-harvest"].map(OsString::from).into();
        HarvestCommand { program: "sh".into(), args, env, dir: "/".into() }
    }
}

/// Title, empty line, message, without what a variable cannot carry.
fn commit_message(title: &str, message: &str) -> String {
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let title = if title.is_empty() { "Result of a request".to_owned() } else { title };
    let mut text = format!("{title}\n");
    let message = message.trim();
    if !message.is_empty() {
        text.push_str(&format!("\n{message}\n"));
    }
    text.retain(|letter| letter != '\0');
    text.truncate(text.floor_char_boundary(MESSAGE_LIMIT));
    text
}
