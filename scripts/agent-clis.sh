#!/usr/bin/env bash
# Installs the agent CLIs of agent-clis.versions from npm and prints where their native binaries are:
#
#     claude=/…/claude
#     codex=/…/codex
#
# Progress and errors go to standard error. The machine's npm configuration is used as it is (registry, proxy, CA).
# A CLI that is already there and answers --version with the pinned version is left alone; several copies of this
# script may run at once, one waits for the other.
#
# Usage: scripts/agent-clis.sh [claude] [codex]        (default: both)
#   EVE_AGENT_CLIS   where to install; default $HOME/.cache/eve/agent-clis
#
# To hand the paths to the tests:
#   scripts/agent-clis.sh | sed 's/^claude=/EVE_CLAUDE_BIN=/; s/^codex=/EVE_CODEX_BIN=/'
set -euo pipefail
shopt -s inherit_errexit

# An install of codex can exit 0 and still lack files; a second one has always been whole.
readonly INSTALL_ATTEMPTS=3
# How long to wait for another copy of this script.
readonly LOCK_SECONDS=900
# A broken binary may hang instead of failing.
readonly VERSION_SECONDS=30

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly versions_file=$here/agent-clis.versions

say() {
    printf 'agent-clis: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# The suffix of npm's packages for this machine, e.g. linux-x64.
npm_platform() {
    local os arch
    case $(uname -s) in
        Linux) os=linux ;;
        Darwin) os=darwin ;;
        *) die "no agent CLIs for $(uname -s)" ;;
    esac
    case $(uname -m) in
        x86_64 | amd64) arch=x64 ;;
        aarch64 | arm64) arch=arm64 ;;
        *) die "no agent CLIs for $(uname -m)" ;;
    esac
    printf '%s-%s' "$os" "$arch"
}

# The native binary of CLI $1 under the install directory $2, existing or not. The launchers in node_modules/.bin are
# not used: they depend on npm's install scripts having run, and killing a launcher leaves the agent behind it alive.
native_binary() {
    local modules=$2/node_modules candidate
    case $1 in
        claude)
            printf '%s' "$modules/@anthropic-ai/claude-code-$platform/claude"
            ;;
        codex)
            # One directory per target triple; each platform package has exactly one.
            for candidate in "$modules/@openai/codex-$platform"/vendor/*/bin/codex; do
                printf '%s' "$candidate"
                return
            done
            ;;
        *) die "$versions_file names the unknown CLI $1" ;;
    esac
}

# Whether binary $1 runs and says that it is version $2. It gets a home of its own, so that looking leaves no trace.
answers_version() {
    [[ -x $1 ]] || return 1
    local output home
    home=$(mktemp -d)
    output=$(env -i HOME="$home" PATH="$PATH" timeout "$VERSION_SECONDS" "$1" --version 2>/dev/null </dev/null) || output=
    rm -rf -- "$home"
    [[ " $output " == *" $2 "* ]]
}

# Installs npm package $2 at version $3 for CLI $1 and prints the binary's path.
ensure() {
    local name=$1 package=$2 version=$3 dir binary attempt staging
    dir=$root/$name-$version
    binary=$(native_binary "$name" "$dir")
    if answers_version "$binary" "$version"; then
        printf '%s' "$binary"
        return
    fi
    command -v npm >/dev/null || die "npm is needed to install $package"
    for ((attempt = 1; attempt <= INSTALL_ATTEMPTS; attempt++)); do
        say "installing $package@$version (attempt $attempt of $INSTALL_ATTEMPTS)"
        # Into a directory of its own, moved into place once it works: a killed install leaves nothing half done.
        staging=$(mktemp -d "$root/.staging.XXXXXX")
        # mktemp makes it private, but agents may run as another user.
        chmod 0755 "$staging"
        # --ignore-scripts: the scripts only link the native binary, which is called by its path here. A wrong Node
        # version draws an EBADENGINE warning that does not matter, as no Node runs afterwards.
        if npm install --prefix "$staging" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
            --include=optional --loglevel=error "$package@$version" >&2 \
            && answers_version "$(native_binary "$name" "$staging")" "$version"; then
            rm -rf -- "$dir"
            mv -- "$staging" "$dir"
            say "installed $package@$version"
            native_binary "$name" "$dir"
            return
        fi
        rm -rf -- "$staging"
        say "the install of $package@$version failed or does not run"
    done
    die "could not install $package@$version in $INSTALL_ATTEMPTS attempts"
}

# Whether CLI $1 is among the remaining arguments; no further arguments mean all.
wanted() {
    local name=$1 other
    shift
    (($# == 0)) && return 0
    for other in "$@"; do
        [[ $other == "$name" ]] && return 0
    done
    return 1
}

for tool in flock timeout; do
    command -v "$tool" >/dev/null || die "$tool is needed"
done
[[ -r $versions_file ]] || die "cannot read $versions_file"
for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        sed -n '2,/^set /s/^# \{0,1\}//p' -- "${BASH_SOURCE[0]}"
        exit 0
    fi
    [[ $argument == claude || $argument == codex ]] || die "unknown CLI $argument; known are claude and codex"
done

root=${EVE_AGENT_CLIS:-${HOME:?HOME or EVE_AGENT_CLIS must be set}/.cache/eve/agent-clis}
mkdir -p -- "$root"
root=$(cd -- "$root" && pwd)
platform=$(npm_platform)
readonly root platform

exec 9>"$root/.lock"
if ! flock --nonblock 9; then
    say "waiting for another install in $root"
    flock --timeout "$LOCK_SECONDS" 9 || die "another install held $root/.lock for more than $LOCK_SECONDS seconds"
fi
# Only the holder of the lock stages anything: what lies about was left by one that was killed.
rm -rf -- "$root"/.staging.*

while read -r name package version; do
    case $name in '' | '#'*) continue ;; esac
    wanted "$name" "$@" || continue
    # Nothing that runs in here may inherit the lock and outlive this script with it.
    path=$(ensure "$name" "$package" "$version" 9>&- </dev/null)
    printf '%s=%s\n' "$name" "$path"
done <"$versions_file"
